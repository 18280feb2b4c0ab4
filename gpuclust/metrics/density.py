"""DBCV, density-based clustering validation (Moulavi et al. 2014): for clusters of any shape, with noise.

In a cluster of n rows of d features a row has the *core distance* (sum over the others of (1 / distance)^d / (n - 1))
^(-1/d), and two rows the *mutual reachability* max(core of one, core of the other, distance). Of the minimum spanning
tree of each cluster, made with mutual reachabilities, the rows with several edges are *internal*:

    sparseness of a cluster        the longest edge between internal rows
    separation of two clusters     the least mutual reachability of an internal row of each
    validity of a cluster          (least separation - sparseness) / max(least separation, sparseness)

DBCV is the mean validity, weighted by rows; noise has weight and no validity, and so have clusters of one row.

Details that the paper leaves open: a cluster whose tree has no edge between internal rows takes its longest edge, as
the authors' program does; a tree of one edge has no internal rows, both ends count; a row that has a duplicate in its
cluster has core distance 0, the limit of the formula. Many edges are equal, all those shorter than a row's core
distance, and which rows are internal depends on which are taken: here the one of the least distance, so that the tree,
and the value, do not depend on the order of the rows.

Trees grow by Prim's algorithm, which computes distances when it needs them: memory is O(n), beyond the rows of one
cluster and tables of a few megabytes. Time is O(n^2).

D. Moulavi, P. Jaskowiak, R. Campello, A. Zimek, J. Sander, Density-based clustering validation, SDM 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import Frame
from gpuclust.errors import DataError

__all__ = ["DENSITY_METRICS", "dbcv_of"]

DENSITY_METRICS = ("euclidean", "cosine")
# Distances of a table.
_CELLS = 1 << 20


class _Cluster(NamedTuple):
    """Internal rows of a cluster, (m, d), their core distances (m,), and the cluster's size and sparseness."""

    rows: np.ndarray
    core: np.ndarray
    size: int
    sparseness: float


def dbcv_of(data: Dataset, labels: np.ndarray, *, metric: str = "euclidean") -> float:
    """DBCV in [-1, 1]; ``labels`` (n,) int32 from 0 on, -1: noise.

    With ``metric="cosine"``, the dataset is of rows scaled to unit length.

    Raises
    ------
    DataError
        Fewer than 2 clusters of at least 2 rows.
    """
    frame = data.frame(data.sample[:1])
    order = np.argsort(labels, kind="stable")[int((labels < 0).sum()) :]
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    groups = [group for group in groups if len(group) > 1]
    if len(groups) < 2:
        raise DataError(
            f"dbcv_score: there are {len(groups)} clusters of at least 2 rows, and it compares clusters: 2 are needed; "
            "label -1 is noise."
        )
    space = _Space(data, frame, metric)
    clusters = [space.cluster(data.take(group)) for group in groups]
    validity = 0.0
    for cluster, apart in zip(clusters, space.separations(clusters), strict=True):
        larger = max(apart, cluster.sparseness)
        validity += cluster.size * ((apart - cluster.sparseness) / larger if larger > 0 else 0.0)
    return float(validity) / data.n_rows


class _Space:
    """Distances of a dataset's rows, in the units of a frame."""

    def __init__(self, data: Dataset, frame: Frame, metric: str) -> None:
        self._engine, self._frame, self._cosine = data.engine, frame, metric == "cosine"

    def cluster(self, rows: np.ndarray) -> _Cluster:
        """Core distances and the tree of the rows of a cluster."""
        core = self._core_distances(rows)
        edges, lengths = self._tree(rows, core)
        degree = np.bincount(edges.ravel(), minlength=len(rows))
        internal = degree > 1 if (degree > 1).any() else degree > 0
        between = internal[edges].all(axis=1)
        sparseness = float(lengths[between].max() if between.any() else lengths.max())
        return _Cluster(rows[internal], core[internal], len(rows), sparseness)

    def separations(self, clusters: list[_Cluster]) -> np.ndarray:
        """Of each cluster, the least mutual reachability of an internal row to one of another cluster."""
        rows, core = (np.concatenate(parts) for parts in zip(*((c.rows, c.core) for c in clusters), strict=True))
        own = np.repeat(np.arange(len(clusters)), [len(cluster.rows) for cluster in clusters])
        least = np.full(len(clusters), np.inf)
        for some, distances in self._tables(rows, later=True):
            others = slice(some.start, None)
            mutual = np.maximum(np.maximum(distances, core[some, None]), core[others])
            mutual[own[some, None] == own[others]] = np.inf
            np.minimum.at(least, own[some], mutual.min(axis=1))
            np.minimum.at(least, own[others], mutual.min(axis=0))
        return least

    def _core_distances(self, rows: np.ndarray) -> np.ndarray:
        core, d = np.empty(len(rows)), rows.shape[1]
        for some, distances in self._tables(rows):
            here = np.arange(len(distances))
            distances[here, some.start + here] = np.inf
            nearest = distances.min(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                # By the nearest: powers of d neither overflow nor vanish where it matters.
                total = _power(nearest[:, None] / distances, d).sum(axis=1)
                core[some] = np.where(nearest > 0, nearest * (total / (len(rows) - 1)) ** (-1.0 / d), 0.0)
        return core

    def _tree(self, rows: np.ndarray, core: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Edges (n - 1, 2) and their lengths: Prim's algorithm from the first row."""
        n = len(rows)
        placed, values = self._engine.place(rows), rows.astype(np.float64)
        # Of each row outside: its edge to the tree, by mutual reachability and, among equals, by distance.
        reach, apart, nearest = np.full(n, np.inf), np.full(n, np.inf), np.zeros(n, np.int64)
        outside, at = np.ones(n, bool), 0
        edges, lengths = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
        for step in range(n - 1):
            outside[at], reach[at] = False, np.inf
            one = self._engine.array(values[at : at + 1])
            squared = self._engine.to_host(self._engine.distances(placed, one, None, self._frame))
            distances = self._distances(squared)
            mutual = np.maximum(np.maximum(distances, core), core[at])
            closer = outside & ((mutual < reach) | ((mutual == reach) & (distances < apart)))
            reach[closer], apart[closer], nearest[closer] = mutual[closer], distances[closer], at
            equal = np.flatnonzero(reach == reach.min())
            at = int(equal[np.argmin(apart[equal])])
            edges[step], lengths[step] = (nearest[at], at), reach[at]
        return edges, lengths

    def _tables(self, rows: np.ndarray, *, later: bool = False) -> Iterator[tuple[slice, np.ndarray]]:
        """Distances of some rows to all, block by block; with ``later`` to those from the first of the block on."""
        placed, step = self._engine.array(rows.astype(np.float64)), max(1, _CELLS // len(rows))
        for first in range(0, len(rows), step):
            some: Any = rows[first : first + step]
            others = placed[first:] if later else placed
            squared = self._engine.pairwise(self._engine.place(some), others, self._frame)
            yield slice(first, first + len(some)), self._distances(squared)

    def _distances(self, squared: np.ndarray) -> np.ndarray:
        return squared / 2 if self._cosine else np.sqrt(squared)


def _power(values: np.ndarray, exponent: int) -> np.ndarray:
    """``values ** exponent`` by squaring: multiplications alone, the same everywhere."""
    result = np.ones_like(values)
    while exponent:
        if exponent & 1:
            result = result * values
        values, exponent = values * values, exponent >> 1
    return result
