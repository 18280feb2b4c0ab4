"""Exact neighbours: FAISS proposes candidates, canonical distances order them, a bound certifies that none is missing.

Rows are looked at part by part, as the dataset yields them, and each part is searched for blocks of queries: see
:mod:`gpuclust.neighbors.search`. The answer is that of a float64 brute force, ties to the lowest index, whatever FAISS,
the device, chunks or threads do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.neighbors.search import Neighbors, Progress, Search
from gpuclust.neighbors.searchers import Searcher, make_searcher

__all__ = ["FlatIndex"]

#: Bytes for a block of queries and their candidates, where nobody limits them.
MEMORY = 1 << 28


class FlatIndex:
    """All rows of a dataset, searched exactly.

    Parameters
    ----------
    data : Dataset
        Rows in memory are conditioned once and kept; others at every search.
    memory : int, optional
        Bytes for queries in flight and their candidates.
    metric : str
        Of `gpuclust.engines.neighborhood.METRICS`; in others than "euclidean" every pair is compared canonically.
    keep : bool
        False: rows in memory are conditioned at every search too.
    origin : ndarray (d,) float64, optional
        What rows are shifted by, moved into their range: queries near it are settled more easily. By default a point
        amid the rows.
    """

    def __init__(
        self,
        data: Dataset,
        memory: int | None = None,
        metric: str = "euclidean",
        *,
        keep: bool = True,
        origin: np.ndarray | None = None,
    ) -> None:
        self.data, self.memory, self.metric = data, memory or MEMORY, metric
        self.frame = data.frame(data.column_max[None])
        if origin is not None:
            self.frame = self.frame._replace(origin=np.clip(origin, -data.column_max, data.column_max))
        self._kept = list(self._made()) if keep and data.resident else None

    def parts(self) -> Iterator[tuple[Part, Searcher | None]]:
        """The rows part by part, and who searches each."""
        return self._made() if self._kept is None else iter(self._kept)

    def _made(self) -> Iterator[tuple[Part, Searcher | None]]:
        engine = self.data.engine
        for part in self.data.parts():
            if self.metric == "euclidean":
                yield part, make_searcher(engine, engine.conditioned(part.rows, self.frame))
            else:
                yield part, None

    def around(self, origin: np.ndarray) -> FlatIndex:
        """The same rows, shifted by another origin."""
        return FlatIndex(self.data, self.memory, keep=False, origin=origin)

    def canonical(self, queries: Dataset) -> Frame:
        """The frame of distances between the rows and ``queries``."""
        return self.data.frame(queries.column_max[None])

    def nearest(
        self, queries: Dataset, k: int, own: np.ndarray | None = None, tell: Progress | None = None
    ) -> Neighbors:
        """The ``k`` nearest rows of each query, ties to the lowest index.

        Parameters
        ----------
        queries : Dataset
            On the same engine, with as many features.
        k : int
            At most the number of rows; with ``own`` one less.
        own : ndarray (m,) int64, optional
            For each query the row that is not its neighbour, because it is the query itself.
        tell : callable, optional
            ``tell("search", done, total)`` after each block, in pairs of rows.
        """
        search = Search(self, queries, k, own, tell)
        if self.metric == "euclidean":
            search.look(self, queries.parts, np.arange(queries.n_rows), 1)
            search.settle()
        else:
            search.scan(np.arange(queries.n_rows))
        return Neighbors(search.distances, search.indices)
