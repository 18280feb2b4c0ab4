"""Scores that compare rows with the mean of their cluster: one pass for the means, one for the distances.

Means come from exact fixed-point sums; sums of distances are exact too (gpuclust.engines.distance_sums), sums of
squares correctly rounded. So every score is a function of the rows and labels alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import Frame, exact_products, exact_total
from gpuclust.engines.distance_sums import SumFormat
from gpuclust.errors import ParameterError
from gpuclust.metrics.labels import check_between, compact

__all__ = ["Means", "calinski_harabasz_of", "davies_bouldin_of", "inertia_of", "means_of", "own_distances"]


class Means(NamedTuple):
    """Means of the clusters, (k, d) float64 (those of no row: zero), and their sizes, (k,) int64."""

    centers: np.ndarray
    sizes: np.ndarray


def means_of(data: Dataset, labels: np.ndarray) -> Means:
    """Means of the rows of each cluster, weighted if the rows are; ``labels`` (n,) int32 from 0 on, -1: of none."""
    engine, k = data.engine, int(labels.max()) + 1
    frame = data.frame(np.zeros((1, data.n_features)))
    sums = engine.new_sums(k, data.n_features)
    for part in data.parts():
        engine.move_rows(part.rows, part.weights, engine.labelled(part.rows, labels[part.rows_slice]), frame, sums)
    found = engine.sums_on_host(sums)
    weights = found.weights(frame)
    sizes = np.bincount(labels[labels >= 0], minlength=k)
    return Means(found.totals(frame) / np.where(weights > 0, weights, 1.0)[:, None], sizes)


def own_distances(
    data: Dataset, labels: np.ndarray, centers: np.ndarray, frame: Frame
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Part by part, the labels of the rows that have one, and their scaled squared distance to ``centers[label]``."""
    engine = data.engine
    placed, numbers = engine.array(centers), engine.array(np.maximum(labels, 0))
    for part in data.parts():
        own = labels[part.rows_slice]
        found = engine.to_host(engine.distances(part.rows, placed, numbers[part.rows_slice], frame))
        yield own[own >= 0], found[own >= 0]


def inertia_of(data: Dataset, labels: np.ndarray, centers: np.ndarray | None = None) -> float:
    """Weighted sum of the squared distances of the rows to the mean, or centre, of their cluster, correctly rounded."""
    centers = means_of(data, labels).centers if centers is None else centers
    frame, weights = data.frame(centers), data.sample_weight

    def terms() -> Iterator[np.ndarray]:
        at = 0
        counted = None if weights is None else weights[labels >= 0]
        for _, found in own_distances(data, labels, centers, frame):
            yield from [found] if counted is None else exact_products(counted[at : at + len(found)], found)
            at += len(found)

    return exact_total(terms()) / frame.scale / frame.scale


def davies_bouldin_of(data: Dataset, labels: np.ndarray, centers: np.ndarray | None = None) -> float:
    """Davies-Bouldin score; ``centers`` (k, d) where they are known already, otherwise the means of the clusters."""
    labels, centers, sizes = _of_clusters(data, labels, centers, "davies_bouldin_score")
    frame, engine = data.frame(centers), data.engine
    form = SumFormat.of(data.n_rows, data.n_features, frame.scale)
    limbs = np.zeros((2, len(sizes)), np.int64)
    for own, found in own_distances(data, labels, centers, frame):
        for limb, values in zip(limbs, form.limbs(np.sqrt(found)), strict=True):
            np.add.at(limb, own, values)
    spread = form.values(limbs) / sizes
    placed, worst = engine.array(centers), np.empty(len(sizes))
    for first in range(0, len(sizes), _BLOCK):
        some = slice(first, first + _BLOCK)
        apart = np.sqrt(engine.pairwise(engine.place(centers[some]), placed, frame))
        with np.errstate(divide="ignore", invalid="ignore"):
            similarity = (spread[some, None] + spread) / apart
        # Clusters in one place are no worse than any: scikit-learn leaves them out.
        worst[some] = np.where(apart > 0, similarity, 0.0).max(axis=1)
    return math.fsum(worst) / len(worst)


def calinski_harabasz_of(data: Dataset, labels: np.ndarray, centers: np.ndarray | None = None) -> float:
    """Calinski-Harabasz score; ``centers`` as in :func:`davies_bouldin_of`."""
    labels, centers, sizes = _of_clusters(data, labels, centers, "calinski_harabasz_score")
    k, n = len(sizes), int(sizes.sum())
    frame, engine = data.frame(centers), data.engine
    within = exact_total(found for _, found in own_distances(data, labels, centers, frame))
    middle = means_of(data, np.where(labels >= 0, 0, -1).astype(np.int32)).centers
    apart = engine.pairwise(engine.place(centers), engine.array(middle), frame)[:, 0]
    between = exact_total([apart * sizes])
    return 1.0 if within == 0 else between * (n - k) / (within * (k - 1))


_BLOCK = 1024


def _of_clusters(
    data: Dataset, labels: np.ndarray, centers: np.ndarray | None, score: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, centres and sizes of the clusters that have rows, numbered without a gap."""
    if data.sample_weight is not None:
        raise ParameterError(f"sample_weight: {score} counts every row once; open the rows without weights.")
    if centers is not None:
        present = np.bincount(labels[labels >= 0], minlength=len(centers)) > 0
        centers = np.ascontiguousarray(centers[present], np.float64)
    labels = compact(labels)
    sizes = np.bincount(labels[labels >= 0])
    check_between(len(sizes), int(sizes.sum()), score)
    return labels, means_of(data, labels).centers if centers is None else centers, sizes
