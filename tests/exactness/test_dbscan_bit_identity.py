"""One answer everywhere: DBSCAN's labels and core rows are the same however the rows arrive and whatever runs."""

from __future__ import annotations

import functools

import numba
import numpy as np
import pytest

from gpuclust import DBSCAN
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import dbscan
from gpuclust.engines.neighborhood import METRICS, Neighborhood
from gpuclust.sources import as_source
from gpuclust.sources.regroup import RegroupedSource
from tests.dbscan_invariants import check_dbscan

MIN_SAMPLES = 6
# Features, rows, rows on the emulated device, eps by metric (about as many neighbours on either).
SHAPES = {
    "low": (2, 20_000, 900, {"euclidean": 0.08, "manhattan": 0.1, "chebyshev": 0.07}),
    "middle": (5, 4_000, 400, {"euclidean": 1.0, "manhattan": 1.8, "chebyshev": 0.65}),
    "high": (24, 3_000, 300, {"euclidean": 5.0, "manhattan": 19.0, "chebyshev": 1.95}),
}
EMULATED = {"low": 4.5, "middle": 1.35, "high": 1.15}  # fewer rows, farther apart


@functools.cache
def _rows(shape, n):
    d = SHAPES[shape][0]
    rng = np.random.default_rng(21)
    X = rng.normal(size=(12, d))[rng.integers(12, size=n)] * 2 + rng.normal(size=(n, d)) + 50
    X[::9] = rng.uniform(44, 56, size=X[::9].shape)
    X[1::40] = X[: len(X[1::40])]
    return np.ascontiguousarray(X, dtype=np.float32)


@pytest.fixture(params=SHAPES)
def shape(request):
    return request.param


@pytest.fixture
def rows(shape, sized):
    return _rows(shape, sized(*SHAPES[shape][1:3]))


@pytest.fixture(params=METRICS)
def neighborhood(request, shape, sized):
    return Neighborhood.within(SHAPES[shape][3][request.param] * sized(1.0, EMULATED[shape]), request.param)


@pytest.fixture
def weights(rows):
    return np.random.default_rng(22).integers(-1, 8, len(rows)) * 0.25


@pytest.fixture
def forms(shape):
    return ("auto", "pairs") if shape == "high" else ("auto", "cells", "pairs")


def _run(engine, source, neighborhood, **options):
    return dbscan(Dataset(engine, source), neighborhood, MIN_SAMPLES, **options)


def _assert_same(a, b):
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.core, b.core)


def test_forms_chunks_files_and_repetition(engine, sized, rows, neighborhood, forms, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    expected = _run(engine, as_source(rows), neighborhood)
    check_dbscan(
        rows,
        expected.labels,
        expected.core,
        eps=neighborhood.eps,
        min_samples=MIN_SAMPLES,
        metric=neighborhood.metric,
    )
    assert expected.labels.max() > 1
    assert (expected.labels < 0).any()
    assert ((expected.labels >= 0) & ~expected.core).any()
    third = -(-len(rows) // 3)
    for form in forms:
        for source in (
            as_source(rows),
            as_source(rows, chunk_rows=third),
            as_source(path),
            as_source(path, chunk_rows=sized(1_000, 100)),
            RegroupedSource(as_source(path, chunk_rows=77), third + 1),
        ):
            _assert_same(_run(engine, source, neighborhood, form=form), expected)


def test_little_memory(engine, rows, neighborhood, forms):
    expected = _run(engine, as_source(rows), neighborhood)
    for form in forms:
        for max_memory in (1, 500_000):
            for chunk_rows in (None, -(-len(rows) // 2)):
                source = as_source(rows, chunk_rows=chunk_rows)
                _assert_same(_run(engine, source, neighborhood, form=form, max_memory=max_memory), expected)


def test_float64_rows_of_the_same_values(engine, rows, neighborhood, forms):
    expected = _run(engine, as_source(rows), neighborhood)
    for form in forms:
        _assert_same(_run(engine, as_source(rows.astype(np.float64)), neighborhood, form=form), expected)


def test_weights_on_either_way(engine, rows, weights, neighborhood, forms):
    expected = _run(engine, as_source(rows), neighborhood, weights=weights)
    assert expected.labels.max() > 0
    for form in forms:
        for chunk_rows in (None, len(rows) // 2):
            source = as_source(rows, chunk_rows=chunk_rows)
            _assert_same(_run(engine, source, neighborhood, weights=weights, form=form), expected)


def test_threads(engine, rows, neighborhood, forms):
    available = numba.get_num_threads()
    results = []
    try:
        for threads in {1, min(2, available)}:
            numba.set_num_threads(threads)
            results += [_run(engine, as_source(rows), neighborhood, form=form) for form in forms]
    finally:
        numba.set_num_threads(available)
    for result in results[1:]:
        _assert_same(result, results[0])


def test_order_of_the_rows(engine, rows, neighborhood, forms):
    """The same rows in another order: the same core rows, noise, and clusters of core rows, numbered anew."""
    order = np.random.default_rng(23).permutation(len(rows))
    expected = _run(engine, as_source(rows), neighborhood)
    for form in forms:
        found = _run(engine, as_source(rows[order]), neighborhood, form=form)
        np.testing.assert_array_equal(found.core, expected.core[order])
        np.testing.assert_array_equal(found.labels < 0, (expected.labels < 0)[order])
        pairs = np.unique(np.stack([found.labels, expected.labels[order]])[:, found.core], axis=1)
        assert pairs.shape[1] == expected.labels.max() + 1 == found.labels.max() + 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "haversine", "manhattan"])
def test_estimator_from_array_file_and_little_memory(metric, tmp_path):
    rows = _rows("high", 3_000) - np.float32(50)
    if metric == "haversine":
        rows = np.radians(rows[:, :2]).astype(np.float64)
    eps = {"euclidean": 5.0, "cosine": 0.25, "haversine": 0.004, "manhattan": 19.0}[metric]
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    expected = DBSCAN(eps, min_samples=MIN_SAMPLES, metric=metric).fit(rows)
    assert expected.labels_.max() > 2
    predicted = expected.predict(rows)
    for X, max_memory in ((path, None), (path, "200kB"), (as_source(rows, chunk_rows=900), None), (rows, 1)):
        fitted = DBSCAN(eps, min_samples=MIN_SAMPLES, metric=metric, max_memory=max_memory).fit(X)
        np.testing.assert_array_equal(fitted.labels_, expected.labels_)
        np.testing.assert_array_equal(fitted.core_sample_indices_, expected.core_sample_indices_)
        np.testing.assert_array_equal(fitted.components_, expected.components_)
        np.testing.assert_array_equal(fitted.predict(X), predicted)
