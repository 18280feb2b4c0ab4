"""One answer everywhere: labels, centres, inertia and n_iter are equal to the last bit however the rows arrive."""

from __future__ import annotations

import functools

import numba
import numpy as np
import pytest

from gpuclust import KMeans, MiniBatchKMeans
from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.sources import as_source
from tests import datasets

N, D, K = 70_000, 10, 24
FEW = 4_500  # rows, on the emulated device


@functools.cache
def _rows(n):
    rng = np.random.default_rng(11)
    X = rng.normal(size=(200, D))[rng.integers(200, size=n)] * 4 + rng.normal(size=(n, D)) + 50
    return np.ascontiguousarray(X, dtype=np.float32)


@pytest.fixture
def rows(sized):
    return _rows(sized(N, FEW))


@pytest.fixture
def weights(rows):
    return datasets.weights(len(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@pytest.fixture
def file(rows, folder):
    path = folder / f"{len(rows)}.npy"
    if not path.exists():
        np.save(path, rows)
    return path


def _start(rows):
    return rows[:: len(rows) // K][:K].astype(np.float64)


def _run(engine, source, centers, weights=None, **options):
    return lloyd.run(Dataset(engine, source, weights), centers, max_iter=12, tol=0.0, **options)


def _assert_same(a, b):
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.centers, b.centers)
    assert a.inertia == b.inertia
    assert a.n_iter == b.n_iter


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_chunks_files_and_repetition(engine, rows, weights, file, weighted):
    w = weights if weighted else None
    centers = _start(rows)
    expected = _run(engine, as_source(rows), centers, w)
    for chunk_rows in (1_000, 4_096, 65_536):
        _assert_same(_run(engine, as_source(rows, chunk_rows=chunk_rows), centers, w), expected)
    _assert_same(_run(engine, as_source(file), centers, w), expected)
    _assert_same(_run(engine, as_source(file, chunk_rows=5_000), centers, w), expected)
    for _ in range(5):
        _assert_same(_run(engine, as_source(rows), centers, w), expected)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_threads(engine, rows, weights, weighted):
    w = weights if weighted else None
    centers = _start(rows)
    available = numba.get_num_threads()
    results = []
    try:
        for threads in {1, min(2, available)}:
            numba.set_num_threads(threads)
            results.append(_run(engine, as_source(rows), centers, w))
    finally:
        numba.set_num_threads(available)
    for result in results[1:]:
        _assert_same(result, results[0])


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_sketch_and_delta_updates(engine, rows, weights, weighted):
    """Skipping work that cannot matter does not matter."""
    w = weights if weighted else None
    centers = _start(rows)
    expected = _run(engine, as_source(rows), centers, w, screen="full", delta=False)
    for screen in ("auto", "full", "sketch"):
        for delta in (True, False):
            _assert_same(_run(engine, as_source(rows), centers, w, screen=screen, delta=delta), expected)
            streamed = as_source(rows, chunk_rows=4_096)
            _assert_same(_run(engine, streamed, centers, w, screen=screen, delta=delta), expected)


@pytest.mark.parametrize(("name", "dtype"), datasets.HARD)
def test_hard_datasets(engine, name, dtype):
    X, start = datasets.hard(name, dtype)
    centers = start.astype(np.float64)
    w = datasets.weights(len(X))
    expected = _run(engine, as_source(X), centers, w, screen="full", delta=False)
    for screen in ("auto", "sketch"):
        for chunk_rows in (None, 37):
            source = as_source(X, chunk_rows=chunk_rows)
            _assert_same(_run(engine, source, centers, w, screen=screen), expected)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_order_of_the_rows(engine, rows, weights, weighted):
    """Shuffled partial sums: the same rows in another order give the same centres and inertia to the last bit."""
    order = np.random.default_rng(12).permutation(len(rows))
    centers = _start(rows)
    expected = _run(engine, as_source(rows), centers, weights if weighted else None)
    shuffled = _run(engine, as_source(rows[order]), centers, weights[order] if weighted else None)
    np.testing.assert_array_equal(shuffled.labels, expected.labels[order])
    np.testing.assert_array_equal(shuffled.centers, expected.centers)
    assert shuffled.inertia == expected.inertia
    assert shuffled.n_iter == expected.n_iter


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_estimator_from_array_and_file(rows, weights, file, init, metric):
    """Seeding included: the estimator gives the same bits from memory, from a file and from small chunks."""
    kmeans = KMeans(12, init=init, n_init=1, max_iter=5, random_state=3, metric=metric)
    kmeans.fit(rows, sample_weight=weights)
    expected = kmeans.cluster_centers_, kmeans.labels_, kmeans.inertia_, kmeans.n_iter_
    for X in (file, as_source(rows, chunk_rows=1_000), as_source(file, chunk_rows=4_096)):
        kmeans.fit(X, sample_weight=weights)
        for got, want in zip(
            (kmeans.cluster_centers_, kmeans.labels_, kmeans.inertia_, kmeans.n_iter_), expected, strict=True
        ):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_minibatch_from_array_and_file(rows, weights, file, metric):
    kmeans = MiniBatchKMeans(12, random_state=3, max_iter=1, metric=metric)
    kmeans.fit(rows, sample_weight=weights)
    expected = kmeans.cluster_centers_, kmeans.labels_, kmeans.inertia_, kmeans.n_steps_
    for X in (file, as_source(rows, chunk_rows=1_000)):
        kmeans.fit(X, sample_weight=weights)
        for got, want in zip(
            (kmeans.cluster_centers_, kmeans.labels_, kmeans.inertia_, kmeans.n_steps_), expected, strict=True
        ):
            np.testing.assert_array_equal(got, want)
