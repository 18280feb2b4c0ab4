"""A file small enough to be read once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from gpuclust.sources.arrays import ArraySource
from gpuclust.sources.base import Chunk, Source

__all__ = ["LoadedSource"]


class LoadedSource(Source):
    """The rows of another source, read when they are first asked for, then an array in memory.

    Parameters
    ----------
    source : Source
        A source of at most as many bytes as may be kept; it is read once.
    """

    resident = True

    def __init__(self, source: Source) -> None:
        self._source = source
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self.description, self.feature_names = source.description, source.feature_names
        self.row_shape, self.row_names = source.row_shape, source.row_names

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        return self._loaded.chunks(start, stop)

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self._loaded.take(indices)

    @cached_property
    def _loaded(self) -> ArraySource:
        rows = np.empty((self.n_rows, self.n_features), self.dtype)
        for chunk in self._source.chunks():
            rows[chunk.start : chunk.start + len(chunk.rows)] = chunk.rows
        return ArraySource(rows)
