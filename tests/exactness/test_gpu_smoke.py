"""Small fits that pass through every kernel: the GPU's bits are the CPU's. Also what compute-sanitizer runs.

Where there is no GPU the same bodies run on the CPU in chunks, so that they are tried before a GPU sees them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gpuclust import KMeans, MiniBatchKMeans
from gpuclust.engines.cuda.discovery import discover
from gpuclust.sources import Source, as_source

DEVICES = [pytest.param("cpu", id="cpu"), pytest.param("cuda", id="cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the fit runs that is compared with one on the CPU, in memory."""
    if request.param == "cpu":
        yield "cpu"
        return
    if discover().cause:
        pytest.skip(discover().cause)
    cupy: Any = importlib.import_module("cupy")
    # Every array an allocation of its own, so that memcheck sees its ends: a pool's blocks are larger.
    cupy.cuda.set_allocator(None)
    yield "cuda"
    cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)


def blobs(n: int, d: int, k: int, dtype: str = "float32", shift: float = 50.0) -> np.ndarray:
    rng = np.random.default_rng(n * d + k)
    rows = rng.normal(size=(k, d))[rng.integers(k, size=n)] * 3 + rng.normal(size=(n, d)) + shift
    return rows.astype(dtype)


def otherwise(X: np.ndarray, device: str) -> np.ndarray | Source:
    """The rows as they are for the GPU; for the CPU in chunks, so that not twice the same is compared."""
    return X if device == "cuda" else as_source(X, chunk_rows=97)


def assert_same_fit(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a.labels_, b.labels_)
    assert a.cluster_centers_.tobytes() == b.cluster_centers_.tobytes()
    assert (a.inertia_, a.n_iter_) == (b.inertia_, b.n_iter_)


def compare(X: np.ndarray, k: int, device: str, weights: np.ndarray | None = None, **parameters: Any) -> None:
    parameters = {"init": "random", "n_init": 1, "max_iter": 6, "tol": 0.0, "random_state": 3} | parameters
    expected = KMeans(k, device="cpu", **parameters).fit(X, sample_weight=weights)
    found = KMeans(k, device=device, **parameters).fit(otherwise(X, device), sample_weight=weights)
    assert_same_fit(found, expected)


# Around every edge of the tiles: rows, panels of 16 and 128 centres, widths of 16, rows kept in shared memory or not.
SHAPES = [(200, 1, 2), (300, 3, 1), (500, 16, 17), (700, 17, 128), (900, 64, 129), (400, 130, 33), (300, 600, 20)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_shapes(device: str, n: int, d: int, k: int, dtype: str) -> None:
    compare(blobs(n, d, k, dtype), k, device)


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_seeding(device: str, init: str) -> None:
    compare(blobs(3000, 9, 12), 12, device, init=init)


def test_weights(device: str) -> None:
    weights = np.random.default_rng(5).choice([0.0, 0.5, 3.0], 800)
    compare(blobs(800, 12, 15), 15, device, weights, init="k-means++")


def test_cosine(device: str) -> None:
    compare(blobs(600, 20, 9, shift=0.0), 9, device, metric="cosine")


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_ties_and_conditioning(device: str, shift: float) -> None:
    X = np.repeat(blobs(60, 5, 60, "float64", shift), 8, axis=0)  # every distance eight times
    compare(X, 60, device, init=X[::8][:60].copy())


def test_empty_clusters_are_filled(device: str) -> None:
    X = blobs(400, 4, 5)
    init = np.concatenate([X[:4], np.full((3, 4), 1e4, np.float32)])
    compare(X, 7, device, init=init)


def test_decaying_spectrum(device: str) -> None:
    """Where a sketch pays, if the engine has one."""
    rng = np.random.default_rng(8)
    X = (rng.normal(size=(2500, 256)) * np.arange(1, 257) ** -1.0).astype(np.float32)
    compare(X, 200, device, max_iter=8)


def test_streamed(device: str) -> None:
    X = blobs(2000, 24, 30)
    expected = KMeans(30, device="cpu", random_state=0, max_iter=5).fit(X)
    for chunk_rows in (333, 1999):
        found = KMeans(30, device=device, random_state=0, max_iter=5).fit(as_source(X, chunk_rows=chunk_rows))
        assert_same_fit(found, expected)


def test_predict_transform_score(device: str) -> None:
    X, Y = blobs(500, 11, 13), blobs(350, 11, 13)
    model = KMeans(13, device="cpu", random_state=0, max_iter=5).fit(X)
    expected = model.predict(Y), model.transform(Y), model.score(Y)
    model.set_params(device=device)
    Z = otherwise(Y, device)
    np.testing.assert_array_equal(model.predict(Z), expected[0])
    np.testing.assert_array_equal(model.transform(Z), expected[1])
    assert model.score(Z) == expected[2]


def test_minibatch(device: str) -> None:
    X = blobs(3000, 8, 10)
    parameters = {"random_state": 1, "batch_size": 256, "max_iter": 3}
    expected = MiniBatchKMeans(10, device="cpu", **parameters).fit(X)
    found = MiniBatchKMeans(10, device=device, **parameters).fit(otherwise(X, device))
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    assert found.cluster_centers_.tobytes() == expected.cluster_centers_.tobytes()


@pytest.mark.parametrize("device", DEVICES[1:], indirect=True)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_rows_on_the_gpu(device: str, library: str, dtype: str) -> None:
    """Rows that lie on the GPU give the bits of the same rows on the host, and the result comes back as their kind."""
    module = pytest.importorskip(library)
    X = blobs(900, 10, 12, dtype, shift=1.0)
    parameters = {"random_state": 2, "max_iter": 5}
    expected = KMeans(12, device="cpu", **parameters).fit(X)
    on_gpu = module.asarray(X) if library == "cupy" else module.from_numpy(X).cuda()
    model = KMeans(12, **parameters)
    labels = model.fit_predict(on_gpu)
    assert isinstance(labels, type(on_gpu))
    np.testing.assert_array_equal(labels.get() if library == "cupy" else labels.cpu().numpy(), expected.labels_)
    assert np.asarray(model.cluster_centers_).tobytes() == expected.cluster_centers_.tobytes()
