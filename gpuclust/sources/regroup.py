"""Another chunk size for a source that exists."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np

from gpuclust.sources.base import Chunk, Source
from gpuclust.validation import check_row_range

__all__ = ["RegroupedSource"]


class RegroupedSource(Source):
    """The rows of another source in chunks of ``chunk_rows`` rows, without a copy where its chunks allow."""

    resident = False

    def __init__(self, source: Source, chunk_rows: int) -> None:
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self.description, self.feature_names = source.description, source.feature_names
        self.chunk_rows = chunk_rows
        self._source = source

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        start, stop = check_row_range(start, stop, self.n_rows)
        return self._regroup(start, stop)

    def _regroup(self, start: int, stop: int) -> Generator[Chunk, None, None]:
        pending = np.empty((0, self.n_features), self.dtype)  # allocated when a chunk spans two of the source's
        filled, first = 0, start
        for chunk in self._source.chunks(start, stop):
            done = 0
            while done < len(chunk.rows):
                size = min(self.chunk_rows, stop - first)
                count = min(size - filled, len(chunk.rows) - done)
                rows = chunk.rows[done : done + count]
                done += count
                if count < size:
                    if len(pending) < size:
                        pending = np.empty((size, self.n_features), self.dtype)
                    pending[filled : filled + count] = rows
                    filled += count
                    if filled < size:
                        continue
                    rows = pending[:size]
                yield Chunk(first, rows)
                filled, first = 0, first + size

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self._source.take(indices)
