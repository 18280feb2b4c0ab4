"""Mean distances of rows to their own cluster and to the nearest other one, without a table of rows and clusters.

Labels (n,) int32 are numbered without a gap, -1 being no cluster; ``sizes`` (k,) are their counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import exact_total
from gpuclust.engines.distance_sums import SumFormat
from gpuclust.metrics.centroids import means_of, own_distances

__all__ = ["MeanDistances", "by_centers", "by_pairs", "of_rows"]

# Runs of a block, so that tables of sums stay within tens of megabytes, and entries of a table of rows and clusters.
_MOST_RUNS, _CELLS = 256, 1 << 20


class MeanDistances(NamedTuple):
    """Mean distances of rows to their own cluster and to the nearest other one, (m,), in any one unit."""

    within: np.ndarray
    apart: np.ndarray

    @classmethod
    def unknown(cls, n_rows: int) -> MeanDistances:
        return cls(np.zeros(n_rows), np.full(n_rows, np.inf))

    def meet(self, rows: slice, sums: np.ndarray, first: int, sizes: np.ndarray, own: np.ndarray) -> None:
        """Take note of the sums (r, m) of the distances of ``rows`` to clusters ``first`` to ``first + r``."""
        place = np.flatnonzero((own >= first) & (own < first + len(sums)))
        mine = own[place] - first
        self.within[rows][place] = sums[mine, place] / np.maximum(sizes[own[place]] - 1, 1)
        sums = sums / sizes[first : first + len(sums), None]
        sums[mine, place] = np.inf
        np.minimum(self.apart[rows], sums.min(axis=0, initial=np.inf), out=self.apart[rows])


def _format(data: Dataset, metric: str) -> SumFormat:
    return SumFormat.of(data.n_rows, data.n_features, data.frame(data.sample[:1]).scale, metric)


class _Block(NamedTuple):
    """Sorted rows ``rows``, where their runs begin and end, the cluster of the first, and whether the last one ends."""

    rows: slice
    runs: np.ndarray
    cluster: int
    complete: bool


def _blocks(sizes: np.ndarray, most_rows: int) -> Iterator[_Block]:
    """Cut rows sorted by cluster into blocks of few enough rows and runs."""
    ends = np.cumsum(sizes)
    start = 0
    while start < ends[-1]:
        cluster = int(np.searchsorted(ends, start, side="right"))
        last = min(cluster + _MOST_RUNS, len(ends)) - 1
        stop = min(start + most_rows, int(ends[last]))
        inner = ends[cluster : last + 1]
        inner = inner[inner < stop]
        runs = np.concatenate([[start], inner, [stop]]) - start
        yield _Block(slice(start, stop), runs.astype(np.int64), cluster, stop in ends[cluster : last + 1])
        start = stop


def by_pairs(data: Dataset, labels: np.ndarray, sizes: np.ndarray, metric: str) -> MeanDistances:
    """Every pair of rows once."""
    engine, form = data.engine, _format(data, metric)
    order = np.argsort(labels, kind="stable")[len(labels) - int(sizes.sum()) :]
    own = labels[order]
    found, pending = MeanDistances.unknown(len(order)), np.zeros((2, len(order)), np.int64)
    blocks = list(_blocks(sizes, engine.block_rows))

    def meet(rows: slice, table: np.ndarray, other: _Block) -> None:
        # A row meets the blocks in their order, so that at most one cluster, the one begun last, is pending.
        table[:, 0] += pending[:, rows]
        pending[:, rows] = 0 if other.complete else table[:, -1]
        whole = table if other.complete else table[:, :-1]
        if whole.shape[1]:
            found.meet(rows, form.values(whole), other.cluster, sizes, own[rows])

    for i, a in enumerate(blocks):
        placed = engine.place(data.take(order[a.rows]))
        for b in blocks[:i]:
            sums_a, sums_b = engine.distance_sums(placed, engine.place(data.take(order[b.rows])), a.runs, b.runs, form)
            meet(a.rows, sums_a, b)
            meet(b.rows, sums_b, a)
        meet(a.rows, engine.distance_sums(placed, None, a.runs, a.runs, form)[0], a)

    result = MeanDistances.unknown(len(labels))
    for ordered, all_rows in zip(found, result, strict=True):
        all_rows[order] = ordered
    return result


def of_rows(data: Dataset, labels: np.ndarray, sizes: np.ndarray, metric: str, rows: np.ndarray) -> MeanDistances:
    """Some rows against all, in one pass for as many of them as a table of sums has room for."""
    engine, form, found = data.engine, _format(data, metric), MeanDistances.unknown(len(rows))
    step = max(1, _CELLS // len(sizes))
    for first in range(0, len(rows), step):
        some = slice(first, first + step)
        placed, whole = engine.place(data.take(rows[some])), np.array([0, len(rows[some])])
        table = np.zeros((2, len(sizes), len(rows[some])), np.int64)
        for start in range(0, data.n_rows, engine.block_rows):
            mine = labels[start : start + engine.block_rows]
            order = np.argsort(mine, kind="stable")[int((mine < 0).sum()) :]
            if len(order):
                present, counts = np.unique(mine[order], return_counts=True)
                others = engine.place(data.take(start + order))
                runs = np.concatenate([[0], np.cumsum(counts)])
                table[:, present] += engine.distance_sums(placed, others, whole, runs, form)[0]
        found.meet(some, form.values(table), 0, sizes, labels[rows[some]])
    return found


def by_centers(
    data: Dataset, labels: np.ndarray, sizes: np.ndarray, metric: str, form: str, rows: np.ndarray | None
) -> MeanDistances:
    """Mean squared distances, from the means of the clusters and the spreads about them, or simplified ones."""
    engine, means = data.engine, means_of(data, labels)
    frame, placed = data.frame(means.centers), engine.array(means.centers)
    spread = np.zeros(len(sizes))
    if form == "exact":
        squares = np.empty(data.n_rows)
        squares[labels >= 0] = np.concatenate([d for _, d in own_distances(data, labels, means.centers, frame)])
        order = np.argsort(labels, kind="stable")[len(labels) - int(sizes.sum()) :]
        ends = np.cumsum(sizes)
        spread[:] = [exact_total([squares[order[end - size : end]]]) for end, size in zip(ends, sizes, strict=True)]
    found = MeanDistances.unknown(data.n_rows if rows is None else len(rows))
    step = max(1, _CELLS // len(sizes))
    for some, placed_rows in _pieces(data, rows, step):
        squared = engine.pairwise(placed_rows, placed, frame).T
        own = labels[some] if rows is None else labels[rows[some]]
        if form == "exact":
            found.meet(some, squared * sizes[:, None] + spread[:, None], 0, sizes, own)
        else:
            distances = np.sqrt(squared) if metric == "euclidean" else squared
            # Each distance is its own mean: that of as many rows as there are, less itself in its own cluster.
            found.meet(some, distances, 0, np.ones_like(sizes), own)
    return found


def _pieces(data: Dataset, rows: np.ndarray | None, step: int) -> Iterator[tuple[slice, Any]]:
    """Placed rows, all or some, a few at a time."""
    if rows is not None:
        for first in range(0, len(rows), step):
            yield slice(first, first + step), data.engine.place(data.take(rows[first : first + step]))
        return
    for part in data.parts():
        for first in range(0, len(part.rows), step):
            piece = part.rows[first : first + step]
            yield slice(part.start + first, part.start + first + len(piece)), piece
