"""Which features a clustering rests on: how many rows leave their cluster when a feature's values are shuffled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct

__all__ = ["leaving"]


def leaving(
    predict: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    labels: np.ndarray,
    n_clusters: int,
    *,
    n_repeats: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Share of each cluster's rows that change their label when one feature is permuted within all rows.

    The permutation importance of L. Breiman, "Random forests", Machine Learning 45, 2001, for each cluster by itself.
    Features that say the same stand in for one another: of two copies, neither may matter. Takes as many predictions
    as there are features, of ``n_repeats`` times as many rows as there are.

    Parameters
    ----------
    predict : callable
        Of rows (m, d), their labels (m,).
    rows : array of shape (n, d)
        A missing modality is NaN, and stays missing.
    labels : int array of shape (n,)
        Cluster of each row; below 0: none.
    n_clusters : int
    n_repeats : int, default=5
        Permutations of each feature, over which the mean is taken.
    seed : int, default=0
        With the same seed, always the same permutations.

    Returns
    -------
    shares : float64 array of shape (n_clusters, d)
        From 0 to 1; NaN for a cluster without rows.
    """
    n, d = rows.shape
    sizes = n_repeats * np.bincount(labels[labels >= 0], minlength=n_clusters)
    left = np.zeros((n_clusters, d))
    permuted = np.tile(rows, (n_repeats, 1))
    before, clusters = np.tile(predict(rows), n_repeats), np.tile(labels, n_repeats)
    for feature in range(d):
        present = np.flatnonzero(~np.isnan(rows[:, feature]))
        for repeat in range(n_repeats):
            stream = purpose_stream(seed, f"permutation {repeat} of feature {feature}")
            permuted[repeat * n + present, feature] = rows[
                present[distinct(stream, len(present), len(present))], feature
            ]
        changed = (predict(permuted) != before) & (clusters >= 0)
        left[:, feature] = np.bincount(clusters[changed], minlength=n_clusters)
        permuted[:, feature] = np.tile(rows[:, feature], n_repeats)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty cluster
        return left / sizes[:, None]
