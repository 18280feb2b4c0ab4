"""The oracle of DBSCAN: neighbours by the canonical distance, clusters by the book, plain and slow, in NumPy.

Nothing here is shared with the package. Meant for a few hundred rows: everything is (n, n).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

LANES = 32


class Result(NamedTuple):
    """Labels (n,) int32, -1 for noise, and which rows are core, (n,) bool."""

    labels: np.ndarray
    core: np.ndarray


def scale(eps: float) -> float:
    """The power of two of the canonical distance: eps times it lies in [1/2, 1)."""
    return math.ldexp(1.0, -min(max(math.frexp(eps)[1], -1000), 1000))


def distances(X: np.ndarray, Y: np.ndarray, eps: float, metric: str = "euclidean") -> np.ndarray:
    """Canonical distances (n, m) in scaled units, squared for "euclidean": 32 accumulators, then added as a tree."""
    s, columns = scale(eps), Y.astype(np.float64)
    width = -(-X.shape[1] // LANES) * LANES
    terms = np.zeros((len(Y), width))
    out = np.empty((len(X), len(Y)))
    with np.errstate(over="ignore"):
        for i, row in enumerate(X.astype(np.float64)):
            terms[:, : X.shape[1]] = np.abs((row - columns) * s)
            if metric == "euclidean":
                terms *= terms
            out[i] = terms.max(axis=1) if metric == "chebyshev" else _canonical_sum(terms)
    return out


def _canonical_sum(terms: np.ndarray) -> np.ndarray:
    lanes = terms[:, :LANES]
    for j in range(LANES, terms.shape[1], LANES):
        lanes = lanes + terms[:, j : j + LANES]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def limit(eps: float, metric: str = "euclidean") -> float:
    """The largest canonical distance of neighbours."""
    scaled = eps * scale(eps)
    return scaled * scaled if metric == "euclidean" else scaled


def neighbors(X: np.ndarray, eps: float, metric: str = "euclidean") -> np.ndarray:
    """Which rows are neighbours, (n, n) bool; every row is its own."""
    return distances(X, X, eps, metric) <= limit(eps, metric)


def cluster(adjacent: np.ndarray, min_samples: int, weights: np.ndarray | None = None) -> Result:
    """DBSCAN of a graph of neighbours (n, n) bool.

    Core rows have neighbours of weight ``min_samples`` or more, added up without rounding. Clusters grow one after the
    other from the first core row that is in none; a row that is not core stays in the first cluster that reaches it.
    """
    if weights is None:
        core = adjacent.sum(axis=1) >= min_samples
    else:
        exact = [Fraction(float(w)) for w in weights]
        core = np.array(
            [sum((exact[j] for j in np.flatnonzero(near)), Fraction(0)) >= min_samples for near in adjacent]
        )
    labels = np.full(len(adjacent), -1, np.int32)
    n_clusters = 0
    for seed in np.flatnonzero(core):
        if labels[seed] >= 0:
            continue
        reached = np.zeros(len(adjacent), bool)
        front = np.arange(len(adjacent)) == seed
        while front.any():
            reached |= front
            front = adjacent[front & core].any(axis=0) & ~reached
        labels[reached & (labels < 0)] = n_clusters
        n_clusters += 1
    return Result(labels, core)


def dbscan(
    X: np.ndarray, eps: float, min_samples: int, metric: str = "euclidean", weights: np.ndarray | None = None
) -> Result:
    """DBSCAN of the rows of X."""
    return cluster(neighbors(X, eps, metric), min_samples, weights)


def predict(
    queries: np.ndarray, components: np.ndarray, labels: np.ndarray, eps: float, metric: str = "euclidean"
) -> np.ndarray:
    """Label of the canonically nearest component (labels of the components: ``labels``) within eps, the lowest of
    equals; otherwise -1.
    """
    found = distances(queries, components, eps, metric)
    nearest = found.argmin(axis=1)
    near = found[np.arange(len(queries)), nearest] <= limit(eps, metric)
    return np.where(near, labels[nearest], -1).astype(np.int32)
