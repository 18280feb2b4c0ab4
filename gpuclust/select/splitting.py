"""X-means: clusters are split in two while the Bayesian information criterion says that two describe them better.

D. Pelleg, A. Moore, "X-means: extending k-means with efficient estimation of the number of clusters", ICML 2000. All
clusters are split at once: in the pass over the rows a row has only the two children of its own cluster to choose from,
so that a round costs two distances a row however many clusters there are, and rows may be streamed.

A model of K spherical Gaussians of one variance has, for R rows of d features, R_k of them in cluster k, and the sum S
of the squared distances to the centres, the log-likelihood (with the variance per feature, S / (d (R - K)))::

    sum_k R_k log(R_k / R) - R d / 2 log(2 pi S / (d (R - K))) - d (R - K) / 2

and K (d + 1) free parameters; BIC is the likelihood less half of their number times log R.
"""

from __future__ import annotations

import math

import numpy as np

from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.lloyd import LloydResult
from gpuclust.algorithms.random import purpose_stream
from gpuclust.metrics.centroids import means_of, own_distances

__all__ = ["bic", "split_clusters", "xmeans"]

# Children settle quickly, and the k-means of all rows that follows puts right what is left.
_CHILD_ITERATIONS = 20


def xmeans(
    data: Dataset,
    centers: np.ndarray,
    *,
    max_clusters: int,
    seed: int,
    max_iter: int,
    tol: float,
    precision: str = "exact",
    callback: lloyd.Callback | None = None,
) -> tuple[LloydResult, int]:
    """Alternate k-means of all rows and splits, from ``centers`` (k, d), until no split is worth it.

    Returns
    -------
    found : LloydResult
    n_rounds : int
        Rounds of splitting, the last of which, unless ``max_clusters`` was reached, changed nothing.
    """
    n_rounds = 0
    while True:
        found = lloyd.run(data, centers, max_iter=max_iter, tol=tol, precision=precision, callback=callback)
        if len(found.centers) >= max_clusters or found.n_distinct < len(found.centers):
            return found, n_rounds
        n_rounds += 1
        centers = split_clusters(data, found, max_clusters=max_clusters, seed=seed + n_rounds)
        if len(centers) == len(found.centers):
            return found, n_rounds


def split_clusters(data: Dataset, found: LloydResult, *, max_clusters: int, seed: int) -> np.ndarray:
    """The centres, those of clusters that are better described by two replaced by two: at most ``max_clusters``.

    If more are worth splitting, those that gain most are.
    """
    k = len(found.centers)
    sizes, spread = _spread(data, found.centers, found.labels)
    radius = np.sqrt(spread / np.where(sizes > 0, sizes, 1.0))
    gain, children = np.full(k, -math.inf), np.repeat(found.centers, 2, axis=0)
    # Towards the farthest row, where another cluster is if there is one; and, as there may be an outlier, at random.
    towards = data.take(_farthest(data, found.centers, found.labels)).astype(np.float64) - found.centers
    random = purpose_stream(seed, "directions of splits").uniform(found.centers.size).reshape(towards.shape) - 0.5
    for direction in (towards, random):
        two, child_sizes, child_spread = _halved(data, found, direction, radius)
        for cluster in range(k):
            pair = slice(2 * cluster, 2 * cluster + 2)
            if child_sizes[pair].min() > 0:
                one = bic(sizes[[cluster]], float(spread[cluster]), data.n_features)
                gained = bic(child_sizes[pair], float(child_spread[pair].sum()), data.n_features) - one
                if gained > gain[cluster]:
                    gain[cluster], children[pair] = gained, two[pair]
    order = np.argsort(-gain, kind="stable")[: max_clusters - k]
    split = np.sort(order[gain[order] > 0])
    kept = np.setdiff1d(np.arange(k), split)
    return np.concatenate([found.centers[kept], children[2 * split], children[2 * split + 1]])


def _halved(
    data: Dataset, found: LloydResult, direction: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2-means of every cluster by itself, begun ``radius`` (k,) to both sides of its centre along ``direction`` (k, d).

    Returns the children, (2 k, d), the weight of each, and the sum of squared distances to it, (2 k,).
    """
    length = np.sqrt(np.einsum("ij,ij->i", direction, direction))
    step = direction * (radius / np.where(length > 0, length, 1.0))[:, None]
    children = np.stack([found.centers - step, found.centers + step], axis=1).reshape(-1, data.n_features)
    for _ in range(_CHILD_ITERATIONS):
        labels = _nearer_child(data, children, found.labels)
        before, children = children, _means(data, children, labels)
        if np.array_equal(before, children):
            break
    return children, *_spread(data, children, _nearer_child(data, children, found.labels))


def bic(sizes: np.ndarray, spread: float, n_features: int) -> float:
    """The Bayesian information criterion of clusters with so many rows and a sum of squared distances ``spread``.

    Infinite for rows that all equal their centre; minus infinity for no more rows than clusters.
    """
    n_rows, k = float(sizes.sum()), len(sizes)
    if n_rows <= k:
        return -math.inf
    if spread <= 0:
        return math.inf
    variance = spread / (n_features * (n_rows - k))
    likelihood = sum(size * math.log(size / n_rows) for size in sizes.tolist())
    likelihood -= n_rows * n_features / 2 * math.log(2 * math.pi * variance) + n_features * (n_rows - k) / 2
    return likelihood - k * (n_features + 1) / 2 * math.log(n_rows)


def _farthest(data: Dataset, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each cluster its row that is farthest from the centre, the first of equals; row 0 where there is none."""
    frame, at = data.frame(centers), 0
    most, rows = np.full(len(centers), -1.0), np.zeros(len(centers), np.int64)
    for mine, distances in own_distances(data, labels, centers, frame):
        before = most.copy()
        np.maximum.at(most, mine, distances)
        new = np.flatnonzero((distances == most[mine]) & (most[mine] > before[mine]))[::-1]
        rows[mine[new]] = at + new
        at += len(mine)
    return rows


def _nearer_child(data: Dataset, children: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each row the nearer child of its cluster, the first of equals: (n,) int32."""
    frame, at = data.frame(children), 0
    out = 2 * labels
    both = (own_distances(data, 2 * labels + side, children, frame) for side in (0, 1))
    for (_, first), (_, second) in zip(*both, strict=True):
        out[at : at + len(first)] += second < first
        at += len(first)
    return out


def _means(data: Dataset, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of the rows of each label, rounded to their dtype; a centre without rows stays."""
    found = means_of(data, labels)
    out = centers.copy()
    present = np.flatnonzero(found.sizes)
    out[present] = found.centers[present].astype(data.dtype)
    return out


def _spread(data: Dataset, centers: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each label, and the weighted sum of the squared distances to its centre: (k,) float64 each."""
    frame, at = data.frame(centers), 0
    sizes, spread = np.zeros(len(centers)), np.zeros(len(centers))
    weights = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight
    for mine, distances in own_distances(data, labels, centers, frame):
        weight = weights[at : at + len(mine)]
        # Row after row: the order of the sums, and so their bits, do not depend on the parts.
        np.add.at(spread, mine, distances * weight)
        np.add.at(sizes, mine, weight)
        at += len(mine)
    return sizes, spread / frame.scale / frame.scale
