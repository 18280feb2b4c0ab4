"""Expectation and maximisation: by hand, against textbook EM in NumPy, and the same bits however rows come."""

from __future__ import annotations

import math
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gpuclust.algorithms import mixture
from gpuclust.algorithms.covariances import KINDS
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.mixture import INITIALIZATIONS, Parameters
from gpuclust.engines import get_engine
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.engines.cuda.split import SplitCudaEngine
from gpuclust.errors import DataError
from gpuclust.sources import as_source
from tests.emulation import EmulatedCuPy

MATRICES = ("full", "tied")


def _data(X, engine=None, chunk_rows=None):
    return Dataset(engine or get_engine("cpu"), as_source(X, chunk_rows=chunk_rows))


def _blobs(n, d=3, k=3, dtype=np.float64, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    centers, roots = 5 * rng.normal(size=(k, d)), rng.normal(size=(k, d, d))
    labels = rng.integers(0, k, n)
    return (centers[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n, d))) + offset).astype(dtype)


def _start(X, k, kind, seed=1):
    rng = np.random.default_rng(seed)
    means, d = X[rng.choice(len(X), k, replace=False)].astype(float), X.shape[1]
    covariance = {
        "full": np.stack([np.eye(d)] * k),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }
    return Parameters(np.full(k, 1 / k), means, covariance[kind], covariance[kind])


def _run(data, start, kind, max_iter=5, tol=0.0, reg_covar=1e-6, **options):
    return mixture.run(data, start, kind, max_iter=max_iter, tol=tol, reg_covar=reg_covar, **options)


def _as_matrices(covariances, kind, k, d):
    if kind in MATRICES:
        return np.broadcast_to(covariances, (k, d, d))
    return np.stack([np.diag(np.broadcast_to(variances, d)) for variances in covariances])


def _textbook(X, parameters, kind, n_iter, reg_covar=1e-6):
    """EM in float64, as books write it: moments about the new means, in a second look at the rows."""
    weights, means, covariances, _ = parameters
    (k, d), bounds = means.shape, []
    matrices = _as_matrices(covariances, kind, k, d)
    for _ in range(n_iter):
        joint = np.stack([multivariate_normal(m, c).logpdf(X) for m, c in zip(means, matrices, strict=True)], 1)
        joint += np.log(weights)
        density = logsumexp(joint, axis=1, keepdims=True)
        bounds.append(float(density.mean()))
        shares = np.exp(joint - density)
        total = shares.sum(axis=0)
        weights, means = total / len(X), shares.T @ X / total[:, None]
        scatter = np.stack([(shares[:, c, None] * (X - means[c])).T @ (X - means[c]) for c in range(k)])
        matrices = scatter / total[:, None, None]
        if kind == "tied":
            matrices = np.broadcast_to(scatter.sum(axis=0) / len(X), (k, d, d))
        if kind in ("diag", "spherical"):
            variances = np.diagonal(matrices, axis1=1, axis2=2)
            if kind == "spherical":
                variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), (k, d))
            matrices = np.stack([np.diag(v) for v in variances])
        matrices = matrices + reg_covar * np.eye(d)
    return weights, means, matrices, bounds


def _assert_same(a, b):
    for mine, yours in zip(a.parameters, b.parameters, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert a[1:] == b[1:]


# -- iterations --------------------------------------------------------------------------------------------------------


def test_one_component_by_hand(engine):
    """Mean 2 and variance 2/3, whatever the start; the bound is that of the start, a standard normal about 0."""
    X = np.array([[1.0], [2.0], [3.0]])
    start = Parameters(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1)))
    result = _run(_data(X, engine), start, "full", max_iter=1, reg_covar=0.0)
    np.testing.assert_allclose(result.parameters.means, [[2.0]], rtol=1e-14)
    np.testing.assert_allclose(result.parameters.covariances, [[[2 / 3]]], rtol=1e-13)
    np.testing.assert_allclose(result.parameters.factors, [[[math.sqrt(1.5)]]], rtol=1e-13)
    assert result.lower_bounds[0] == pytest.approx(-14 / 6 - 0.5 * math.log(2 * math.pi), rel=1e-15)
    assert not result.converged


def test_two_far_components_by_hand(engine):
    X = np.array([[0.0, 0.0], [0.0, 2.0], [100.0, 0.0], [104.0, 0.0], [100.0, 6.0], [104.0, 6.0]])
    start = Parameters(np.full(2, 0.5), X[[0, 2]], np.ones(2), np.ones(2))
    for kind, expected in {
        "diag": [[0, 1], [4, 9]],
        "spherical": [0.5, 6.5],
        "full": [[[0, 0], [0, 1]], [[4, 0], [0, 9]]],
        "tied": [[16 / 6, 0], [0, 38 / 6]],
    }.items():
        begin = start._replace(
            covariances=np.ones(np.shape(expected)),
            factors=np.ones(np.shape(expected)) if kind not in MATRICES else np.eye(2) + np.zeros(np.shape(expected)),
        )
        found = _run(_data(X, engine), begin, kind, max_iter=1, reg_covar=1e-9).parameters
        np.testing.assert_allclose(found.weights, [1 / 3, 2 / 3], rtol=1e-12)
        np.testing.assert_allclose(found.means, [[0, 1], [102, 3]], atol=1e-9)
        np.testing.assert_allclose(found.covariances, expected, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_as_books_write_it(kind):
    X = _blobs(900)
    start = _start(X, 3, kind)
    result = _run(_data(X), start, kind, max_iter=8)
    weights, means, matrices, bounds = _textbook(X, start, kind, 8)
    np.testing.assert_allclose(result.parameters.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(result.parameters.means, means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(_as_matrices(result.parameters.covariances, kind, 3, 3), matrices, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(result.lower_bounds, bounds, rtol=1e-11)


def test_means_far_from_all_rows(engine):
    """A wide component whose mean is a million away still takes its share of the rows."""
    X = _blobs(80)
    covariances = np.stack([np.eye(3), 1e12 * np.eye(3)])
    factors = np.stack([np.eye(3), 1e-6 * np.eye(3)])
    start = Parameters(np.array([1e-12, 1.0]), np.stack([np.zeros(3), np.full(3, 1e6)]), covariances, factors)
    found = _run(_data(X, engine), start, "full", max_iter=1).parameters
    weights, means, matrices, _ = _textbook(X, start, "full", 1)
    assert 0.1 < weights[1] < 1
    np.testing.assert_allclose(found.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(found.means, means, rtol=1e-6)
    np.testing.assert_allclose(found.covariances, matrices, rtol=2e-3, atol=1e-3)


def test_data_far_from_the_origin_lose_nothing():
    """Rows near 1e8, of spread one: differences are taken before anything is squared."""
    X = np.round(_blobs(600) * 2**10) / 2**10  # so that the shift is exact
    far = X + 2.0**27
    near_start = _start(X, 3, "full")
    near = _run(_data(X), near_start, "full", max_iter=6).parameters
    shifted = _run(_data(far), near_start._replace(means=near_start.means + 2.0**27), "full", max_iter=6).parameters
    np.testing.assert_allclose(shifted.covariances, near.covariances, rtol=1e-5)
    np.testing.assert_allclose(shifted.means - 2.0**27, near.means, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.integers(1, 4), st.integers(1, 4))
def test_the_likelihood_never_falls(seed, kind, k, d):
    X = _blobs(60, d, 3, seed=seed)
    bounds = _run(_data(X), _start(X, k, kind, seed), kind, max_iter=12, reg_covar=1e-9).lower_bounds
    assert all(after >= before - 1e-6 * abs(before) for before, after in pairwise(bounds))


def test_tolerance_and_the_callback():
    X, seen = _blobs(300), []
    start = _start(X, 3, "full")
    result = _run(_data(X), start, "full", max_iter=100, tol=1e-2, callback=lambda *figures: seen.append(figures))
    assert result.converged
    assert [figures[0] for figures in seen] == list(range(1, len(result.lower_bounds) + 1))
    assert [figures[1] for figures in seen] == result.lower_bounds
    assert abs(seen[-1][2]) < 1e-2 <= min(abs(figures[2]) for figures in seen[:-1])
    assert seen[0][2] == math.inf
    again = _run(_data(X), result.parameters, "full", tol=1e-2, lower_bound=result.lower_bounds[-1])
    assert (again.converged, len(again.lower_bounds)) == (True, 1)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(_data(X), start, "full", callback=stop)


def test_a_component_of_no_weight_gets_no_rows():
    X = _blobs(100)
    start = _start(X, 2, "diag")._replace(weights=np.array([1.0, 0.0]))
    found = _run(_data(X), start, "diag", max_iter=1).parameters
    assert found.weights[1] < 1e-15
    np.testing.assert_array_equal(found.means[1], start.means[1])
    np.testing.assert_allclose(found.means[0], X.mean(axis=0))


@pytest.mark.parametrize("kind", KINDS)
def test_singular_covariances(kind):
    X = np.repeat(_blobs(4), 10, axis=0)
    X[:, 1] = 7.0
    if kind == "spherical":
        X[:] = 7.0
    start = _start(X, 2, kind)
    with pytest.raises(DataError, match="increase reg_covar"):
        _run(_data(X), start, kind, reg_covar=0.0)
    assert np.isfinite(_run(_data(X), start, kind, reg_covar=1e-6).lower_bounds).all()


def test_values_too_large_to_be_squared():
    X = _blobs(30) * 1e130
    with pytest.raises(DataError, match="scale X"):
        mixture.initial(_data(X), 2, "full", "kmeans", 0, 1e-6)
    small = _blobs(30)
    with pytest.raises(DataError, match="scale X"):
        _run(_data(small), _start(small, 2, "full")._replace(means=np.full((2, 3), 1e130)), "full")


# -- one answer --------------------------------------------------------------------------------------------------------


def _whole(engine, X, kind, init, chunk_rows=None):
    data = _data(X, engine, chunk_rows)
    start = mixture.initial(data, 3, kind, init, 5, 1e-3)
    result = _run(data, start, kind, max_iter=3)
    labels, densities, shares = [], [], []
    for _, found in mixture.densities(data, result.parameters, kind, responsibilities=True):
        labels.append(found.labels)
        densities.append(found.log_densities)
        shares.append(found.responsibilities)
    return result, np.concatenate(labels), np.concatenate(densities), np.concatenate(shares)


def _assert_all_same(a, b):
    _assert_same(a[0], b[0])
    for mine, yours in zip(a[1:], b[1:], strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("init", INITIALIZATIONS)
def test_the_same_bits_for_any_chunks_and_threads(init):
    X, before = _blobs(9000, dtype=np.float32), numba.get_num_threads()
    whole = _whole(get_engine("cpu"), X, "full", init)
    numba.set_num_threads(1)
    _assert_all_same(_whole(get_engine("cpu"), X, "full", init, chunk_rows=101), whole)
    numba.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.emulated
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("init", ["kmeans", "random"])
def test_the_same_bits_on_every_engine(init, kind):
    X = _blobs(120, d=4, dtype=np.float32)
    expected = _whole(get_engine("cpu"), X, kind, init)
    _assert_all_same(_whole(CudaEngine(0, EmulatedCuPy(asynchronous=True)), X, kind, init), expected)
    _assert_all_same(_whole(CudaEngine(0, EmulatedCuPy()), X, kind, init, chunk_rows=50), expected)


@pytest.mark.slow
@pytest.mark.emulated
def test_the_same_bits_on_several_gpus(monkeypatch):
    monkeypatch.setattr("gpuclust.engines.cuda.stripes.STRIPE", 1024)
    X = _blobs(1100, d=1, dtype=np.float32)
    expected = _whole(get_engine("cpu"), X, "full", "kmeans")
    _assert_all_same(_whole(SplitCudaEngine([0, 1], EmulatedCuPy(n_devices=2)), X, "full", "kmeans"), expected)


# -- where it begins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_kmeans_clusters_are_the_first_components(kind):
    X = np.array([[0.0, 0.0], [0.0, 2.0], [100.0, 0.0], [104.0, 0.0], [100.0, 6.0], [104.0, 6.0]])
    found = mixture.initial(_data(X), 2, kind, "kmeans", 3, 0.5)
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.weights[order], [1 / 3, 2 / 3])
    np.testing.assert_allclose(found.means[order], [[0, 1], [102, 3]], atol=1e-12)
    expected = {
        "diag": [[0.5, 1.5], [4.5, 9.5]],
        "spherical": [1.0, 7.0],
        "tied": np.diag([16 / 6 + 0.5, 38 / 6 + 0.5]),
    }
    expected["full"] = [np.diag(variances) for variances in expected["diag"]]
    covariances = found.covariances if kind == "tied" else found.covariances[order]
    np.testing.assert_allclose(covariances, expected[kind], atol=1e-12)


@pytest.mark.parametrize("init", ["k-means++", "random_from_data"])
@pytest.mark.parametrize("kind", KINDS)
def test_single_rows_without_extent(init, kind):
    X = _blobs(50)
    found = mixture.initial(_data(X), 4, kind, init, 3, 0.25)
    assert len(np.unique(found.means, axis=0)) == 4
    assert all((mean == X).all(axis=1).any() for mean in found.means)
    np.testing.assert_array_equal(found.weights, 0.25)
    np.testing.assert_array_equal(_as_matrices(found.covariances, kind, 4, 3), np.stack([0.25 * np.eye(3)] * 4))


def test_random_responsibilities_blur_all_rows():
    X = _blobs(4000)
    found = mixture.initial(_data(X), 3, "full", "random", 3, 0.0)
    np.testing.assert_allclose(found.weights, 1 / 3, atol=0.02)
    np.testing.assert_allclose(found.means, np.stack([X.mean(axis=0)] * 3), atol=0.3)
    assert len(np.unique(found.means, axis=0)) == 3
    np.testing.assert_allclose(found.covariances, np.stack([np.cov(X.T)] * 3), atol=2)
    assert not np.array_equal(found.means, mixture.initial(_data(X), 3, "full", "random", 4, 0.0).means)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_is_taken(kind, monkeypatch):
    X = _blobs(40)
    weights, means, k, d = np.array([0.25, 0.75]), np.ones((2, 3)), 2, 3
    covariances = {"full": np.stack([2 * np.eye(d)] * k), "tied": 2 * np.eye(d), "diag": 2 * np.ones((k, d))}.get(
        kind, 2 * np.ones(k)
    )
    precisions = np.where(covariances > 0, 0.5, 0.0)
    some = mixture.initial(_data(X), 2, kind, "k-means++", 0, 0.0, weights=weights, precisions=precisions)
    np.testing.assert_array_equal(some.weights, weights)
    np.testing.assert_allclose(some.covariances, covariances, rtol=1e-15)
    assert (some.means[0] == X).all(axis=1).any()
    data = _data(X)
    monkeypatch.setattr(data, "parts", None)
    every = mixture.initial(data, 2, kind, "kmeans", 0, 0.0, weights=weights, means=means, precisions=precisions)
    np.testing.assert_array_equal(every.means, means)
    np.testing.assert_allclose(every.covariances, covariances, rtol=1e-15)
