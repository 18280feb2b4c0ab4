"""Rows of a source as torch tensors on a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from gpuclust.sources import Source, as_source
from gpuclust.sources.chunking import chunk_bounds

__all__ = ["blocks", "place"]


def place(rows: Any, device: torch.device) -> Tensor:
    """Rows of a chunk on a device, in their dtype; on the host perhaps the same memory, which nobody may write to.

    On their way to a GPU they pass through pinned memory, so that they travel beside what it computes.
    """
    if isinstance(rows, torch.Tensor):
        return rows.to(device)
    if not isinstance(rows, np.ndarray):
        return from_dlpack(rows).to(device)
    pinned = device.type == "cuda"
    if not pinned and rows.flags.writeable:
        return torch.from_numpy(rows)
    buffer = torch.empty(rows.shape, dtype=torch.from_numpy(np.empty(0, rows.dtype)).dtype, pin_memory=pinned)
    np.copyto(buffer.numpy(), rows)  # torch wraps no read-only memory
    return buffer.to(device, non_blocking=True)


def blocks(
    source: Source, size: int, device: torch.device, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Rows ``start`` to ``stop`` in order, in blocks of ``size`` rows whatever the source's chunks are."""
    stop = source.n_rows if stop is None else stop
    if not source.resident:
        source = as_source(source, chunk_rows=size)
    for chunk in source.chunks(start, stop):
        rows = place(chunk.rows, device)
        for first, end in chunk_bounds(0, len(rows), size):
            yield chunk.start + first, rows[first:end]
