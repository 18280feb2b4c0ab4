"""The Source: where rows come from. Nothing here knows where arithmetic runs.

A source is a matrix of ``n_rows`` x ``n_features`` that is read as consecutive chunks. An array in memory is one
chunk; a file is many. Algorithms see only this interface, so that one loop serves every format and size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Chunk", "Source"]


class Chunk(NamedTuple):
    """Rows ``start`` to ``start + len(rows)`` of a source."""

    start: int
    rows: Any  # C-contiguous, (m, n_features), float32 or float64: a NumPy array, or one of the source's device


class Source(ABC):
    """A matrix of rows that can be read again and again, always the same, in order.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the matrix. Python ints: 64-bit offsets everywhere.
    dtype : numpy.dtype
        float32 or float64: the dtype of the chunks. Narrower inputs (float16, bfloat16, int8, uint8, bool) are widened
        to float32, and integers of 16 to 64 bits to float64, which is exact (integers beyond 2**53 are refused).
    resident : bool
        True when the whole matrix lies in memory as one C-contiguous array of ``dtype``: then ``chunks()`` may yield it
        as a single zero-copy chunk and callers may keep per-row preparations between passes.
    description : str
        For messages and manifests, e.g. ``"array (1000, 8) float32"`` or ``"points.npy (1000, 8) float32"``; the dtype
        is the one that is stored, before widening.
    feature_names : list of str or None
        Column names of a table; None where columns have no names.
    row_shape : tuple of int or None
        Of rows that are images: (height, width) or (height, width, channels). None where rows are but numbers.
    row_names : list of str or None
        Of rows that are files of a folder: their paths within it.
    device : str or None
        The device on which the chunks lie, e.g. "cuda:0"; None: host memory.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype
    resident: bool
    description: str
    feature_names: list[str] | None = None
    row_shape: tuple[int, ...] | None = None
    row_names: list[str] | None = None
    device: str | None = None

    @abstractmethod
    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        """Yield rows ``start`` to ``stop`` in order, as chunks of at most the source's chunk size.

        A yielded array is valid until the next one is asked for; nobody writes into it.
        """

    @abstractmethod
    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return rows at sorted, distinct ``indices`` (int64): (len(indices), n_features) of ``dtype``, on the host."""
