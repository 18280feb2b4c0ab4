"""Matrices in memory: NumPy arrays, memory maps, and whatever can be sliced into NumPy blocks."""

from __future__ import annotations

import mmap
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import numpy as np

from gpuclust.sources.base import Chunk
from gpuclust.sources.buffered import BufferedSource
from gpuclust.sources.chunking import RESIDENT_BYTES, chunk_bounds, rows_per_chunk
from gpuclust.sources.dtypes import target_dtype, widen
from gpuclust.validation import check_matrix_shape, check_row_indices, check_row_range

__all__ = ["ArraySource", "Rows"]


class Rows(Protocol):
    """A matrix that gives NumPy blocks for a slice of rows or for int64 row indices. A NumPy array is one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, key: Any, /) -> Any: ...


class ArraySource(BufferedSource):
    """A matrix in memory.

    A C-contiguous array of native float32 or float64 is used as it lies, without a copy. Anything else is copied once
    if the copy takes at most 1 GiB (with ``max_memory``: an eighth of it), and widened chunk by chunk in every pass
    otherwise. A `numpy.memmap` larger than an eighth of ``max_memory`` is read chunk by chunk, and its pages are
    released as soon as they were read.

    Parameters
    ----------
    rows : Rows
        The matrix (n_rows, n_features).
    max_memory, chunk_rows : int, optional
        See `gpuclust.sources.as_source`.
    name : str
        The parameter's name, for messages.
    kind : str
        What it is, for the description.
    feature_names : list of str, optional
        Column names.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        max_memory: int | None = None,
        chunk_rows: int | None = None,
        name: str = "X",
        kind: str = "array",
        feature_names: list[str] | None = None,
    ) -> None:
        self.n_rows, self.n_features = check_matrix_shape(rows.shape, array=rows)
        self.dtype = target_dtype(rows.dtype, name)
        self.description = f"{kind} {(self.n_rows, self.n_features)} {rows.dtype}"
        self.feature_names = feature_names
        self._name = name
        self._map = None
        row_bytes = self.n_features * self.dtype.itemsize
        limit = RESIDENT_BYTES if max_memory is None else max_memory // 8
        fits = self.n_rows * row_bytes <= limit
        if isinstance(rows, np.memmap) and max_memory is not None and not fits:
            self._map = rows
        elif chunk_rows is None and fits and not self._is_ready(rows):
            block = rows[:]
            rows = block if self._is_ready(block) else widen(block, np.empty(rows.shape, self.dtype), name)
        self._rows = np.asarray(rows) if isinstance(rows, np.ndarray) else rows
        self._zero_copy = self._map is None and self._is_ready(rows)
        self.resident = self._zero_copy and chunk_rows is None
        self.chunk_rows = (
            self.n_rows if self.resident else rows_per_chunk(row_bytes, chunk_rows=chunk_rows, max_memory=max_memory)
        )

    def _is_ready(self, rows: Rows) -> bool:
        return isinstance(rows, np.ndarray) and rows.dtype == self.dtype and rows.flags.c_contiguous

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        if not self._zero_copy:
            return super().chunks(start, stop)
        start, stop = check_row_range(start, stop, self.n_rows)
        return (Chunk(first, self._rows[first:end]) for first, end in chunk_bounds(start, stop, self.chunk_rows))

    def _read(self, start: int, stop: int, buffers: Iterator[np.ndarray]) -> Generator[Chunk, None, None]:
        for first, end in chunk_bounds(start, stop, self.chunk_rows):
            block = self._rows[first:end]
            out = widen(block, next(buffers)[: end - first], self._name)
            if self._map is not None:
                _release_pages(self._map, block)
            yield Chunk(first, out)

    def take(self, indices: np.ndarray) -> np.ndarray:
        block = self._rows[check_row_indices(indices, self.n_rows)]
        return block if self._is_ready(block) else widen(block, np.empty(block.shape, self.dtype), self._name)


def _release_pages(mapped: np.memmap, block: np.ndarray) -> None:
    """Let the system drop the pages of a block from this process; the file keeps the data.

    Not for mode "c", whose changed pages exist nowhere else, and a no-op where the system has no such call.
    """
    pages: mmap.mmap | None = getattr(mapped, "_mmap", None)
    if pages is None or mapped.mode not in ("r", "r+", "w+") or not hasattr(mmap, "MADV_DONTNEED"):
        return
    base = np.frombuffer(pages, np.uint8).__array_interface__["data"][0]
    low, high = np.lib.array_utils.byte_bounds(block)
    begin = (low - base) // mmap.PAGESIZE * mmap.PAGESIZE
    pages.madvise(mmap.MADV_DONTNEED, begin, high - base - begin)
