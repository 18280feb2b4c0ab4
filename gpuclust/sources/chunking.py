"""How many rows a chunk has, and where a row lies in a file. Pure arithmetic on Python ints, so no offset can wrap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

__all__ = ["CHUNK_BYTES", "RESIDENT_BYTES", "chunk_bounds", "row_offset", "rows_per_chunk", "runs"]

CHUNK_BYTES = 64 * 2**20
"""Bytes of one chunk when neither ``chunk_rows`` nor ``max_memory`` is given: 64 MiB."""

RESIDENT_BYTES = 2**30
"""Largest copy (1 GiB) kept in memory: of a file, or of an array to make it float and C-contiguous for good."""


def rows_per_chunk(row_bytes: int, *, chunk_rows: int | None = None, max_memory: int | None = None) -> int:
    """Return the number of rows of a chunk, at least one.

    ``chunk_rows`` if given; else as many rows as fit an eighth of ``max_memory``; else 64 MiB of rows. An eighth,
    because a streaming pass holds up to three blocks (the chunk in use, the one being read ahead, and the file's
    bytes before they are widened) and the engine's own workspace needs the rest.

    Parameters
    ----------
    row_bytes : int
        Bytes of one row of the chunk, that is after widening.
    chunk_rows : int, optional
        Rows, >= 1.
    max_memory : int, optional
        Bytes, >= 1.
    """
    if chunk_rows is not None:
        return chunk_rows
    budget = CHUNK_BYTES if max_memory is None else max_memory // 8
    return max(1, budget // row_bytes)


def chunk_bounds(start: int, stop: int, chunk_rows: int) -> Iterator[tuple[int, int]]:
    """Yield consecutive (first, end) of at most ``chunk_rows`` rows that cover ``start`` to ``stop``."""
    for first in range(start, stop, chunk_rows):
        yield first, min(first + chunk_rows, stop)


def row_offset(row: int, row_bytes: int, header_bytes: int = 0) -> int:
    """Return the byte at which a row of a file of fixed-size rows begins."""
    return int(header_bytes) + int(row) * int(row_bytes)


def runs(indices: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield (position, first, end) for each run of consecutive integers in sorted, distinct int64 ``indices``.

    ``indices[position : position + end - first]`` is ``first, first + 1, ..., end - 1``.
    """
    if len(indices) == 0:
        return
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    positions = [0, *breaks.tolist(), len(indices)]
    for position, following in pairwise(positions):
        first = int(indices[position])
        yield position, first, first + following - position
