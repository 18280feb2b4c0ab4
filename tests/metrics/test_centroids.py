"""Davies-Bouldin, Calinski-Harabasz and inertia: by hand, equal to scikit-learn's, and right on hard data."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from gpuclust import KMeans
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError
from gpuclust.metrics import calinski_harabasz_score, davies_bouldin_score, inertia
from gpuclust.metrics.centroids import calinski_harabasz_of, davies_bouldin_of, inertia_of, means_of
from gpuclust.sources import as_source
from tests.datasets import HARD, hard

SCORES = (davies_bouldin_of, calinski_harabasz_of)


def _exact(X, labels):
    """Calinski-Harabasz and inertia in rational arithmetic."""
    rows = [[Fraction(float(value)) for value in row] for row in X]
    groups = [[row for row, label in zip(rows, labels, strict=True) if label == c] for c in np.unique(labels)]

    def mean(group):
        return [sum(column) / len(group) for column in zip(*group, strict=True)]

    def spread(group, middle):
        return sum(sum((x - m) ** 2 for x, m in zip(row, middle, strict=True)) for row in group)

    within = sum(spread(group, mean(group)) for group in groups)
    between = sum(len(group) * spread([mean(group)], mean(rows)) for group in groups)
    n, k = len(rows), len(groups)
    return (between * (n - k) / (within * (k - 1)) if within else None), within


def test_by_hand(engine):
    X = np.array([[0.0], [2.0], [10.0], [14.0]])
    labels = np.array([0, 0, 1, 1], np.int32)
    data = Dataset(engine, as_source(X))
    # Means 1 and 12, mean distances to them 1 and 2, squares 2 and 8; all rows have the mean 6.5.
    assert davies_bouldin_of(data, labels) == pytest.approx(3 / 11, rel=1e-15)
    assert calinski_harabasz_of(data, labels) == pytest.approx(4 * 5.5**2 * 2 / 10, rel=1e-15)
    assert inertia_of(data, labels) == 10.0
    assert inertia_of(data, labels, np.array([[0.0], [10.0]])) == 20.0
    means = means_of(data, labels)
    np.testing.assert_array_equal(means.centers, [[1], [12]])
    np.testing.assert_array_equal(means.sizes, [2, 2])


@pytest.mark.parametrize("score", SCORES)
def test_rows_without_a_cluster_and_unused_numbers(engine, score):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(60, 3)), rng.integers(3, size=60).astype(np.int32)
    expected = score(Dataset(engine, as_source(X[labels > 0])), labels[labels > 0] - 1)
    noisy = np.where(labels == 0, -1, 2 * labels).astype(np.int32)
    assert score(Dataset(engine, as_source(X)), noisy) == expected
    centers = np.zeros((5, 3))
    centers[[2, 4]] = means_of(Dataset(engine, as_source(X)), labels).centers[1:]
    assert score(Dataset(engine, as_source(X)), noisy, centers) == expected


@pytest.mark.parametrize("score", SCORES)
def test_rows_have_no_weights(score):
    data = Dataset(get_engine("cpu"), as_source(np.eye(4)), np.array([1.0, 2, 1, 1]))
    with pytest.raises(ParameterError, match="counts every row once"):
        score(data, np.array([0, 0, 1, 1], np.int32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_to_scikit_learn(dtype):
    rng = np.random.default_rng(1)
    for k in (2, 5, 90):
        labels = rng.integers(k, size=400)
        X = (rng.normal(size=(k, 6))[labels] * 2 + rng.normal(size=(400, 6))).astype(dtype)
        wide = X.astype(np.float64)
        theirs = sklearn_metrics.davies_bouldin_score(wide, labels)
        assert davies_bouldin_score(X, labels) == pytest.approx(theirs, rel=1e-9)
        theirs = sklearn_metrics.calinski_harabasz_score(wide, labels)
        assert calinski_harabasz_score(X, labels) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("name", "dtype"), HARD)
def test_right_on_hard_data(name, dtype):
    X = hard(name, dtype).X[:60, :40]
    labels = np.arange(len(X)) % 3
    if len(X) < 4:
        return
    expected, within = _exact(X, labels)
    if expected is None:
        assert calinski_harabasz_score(X, labels) == 1.0
    else:
        # The means are rounded to float64; data at 1e6 keeps ten digits of its spread.
        assert calinski_harabasz_score(X, labels) == pytest.approx(float(expected), rel=1e-7)
    if 1e-290 < within < 1e290:
        assert inertia(X, labels) == pytest.approx(float(within), rel=1e-9)


def test_clusters_in_one_place():
    X, labels = np.array([[0.0, 0], [2, 0], [1, 1], [1, -1], [9, 9], [9, 9]]), [0, 0, 1, 1, 2, 2]
    assert davies_bouldin_score(X, labels) == pytest.approx(sklearn_metrics.davies_bouldin_score(X, labels))
    assert davies_bouldin_score(np.zeros((4, 2)), [0, 0, 1, 1]) == 0.0
    # Small is not zero: scikit-learn has 0 here, by an absolute tolerance.
    assert davies_bouldin_score(X * 1e-12, labels) == pytest.approx(davies_bouldin_score(X, labels), rel=1e-9)


def test_inertia_is_that_of_the_fit():
    X = np.random.default_rng(2).normal(size=(500, 4)).astype(np.float32)
    weights = np.random.default_rng(3).random(500) + 0.5
    model = KMeans(5, random_state=0).fit(X, sample_weight=weights)
    found = inertia(X, model.labels_, centers=model.cluster_centers_, sample_weight=weights)
    assert found == model.inertia_
    assert inertia(X, model.labels_, sample_weight=weights) <= found
    assert inertia(X, np.zeros(500)) == pytest.approx(((X - X.mean(axis=0)) ** 2).sum(), rel=1e-5)


def test_inertia_checks_what_labels_stand_for():
    X = np.eye(3)
    with pytest.raises(DataError, match="from 0 to 1, but are from 0 to 2"):
        inertia(X, [0, 1, 2], centers=X[:2])
    with pytest.raises(DataError, match="features"):
        inertia(X, [0, 1, 2], centers=X[:, :2])
    with pytest.raises(DataError, match="NaN"):
        inertia(X, [0, 1, 2], centers=X * np.nan)


@pytest.mark.parametrize("score", [davies_bouldin_score, calinski_harabasz_score])
@pytest.mark.parametrize("labels", [np.zeros(5, int), np.arange(5)])
def test_too_few_or_too_many_clusters(score, labels):
    with pytest.raises(DataError, match="the number of clusters"):
        score(np.eye(5), labels)
