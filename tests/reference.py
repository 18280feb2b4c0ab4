"""The oracle: k-means as the contract defines it, plain and slow, in NumPy and exact rational arithmetic.

Nothing here is shared with the package. Distances are the canonical float64 sums, in the order the contract fixes;
sums of rows are exact fractions; inertia is ``math.fsum``. Meant for a few thousand rows.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

LANES = 32


class Result(NamedTuple):
    """What `lloyd` returns."""

    labels: np.ndarray
    centers: np.ndarray
    inertia: float
    n_iter: int


def scale(X: np.ndarray) -> float:
    """The power of two of the canonical distance: the largest |x| times it lies in [1/4, 1/2)."""
    largest = float(np.abs(X.astype(np.float64)).max())
    exponent = -(math.frexp(largest)[1] + 1) if largest > 0 else 0
    return math.ldexp(1.0, min(max(exponent, -1000), 1000))


def distances(X: np.ndarray, centers: np.ndarray, s: float | None = None) -> np.ndarray:
    """Canonical squared distances times s**2, (n, k): 32 accumulators filled in order, then added as a tree."""
    s = scale(X) if s is None else s
    rows, points = X.astype(np.float64), centers.astype(np.float64)
    out = np.empty((len(rows), len(points)))
    for i, row in enumerate(rows):
        terms = (row - points) * s
        terms = terms * terms
        lanes = np.zeros((len(points), LANES))
        for j in range(0, terms.shape[1], LANES):
            block = terms[:, j : j + LANES]
            lanes[:, : block.shape[1]] += block
        width = LANES
        while width > 1:
            width //= 2
            lanes = lanes[:, :width] + lanes[:, width : 2 * width]
        out[i] = lanes[:, 0]
    return out


def assign(X: np.ndarray, centers: np.ndarray, s: float | None = None) -> np.ndarray:
    """Index of the nearest centre of each row, ties to the lowest index."""
    return distances(X, centers, s).argmin(axis=1).astype(np.int32)


def own_distances(X: np.ndarray, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Canonical distance (times s**2) of each row to the centre of its label."""
    s = scale(X)
    return np.array([distances(x[None], centers[label][None], s)[0, 0] for x, label in zip(X, labels, strict=True)])


def inertia(X: np.ndarray, centers: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Correctly rounded sum of weight times distance, in the units of the rows."""
    own = own_distances(X, centers, labels)
    if weights is None:
        total = math.fsum(own)
    else:
        total = float(sum(Fraction(float(w)) * Fraction(float(d)) for w, d in zip(weights, own, strict=True)))
    s = scale(X)
    return total / s / s


def exact_means(
    X: np.ndarray, labels: np.ndarray, centers: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Weighted means of the clusters in rational arithmetic, rounded once; one without weight keeps its centre."""
    means = centers.astype(np.float64).copy()
    for cluster in range(len(centers)):
        members = np.flatnonzero(labels == cluster)
        w = [Fraction(1) if weights is None else Fraction(float(weights[i])) for i in members]
        total = sum(w, Fraction(0))
        if total > 0:
            for j in range(X.shape[1]):
                moment = sum((wi * Fraction(float(X[i, j])) for wi, i in zip(w, members, strict=True)), Fraction(0))
                means[cluster, j] = float(moment / total)
    return means


def relocate(X: np.ndarray, labels: np.ndarray, centers: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Labels after each cluster without weight has taken the row farthest from its centre.

    In order of cluster index; ties to the lowest row index; rows without weight and rows alone in their cluster stay.
    When the farthest row sits on its centre, the remaining clusters stay empty.
    """
    labels = labels.copy()
    w = np.ones(len(X)) if weights is None else weights
    own = own_distances(X, centers, labels)
    moved = np.zeros(len(X), dtype=bool)
    for cluster in range(len(centers)):
        if w[labels == cluster].sum() > 0:
            continue
        members = np.bincount(labels, minlength=len(centers))
        eligible = (w > 0) & ~moved & (members[labels] > 1)
        if not eligible.any():
            break
        row = int(np.argmax(np.where(eligible, own, -1.0)))
        if own[row] == 0:
            break
        labels[row] = cluster
        moved[row] = True
    return labels


def lloyd(
    X: np.ndarray,
    centers: np.ndarray,
    weights: np.ndarray | None = None,
    max_iter: int = 300,
    tol: float = 0.0,
) -> Result:
    """Lloyd's iterations with scikit-learn's stopping rules; the labels returned are those of the centres returned."""
    centers = centers.astype(X.dtype).astype(np.float64)
    s = scale(X)
    threshold = tol * float(np.mean(np.var(X.astype(np.float64) * s, axis=0))) if tol > 0 else 0.0
    previous, n_iter = None, 0
    while n_iter < max_iter:
        n_iter += 1
        labels = assign(X, centers)
        members = relocate(X, labels, centers, weights)
        means = exact_means(X, members, centers, weights).astype(X.dtype).astype(np.float64)
        shift = math.fsum((((means - centers) * s) ** 2).ravel())
        centers = means
        if previous is not None and np.array_equal(labels, previous):
            break
        if shift <= threshold:
            break
        previous = labels
    labels = assign(X, centers)
    return Result(labels, centers, inertia(X, centers, labels, weights), n_iter)
