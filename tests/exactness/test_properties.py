"""Properties that hold for any rows, found out by hypothesis."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpuclust import KMeans
from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.sources import as_source
from tests import reference

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


COARSE = st.integers(-4, 4).map(float)  # a grid: ties and duplicates
WILD = st.floats(float(np.float32(-1e30)), float(np.float32(1e30)), width=32)


@st.composite
def rows_and_k(draw, elements=(COARSE, WILD)):
    """Rows (n, d) float32 and a number of clusters."""
    n, d = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    X = draw(arrays(np.float32, (n, d), elements=draw(st.sampled_from(elements))))
    return X, draw(st.integers(1, min(n, 8)))


def _run(X, centers, weights=None, max_iter=6):
    data = Dataset(get_engine("cpu"), as_source(X), weights)
    return lloyd.run(data, centers.astype(np.float64), max_iter=max_iter, tol=0.0)


def _no_cluster_is_empty(X, k):
    """Relocation breaks ties by row index, so it alone depends on the order of the rows."""
    return len(np.unique(reference.assign(X, X[:k]))) == k


@given(rows_and_k())
@SETTINGS
def test_labels_are_exact_and_match_predict(case):
    X, k = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kmeans = KMeans(k, init=X[:k], max_iter=6, tol=0.0).fit(X)
    np.testing.assert_array_equal(kmeans.labels_, reference.assign(X, kmeans.cluster_centers_))
    np.testing.assert_array_equal(kmeans.labels_, kmeans.predict(X))
    np.testing.assert_array_equal(kmeans.predict(X[::-1]), kmeans.labels_[::-1])


@given(rows_and_k(), st.randoms(use_true_random=False))
@SETTINGS
def test_one_iteration_commutes_with_permutation(case, random):
    """Permuted rows give permuted labels and bit-identical centres."""
    X, k = case
    order = np.array(random.sample(range(len(X)), len(X)))
    if _no_cluster_is_empty(X, k):
        expected, permuted = _run(X, X[:k], max_iter=1), _run(X[order], X[:k], max_iter=1)
        np.testing.assert_array_equal(permuted.labels, expected.labels[order])
        np.testing.assert_array_equal(permuted.centers, expected.centers)
        assert permuted.inertia == expected.inertia


@given(rows_and_k(elements=(COARSE,)), st.integers(1, 5))
@SETTINGS
def test_weights_are_repetitions(case, times):
    """A row of integer weight w is w rows. Exact sums make it so to the last bit."""
    X, k = case
    repeats = np.arange(len(X)) % times + 1
    if _no_cluster_is_empty(X, k):
        weighted = _run(X, X[:k], repeats.astype(np.float64), max_iter=1)
        repeated = _run(np.repeat(X, repeats, axis=0), X[:k], max_iter=1)
        np.testing.assert_array_equal(repeated.labels, np.repeat(weighted.labels, repeats))
        np.testing.assert_array_equal(repeated.centers, weighted.centers)
        assert repeated.inertia == weighted.inertia


@given(rows_and_k(), st.integers(-30, 30))
@SETTINGS
def test_scaling_by_a_power_of_two_scales_everything(case, exponent):
    X, k = case
    X = X.astype(np.float64)
    plain, scaled = _run(X, X[:k]), _run(X * 2.0**exponent, X[:k] * 2.0**exponent)
    np.testing.assert_array_equal(scaled.labels, plain.labels)
    np.testing.assert_array_equal(scaled.centers, plain.centers * 2.0**exponent)
    assert scaled.inertia == plain.inertia * 4.0**exponent
