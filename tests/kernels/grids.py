"""Rows in the cells of a grid, sorted and described in NumPy as kernels read them, and who is a neighbour of whom."""

from __future__ import annotations

from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from gpuclust.engines.cuda.cells import _DESCRIPTION, DEPTHS, _screen_limits
from gpuclust.engines.neighborhood import METRICS, Neighborhood, make_grid
from tests import dbscan_reference as reference

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
THREADS = 128


def cloud(m: int, d: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Two thirds in clumps, some rows twice, on a lattice of 1/8 so that many distances are equal."""
    rng = np.random.default_rng(seed)
    centers = rng.integers(-2, 3, (m // 12 + 1, d))
    X = centers[rng.integers(0, len(centers), m)] + rng.normal(size=(m, d)) * 0.4
    X[: m // 3] = rng.uniform(-3, 3, (m // 3, d))
    X = np.rint(8 * X) / 8
    X[: m // 10] = X[m // 10 : 2 * (m // 10)]
    return X.astype(dtype)


def usual_eps(X: np.ndarray, metric: str) -> float:
    """A multiple of 1/8 within which half of the rows have some 5 others: many are at exactly that distance."""
    unit = reference.distances(X, X, 0.5, metric)  # of eps = 0.5 the scale is 1
    others = np.median(np.sort(unit, axis=1)[:, 5])
    return max(1.0, float(np.ceil(8 * (np.sqrt(others) if metric == "euclidean" else others)))) / 8


class Neighbors:
    """Rows (m, d), and by their canonical distances who is a neighbour of whom."""

    def __init__(self, X: np.ndarray, eps: float, metric: str = "euclidean") -> None:
        self.X, (self.m, self.d) = X, X.shape
        self.eps, self.metric = eps, metric
        self.neighborhood = Neighborhood.within(eps, metric)

    @cached_property
    def adjacent(self) -> np.ndarray:
        """(m, m) bool: neighbours, by the canonical distance."""
        return reference.neighbors(self.X, self.eps, self.metric)

    @property
    def usual_enough(self) -> int:
        """What about half of the rows have."""
        return int(np.quantile(self.adjacent.sum(axis=1), 0.6))

    def core(self, enough: int) -> np.ndarray:
        """(m,) uint8."""
        return (self.adjacent.sum(axis=1) >= enough).astype(np.uint8)

    def components(self, core: np.ndarray) -> np.ndarray:
        """(m,) int32: the smallest row of each core row's component, -1 for others."""
        among_cores, out = self.adjacent & core.astype(bool)[:, None], np.full(self.m, -1, np.int32)
        for i in np.flatnonzero(core):
            if out[i] < 0:
                reached = np.arange(self.m) == i
                while (grown := among_cores[reached].any(axis=0) & core.astype(bool)).sum() > reached.sum():
                    reached = grown
                out[reached] = i
        return out

    def claims(self, core: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(m,) int32: own labels of core rows, for others the lowest one of core neighbours, -1 if there are none."""
        claimed = np.where(self.adjacent & core.astype(bool), labels.astype(np.uint32), np.uint32(2**32 - 1))
        return np.where(core, labels, claimed.min(axis=1).astype(np.int32))

    def nearest(self, core: np.ndarray) -> np.ndarray:
        """(m,) int32: own positions of core rows, for others the nearest core neighbour's, -1 if there is none."""
        distances = reference.distances(self.X, self.X, self.eps, self.metric)
        distances = np.where(self.adjacent & core.astype(bool), distances, np.inf)
        found = np.where(np.isinf(distances.min(axis=1)), -1, distances.argmin(axis=1))
        return np.where(core, np.arange(self.m), found).astype(np.int32)


class Sorted(Neighbors):
    """Rows (m, d), their cells, and the arguments of kernels. ``depth``: levels of the tree, if not the fewest."""

    def __init__(self, X: np.ndarray, eps: float, metric: str = "euclidean", depth: int | None = None) -> None:
        super().__init__(X, eps, metric)
        self.depth = depth or next(depth for depth in DEPTHS if depth >= self.d)
        self.defines = {"ROW": CTYPES[X.dtype], "DEPTH": self.depth}
        wide = X.astype(np.float64)
        self.grid = make_grid(self.neighborhood, wide.min(axis=0), wide.max(axis=0))
        assert self.grid is not None
        own = np.floor((wide - self.grid.origin) * self.grid.inverse_side).astype(np.int64)[:, self.grid.order]
        own = np.pad(own, ((0, 0), (self.depth - self.d, 0)))
        # Within a cell, the last row comes first: no result may depend on that.
        self.order = np.array(sorted(range(self.m), key=lambda i: (*own[i], -i)), np.int32)
        self.rows, paths = X[self.order], [tuple(own[i]) for i in self.order]
        self.starts = np.array([next(group)[0] for _, group in groupby(enumerate(paths), lambda p: p[1])] + [self.m])
        self.starts = self.starts.astype(np.int32)
        self.cells = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts)).astype(np.int32)
        self.walk = self._walk(sorted(set(paths)))

    def _walk(self, cells: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The description, coordinates and children of the tree."""
        levels = [sorted({cell[: level + 1] for cell in cells}) for level in range(self.depth)]
        coordinates: list[int] = []
        children: list[int] = []
        told = np.zeros(1, _DESCRIPTION)
        for level, nodes in enumerate(levels):
            told["level"][0, level] = len(coordinates)
            coordinates += [node[-1] for node in nodes] + [-(2**60)]
            below = levels[level + 1] if level + 1 < self.depth else []
            children += [sum(child[:-1] < node for child in below) for node in nodes] + [len(below)]
        padding, order = self.depth - self.d, self.grid.order
        told["feature"] = [[-1] * padding + list(order) + [-9] * (8 - self.depth)]
        told["origin"][0, padding : self.depth] = self.grid.origin[order]
        told["inverse_side"], told["budget"], told["n_roots"] = self.grid.inverse_side, self.grid.budget, len(levels[0])
        told["d"], told["metric"] = self.d, METRICS.index(self.metric)
        told["scale"], told["limit"] = self.neighborhood.scale, self.neighborhood.limit
        told["surely"], told["hopeless"] = _screen_limits(self.neighborhood, self.d)
        return told.view(np.uint8), np.array(coordinates, np.int64), np.array(children, np.int32)


def boxes(rows: np.ndarray) -> np.ndarray:
    """(n // 32, 2, d): the range of every 32 rows."""
    whole = rows[: len(rows) // 32 * 32].reshape(-1, 32, rows.shape[1])
    return np.ascontiguousarray(np.stack((whole.min(axis=1), whole.max(axis=1)), axis=1))


def blocks(n: int) -> tuple[int]:
    return (-(-n // THREADS),)


# Orders of threads that results must not depend on.
SCHEDULINGS: list[dict[str, Any]] = [
    {"order": "fifo"},
    {"order": "lifo"},
    *({"order": "random", "seed": seed, "resident": 8, "yields": 30} for seed in (1, 2, 3)),
]

# Dimensions and dtypes of rows: a kernel of its own for 2, 3 and 8 features, and for each dtype.
SHAPES = [
    *((d, np.float32) for d in range(1, 9)),
    *((d, np.float64) for d in (1, 2)),
    *(pytest.param(d, np.float64, marks=pytest.mark.slow) for d in range(3, 9)),
]
