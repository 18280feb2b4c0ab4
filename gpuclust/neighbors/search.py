"""One search for the nearest rows: what is known of each query, and how those in doubt are settled.

Of each query the k nearest so far are kept, and the least score that any part of the rows left out: a bound
(:mod:`gpuclust.neighbors.bounds`) tells which queries are settled. The others, of which some neighbours are as near as
makes no difference to float32, are asked about again, closer to the origin and with more candidates, and at last
compared with every row canonically.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.base import Conditioned, Part
from gpuclust.engines.canonical import Frame
from gpuclust.neighbors.bounds import Bound
from gpuclust.neighbors.searchers import Searcher

if TYPE_CHECKING:
    from gpuclust.neighbors.flat import FlatIndex

__all__ = ["Neighbors", "Progress", "Search", "blocks", "smallest"]

Progress = Callable[[str, int, int], None]

# Candidates beyond k, and how many times as many unsettled queries get: most are settled by the first few.
_MARGIN, _MORE = 8, (4, 16)
# Origins that are tried for unsettled queries, if there are more than a few and if the last one settled its share.
_ORIGINS, _FEW, _WORTHWHILE = 8, 64, 0.9
_LARGEST_BLOCK = 1 << 13


class Neighbors(NamedTuple):
    """``distances`` (m, k) float64, canonical and scaled, rising; ``indices`` (m, k) int64."""

    distances: np.ndarray
    indices: np.ndarray


class Search:
    """The queries of one search, and what is known of each."""

    def __init__(
        self, index: FlatIndex, queries: Dataset, k: int, own: np.ndarray | None, tell: Progress | None
    ) -> None:
        m = queries.n_rows
        self._index, self._queries, self._k, self._own = index, queries, k, own
        self._engine, self._tell = queries.engine, tell or (lambda stage, done, total: None)
        self._frame = index.canonical(queries)
        self.distances, self.indices = np.full((m, k), np.inf), np.full((m, k), -1, np.int64)
        # The least score left out (NaN: not to be believed), |t|**2, and the bound by which they are judged.
        self._left_out, self._squares = np.full(m, np.inf), np.zeros(m)
        self._bound: Bound | None = None

    def look(self, index: FlatIndex, parts: Callable[[], Iterator[Part]], numbers: np.ndarray, more: int) -> None:
        """Search all rows for the queries of ``parts``, whose numbers are given, by so many times more candidates."""
        n_rows, done = index.data.n_rows, 0
        for base, searcher in index.parts():
            assert searcher is not None
            wanted = min(more * (self._k + _MARGIN), len(base.rows), searcher.most)
            for part in parts():
                for block in blocks(part, index.memory // (96 * wanted + 16 * self._queries.n_features)):
                    self._look_at(index.frame, base, searcher, block.rows, numbers[block.rows_slice], wanted)
                    done += len(block.rows) * len(base.rows)
                    self._tell("search", done, len(numbers) * n_rows)

    def settle(self) -> None:
        """Look closer at what is not settled: from an origin amid it, at more candidates, and at last at every row.

        The bound grows with the distance from the origin: of tight groups of rows that lie far apart, only the group
        around the origin is settled. Another origin settles another group.
        """
        unsettled = self.unsettled()
        for _ in range(_ORIGINS):
            if len(unsettled) < _FEW:
                break
            origin = self._queries.take(unsettled[len(unsettled) // 2, None])[0].astype(np.float64)
            before, unsettled = len(unsettled), self._again(self._index.around(origin), unsettled, 1)
            if len(unsettled) > before * _WORTHWHILE:
                break
        for more in _MORE:
            if len(unsettled):
                unsettled = self._again(self._index, unsettled, more)
        if len(unsettled):
            self.scan(unsettled)

    def _again(self, index: FlatIndex, numbers: np.ndarray, more: int) -> np.ndarray:
        """Search anew for some of the queries; return those that are still not settled."""
        self._forget(numbers)
        self.look(index, lambda: self._taken(numbers, _LARGEST_BLOCK), numbers, more)
        return self.unsettled()

    def _look_at(
        self, frame: Frame, base: Part, searcher: Searcher, rows: Any, numbers: np.ndarray, wanted: int
    ) -> None:
        engine, m = self._engine, len(numbers)
        conditioned = engine.conditioned(rows, frame)
        bound = self._bound_of(conditioned)
        squares = self._squares[numbers] = engine.to_host(conditioned.squares)
        scores, found = searcher.search(conditioned, wanted)
        which = engine.array(np.repeat(np.arange(m, dtype=np.int32), wanted))
        distances = engine.to_host(engine.distances_to(rows, base.rows, which, found, self._frame)).reshape(m, wanted)
        indices = engine.to_host(found).reshape(m, wanted)
        believed = (scores <= bound.highest(distances, squares[:, None])).all(axis=1)
        left_out = scores[:, -1].astype(np.float64) if wanted < len(base.rows) else np.full(m, np.inf)
        # A part of which FAISS returned too few rows (it met NaN) counts as not searched.
        left_out[~believed | (indices < 0).any(axis=1)] = np.nan
        self._left_out[numbers] = np.minimum(self._left_out[numbers], left_out)
        self._take(numbers, distances, np.where(indices >= 0, indices + base.start, -1))

    def _bound_of(self, conditioned: Conditioned) -> Bound:
        if self._bound is None:
            width = int(conditioned.values.shape[1])
            self._bound = Bound.between(width, self._queries.n_features, self._index.frame, self._frame)
        return self._bound

    def _take(self, numbers: np.ndarray, distances: np.ndarray, indices: np.ndarray) -> None:
        """Merge candidates into the nearest so far."""
        if self._own is not None:
            distances = np.where(indices == self._own[numbers, None], np.inf, distances)
        distances = np.concatenate([self.distances[numbers], distances], axis=1)
        indices = np.concatenate([self.indices[numbers], indices], axis=1)
        self.distances[numbers], self.indices[numbers] = smallest(distances, indices, self._k)

    def unsettled(self) -> np.ndarray:
        """Numbers of the queries that may have a neighbour which was not proposed."""
        assert self._bound is not None
        highest = self._bound.highest(self.distances[:, -1], self._squares)
        return np.flatnonzero(~((self._left_out > highest) | np.isposinf(self._left_out)))

    def scan(self, numbers: np.ndarray) -> None:
        """Compare some of the queries with every row."""
        self._forget(numbers)
        data, done = self._index.data, 0
        for base in data.parts():
            for part in self._taken(numbers, max(1, self._index.memory // (32 * len(base.rows)))):
                block = numbers[part.rows_slice]
                queries = self._engine.array(self._engine.to_host(part.rows).astype(np.float64))
                distances = self._engine.pairwise(base.rows, queries, self._frame, self._index.metric).T
                self._take(block, *_nearest_columns(distances, self._k + 1, base.start))
                done += len(block) * len(base.rows)
                self._tell("scan", done, len(numbers) * data.n_rows)

    def _taken(self, numbers: np.ndarray, step: int) -> Iterator[Part]:
        """Some of the queries, read anew."""
        for start in range(0, len(numbers), step):
            yield Part(start, self._engine.place(self._queries.take(numbers[start : start + step])))

    def _forget(self, numbers: np.ndarray) -> None:
        self.distances[numbers], self.indices[numbers], self._left_out[numbers] = np.inf, -1, np.inf


def smallest(distances: np.ndarray, indices: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` smallest of each row's distances, in order, equal ones by index; and their indices."""
    order = np.lexsort((indices, distances))[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)


def blocks(part: Part, size: int) -> Iterator[Part]:
    """A part in blocks of at most ``size`` rows, and not so large that a job could not be cancelled between them."""
    step = min(max(1, size), _LARGEST_BLOCK)
    for start in range(0, len(part.rows), step):
        yield Part(part.start + start, part.rows[start : start + step])


def _nearest_columns(distances: np.ndarray, k: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` smallest of each row of a matrix, the first of equals: distances and column numbers from ``start``."""
    m, n = distances.shape
    if k >= n:
        return distances, np.broadcast_to(np.arange(start, start + n), (m, n))
    found = np.empty((m, k)), np.empty((m, k), np.int64)
    for i, row in enumerate(distances):
        row = np.ascontiguousarray(row)
        near = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])
        order = near[np.argsort(row[near], kind="stable")[:k]]
        found[0][i], found[1][i] = row[order], order + start
    return found
