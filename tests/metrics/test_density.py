"""DBCV: by hand, equal to the definition computed with whole matrices, and better for what is better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import DisjointSet
from scipy.spatial.distance import cdist
from sklearn.datasets import make_moons

from gpuclust.algorithms.dataset import Dataset
from gpuclust.errors import DataError, ParameterError
from gpuclust.metrics import dbcv_score, density, silhouette_score
from gpuclust.metrics.density import dbcv_of
from gpuclust.sources import as_source


def _oracle(X, labels, metric="euclidean"):
    """The definition; trees by Kruskal's algorithm."""
    distances, d = cdist(X, X, metric), X.shape[1]
    clusters = []
    for c in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == c)
        own = distances[np.ix_(rows, rows)]
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.where(np.eye(len(rows), dtype=bool), 0, (1 / own) ** d)
        core = (inverse.sum(axis=1) / (len(rows) - 1)) ** (-1 / d)
        mutual = np.maximum(np.maximum(own, core[:, None]), core)
        tree, joined = np.zeros_like(own), DisjointSet(range(len(rows)))
        for i, j in sorted(
            zip(*np.triu_indices(len(rows), 1), strict=True), key=lambda edge: (mutual[edge], own[edge])
        ):
            if joined.merge(i, j):
                tree[i, j] = mutual[i, j]
        degree = (tree > 0).sum(axis=0) + (tree > 0).sum(axis=1)
        internal = np.flatnonzero(degree > 1)
        between = tree[np.ix_(internal, internal)]
        clusters.append((rows[internal], core[internal], len(rows), between.max() or tree.max()))
    total = 0.0
    for i, (rows, core, size, sparseness) in enumerate(clusters):
        apart = min(
            np.maximum(np.maximum(distances[np.ix_(rows, others)], core[:, None]), their_core).min()
            for j, (others, their_core, _, _) in enumerate(clusters)
            if j != i
        )
        total += size * (apart - sparseness) / max(apart, sparseness)
    return total / len(X)


def test_by_hand(engine):
    # Core distances, of one feature: of 0, 2 / (1 + 1/3) = 1.5, of 1, 2 / (1 + 1/2) = 4/3, of 3, 2 / (1/3 + 1/2) = 2.4.
    # So the tree is 0 - 1 (1.5) and 1 - 3 (2.4); 1 alone is internal, and the longest edge stands for its sparseness.
    X = np.array([[0.0], [1.0], [3.0], [10.0], [11.0], [13.0], [100.0]])
    data = Dataset(engine, as_source(X))
    found = dbcv_of(data, np.array([0, 0, 0, 1, 1, 1, -1], np.int32))
    assert found == pytest.approx(6 / 7 * (10 - 2.4) / 10, rel=1e-14)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("d", [2, 3, 20])
def test_equal_to_the_definition(monkeypatch, d, metric):
    rng = np.random.default_rng(d)
    labels = np.r_[np.arange(90) % 3, -np.ones(10, int)]
    X = rng.normal(size=(3, d))[labels] * 4 + rng.normal(size=(100, d))
    expected = _oracle(X, labels, metric)
    assert dbcv_score(X, labels, metric=metric) == pytest.approx(expected, rel=1e-9)
    order = rng.permutation(100)
    assert dbcv_score(X[order], labels[order], metric=metric) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(density, "_CELLS", 40)
    assert dbcv_score(X, labels, metric=metric) == pytest.approx(expected, rel=1e-9)


def test_prefers_moons_to_halves():
    X, moons = make_moons(300, noise=0.05, random_state=0)
    halves = (X[:, 0] > 0.5).astype(int)
    assert dbcv_score(X, moons) > 0 > dbcv_score(X, halves)
    assert silhouette_score(X, moons) < silhouette_score(X, halves)  # which is why there is DBCV


def test_noise_and_lonely_rows_lower_it():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + 20, [[9, 9], [50, 50]]]
    labels = np.r_[np.zeros(50, int), np.ones(50, int)]
    best = dbcv_score(X[:100], labels)
    assert dbcv_score(X, np.r_[labels, -1, -1]) == pytest.approx(best * 100 / 102, rel=1e-12)
    assert dbcv_score(X, np.r_[labels, 2, -1]) == pytest.approx(best * 100 / 102, rel=1e-12)


def test_duplicates_and_scales():
    rng = np.random.default_rng(1)
    X, labels = np.r_[rng.normal(size=(30, 3)), rng.normal(size=(30, 3)) + 9], np.repeat([0, 1], 30)
    expected = dbcv_score(X, labels)
    for factor in (2.0**-400, 2.0**400):
        assert dbcv_score(X * factor, labels) == pytest.approx(expected, rel=1e-12)
    twice = dbcv_score(np.r_[X, X], np.r_[labels, labels])
    assert np.isfinite(twice)
    assert dbcv_score(np.repeat([[0.0, 0], [1, 1]], 5, axis=0), np.repeat([0, 1], 5)) == 1.0


@pytest.mark.parametrize("labels", [[0] * 6, [-1] * 6, [0, 0, 0, 1, -1, -1]])
def test_clusters_are_compared(labels):
    with pytest.raises(DataError, match=r"2 are needed|all rows are noise"):
        dbcv_score(np.eye(6), labels)


def test_metric_is_checked():
    with pytest.raises(ParameterError, match="metric='manhattan'"):
        dbcv_score(np.eye(4), [0, 0, 1, 1], metric="manhattan")
