"""A source whose chunks are prepared in two buffers, used in turn, by a background thread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from itertools import cycle

import numpy as np

from gpuclust.sources.base import Chunk, Source
from gpuclust.sources.prefetch import prefetch
from gpuclust.validation import check_row_range

__all__ = ["BufferedSource", "gather"]


class BufferedSource(Source):
    """Base of the sources that read or widen rows chunk by chunk.

    Memory of one pass: two chunks of ``chunk_rows`` rows, and at most one more block of the same number of rows as they
    are stored.

    Attributes
    ----------
    chunk_rows : int
        Rows of a chunk; the last one may have fewer.
    """

    chunk_rows: int
    resident = False

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        start, stop = check_row_range(start, stop, self.n_rows)
        # Here and not in the thread: malloc keeps an arena per thread and would not give the buffers' memory back.
        rows = min(self.chunk_rows, stop - start)
        count = 1 if rows == stop - start else 2
        buffers = [np.empty((rows, self.n_features), self.dtype) for _ in range(count)]
        chunks = self._read(start, stop, cycle(buffers))
        # A thread for a single chunk would have nothing to overlap with.
        return prefetch(chunks) if count > 1 else chunks

    @abstractmethod
    def _read(self, start: int, stop: int, buffers: Iterator[np.ndarray]) -> Generator[Chunk, None, None]:
        """Yield the chunks of rows ``start`` to ``stop``, each in the next of ``buffers``."""


def gather(chunks: Iterator[Chunk], indices: np.ndarray, out: np.ndarray) -> None:
    """Copy the rows at sorted int64 ``indices`` from passing chunks into ``out`` (len(indices), n_features)."""
    for chunk in chunks:
        low, high = np.searchsorted(indices, (chunk.start, chunk.start + len(chunk.rows)))
        out[low:high] = chunk.rows[indices[low:high] - chunk.start]
