"""Rows for training and encoding: scaled, float32, all of them on the device where they fit, streamed otherwise.

Rows that fit are placed once and shuffled by index, on the device. Of others, blocks of consecutive rows are read in
random order, several into one pool that is shuffled, while the pool before it is trained on: rows that lie far apart
meet in a batch, but not every two. So streamed and resident training see other batches, and do not give the same bits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpuclust.algorithms.random import purpose_stream
from gpuclust.deep.placing import blocks, place
from gpuclust.deep.scaling import Scaling
from gpuclust.sources import Chunk, Source
from gpuclust.sources.prefetch import prefetch

__all__ = ["Batch", "Rows", "generator"]

#: Bytes of a pool of streamed rows, without a limit of memory; blocks are a sixteenth of it.
_POOL_BYTES = 2**28
_BLOCKS_PER_POOL = 16
#: Rows of a block that is encoded: always as many (the last are filled up), so that a row's code does not depend on the
#: rows beside it.
_ENCODED_ROWS = {"cpu": 256}
_ENCODED_ROWS_GPU = 8192


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, and which: ``x`` (b, d) float32 and ``index`` (b,) int64 on the device, of ``rows``."""

    x: Tensor
    index: Tensor
    rows: Rows


class Rows:
    """The rows of a source on a device, scaled.

    Parameters
    ----------
    source : Source
        Rows that a survey found to be right.
    scaling : Scaling
    device : torch.device
    max_memory : int, optional
        Bytes. At most half of it (without it: of the memory that is free) is taken by resident rows.

    Attributes
    ----------
    x : Tensor (n, d) float32 or None
        The rows; None where they are streamed.
    n_rows, n_features : int
    """

    def __init__(
        self, source: Source, scaling: Scaling, device: torch.device, *, max_memory: int | None = None
    ) -> None:
        self.source, self.scaling, self.device = source, scaling, device
        self.n_rows, self.n_features = source.n_rows, source.n_features
        n_bytes = 4 * self.n_rows * self.n_features
        self._pool_bytes = _POOL_BYTES if max_memory is None else max_memory // 8
        limit = _free_memory(device) if max_memory is None else max_memory
        self.x: Tensor | None = None
        if n_bytes <= limit // 2:
            self.x = torch.empty(self.n_rows, self.n_features, device=device)
            for first, block in blocks(source, self._block_rows, device):
                self.x[first : first + len(block)] = scaling.apply(block)

    def batches(self, size: int, seed: int | None, chosen: Tensor | None = None) -> Iterator[Batch]:
        """All rows, or the ``chosen`` (their numbers, sorted), in batches of at most ``size`` rows.

        Batches are of the same size, or of two sizes that differ by one: a small last batch would be a noisy step.
        Shuffled by ``seed``; None: in order.
        """
        if self.x is None:
            yield from self._streamed(size, seed, chosen)
            return
        n = self.n_rows if chosen is None else len(chosen)
        if seed is None:
            order = torch.arange(n, device=self.device)
        else:
            order = torch.randperm(n, generator=generator(seed, self.device), device=self.device)
        if chosen is not None:
            order = chosen.to(self.device)[order]
        for first, end in even(n, size):
            index = order[first:end]
            yield Batch(self.x[index], index, self)

    def blocks(self) -> Iterator[tuple[int, int, Tensor]]:
        """All rows in order: number of the first, how many, and a block of always as many rows, zeros at its end."""
        size = _ENCODED_ROWS.get(self.device.type, _ENCODED_ROWS_GPU)
        if self.x is not None:
            parts = ((first, self.x[first : first + size]) for first in range(0, self.n_rows, size))
        else:
            read = blocks(self.source, size, self.device)
            parts = ((first, self.scaling.apply(block)) for first, block in read)
        for first, block in parts:
            count = len(block)
            if count < size:
                block = torch.cat([block, block.new_zeros(size - count, self.n_features)])
            yield first, count, block

    def take(self, index: Tensor) -> Tensor:
        """Rows at any numbers, (b, d) float32 on the device."""
        if self.x is not None:
            return self.x[index]
        unique, inverse = np.unique(index.cpu().numpy(), return_inverse=True)
        return self.scaling.apply(place(self.source.take(unique)[inverse], self.device))

    def split(self, share: float, seed: int) -> tuple[Tensor | None, Tensor | None]:
        """Numbers of the rows to train on, and of a random ``share`` held out, sorted; None, None for no share.

        Each part has at least one row: of one row alone, none is held out.
        """
        n_held = min(max(round(share * self.n_rows), 1), self.n_rows - 1) if share else 0
        if not n_held:
            return None, None
        order = torch.randperm(self.n_rows, generator=generator(seed, torch.device("cpu")))
        return order[n_held:].sort()[0], order[:n_held].sort()[0]

    @property
    def fingerprint(self) -> str:
        """A checksum of at most 64 rows as they are stored: enough to tell other data from these."""
        rows = self.source.take(np.unique(np.linspace(0, self.n_rows - 1, 64).astype(np.int64)))
        return f"{self.n_rows} x {self.n_features}: {hashlib.sha256(rows.tobytes()).hexdigest()}"

    @property
    def _block_rows(self) -> int:
        return max(1, self._pool_bytes // _BLOCKS_PER_POOL // (4 * self.n_features))

    def _streamed(self, size: int, seed: int | None, chosen: Tensor | None) -> Iterator[Batch]:
        wanted = None
        if chosen is not None:
            wanted = torch.zeros(self.n_rows, dtype=torch.bool)
            wanted[chosen] = True
        for at, pool in prefetch(self._pools(seed, wanted)):
            rows, numbers = pool
            rows, numbers = rows.to(self.device, non_blocking=True), numbers.to(self.device, non_blocking=True)
            order = torch.arange(len(rows), device=self.device)
            if seed is not None:
                mixed = purpose_stream(seed, f"pool {at}").key
                order = torch.randperm(len(rows), generator=generator(mixed, self.device), device=self.device)
            for first, end in even(len(rows), size):
                index = order[first:end]
                yield Batch(rows[index], numbers[index], self)

    def _pools(self, seed: int | None, wanted: Tensor | None) -> Generator[Chunk, None, None]:
        """Pools of rows in host memory, pinned for a GPU: (number of the pool, (rows, their numbers))."""
        starts = torch.arange(0, self.n_rows, self._block_rows)
        if seed is not None:
            starts = starts[torch.randperm(len(starts), generator=generator(seed, torch.device("cpu")))]
        host, pinned = torch.device("cpu"), self.device.type == "cuda"
        for at, group in enumerate(starts.split(_BLOCKS_PER_POOL)):
            rows, numbers = [], []
            for start in sorted(group.tolist()):
                stop = min(start + self._block_rows, self.n_rows)
                for first, block in blocks(self.source, self._block_rows, host, start, stop):
                    number = torch.arange(first, first + len(block))
                    if wanted is not None:
                        block, number = block[wanted[number]], number[wanted[number]]
                    rows.append(self.scaling.apply(block))
                    numbers.append(number)
            pool = torch.cat(rows), torch.cat(numbers)
            if len(pool[0]):
                yield Chunk(at, tuple(part.pin_memory() if pinned else part for part in pool))


def even(n_rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Bounds of as few runs of at most ``size`` rows as it takes, all of nearly the same length."""
    n_runs = -(-n_rows // size)
    for at in range(n_runs):
        yield at * n_rows // n_runs, (at + 1) * n_rows // n_runs


def generator(seed: int, device: torch.device) -> torch.Generator:
    """A generator of one's own; torch's global ones are neither read nor seeded."""
    return torch.Generator(device).manual_seed(seed % 2**63)


def _free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; on the host, what the machine has."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
