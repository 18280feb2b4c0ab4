"""What only a GPU shows: the CPU's bits with real memory, streams, libraries beside us, sizes, several devices.

The bodies run in small on an emulated device too, so that they are tried before a GPU sees them. The edges of the
kernels are in tests/exactness/test_gpu_smoke.py, which also has each algorithm in small.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuclust import KMeans, MiniBatchKMeans
from gpuclust.algorithms import assignment
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.engines.cuda import placement, stripes
from gpuclust.sources import as_source
from tests import datasets
from tests.emulation import EmulatedCuPy

pytestmark = pytest.mark.filterwarnings("ignore::gpuclust.errors.ConvergenceWarning")


def on_gpu(test: Callable[..., None]) -> Any:
    """No parameter of the fixture but a real GPU."""
    return pytest.mark.gpu(pytest.mark.parametrize("cupy", ["gpu"], indirect=True)(test))


def sized(cupy: Any, small: Any, large: Any) -> Any:
    """``small`` for the emulated machine."""
    return small if isinstance(cupy, EmulatedCuPy) else large


def cuda_torch() -> Any:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    return torch


def blobs(n: int, d: int, k: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = 3 * rng.normal(size=(2 * k, d))[rng.integers(2 * k, size=n)] + rng.normal(size=(n, d))
    return (rows * 4).astype(dtype) if np.dtype(dtype).kind == "i" else rows.astype(dtype)


def model(k: int, kind: Any = KMeans, **parameters: Any) -> Any:
    defaults = {"init": "random", "n_init": 1, "max_iter": 4, "random_state": 3}
    if kind is MiniBatchKMeans:
        defaults = {"n_init": 1, "max_iter": 2, "random_state": 3, "batch_size": 256}
    return kind(k, **defaults | parameters)


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    assert found.cluster_centers_.tobytes() == expected.cluster_centers_.tobytes()
    assert (found.inertia_, found.n_iter_) == (expected.inertia_, expected.n_iter_)


def compare(X: Any, k: int, *, to: Any = None, weights: Any = None, device: str = "cuda", **parameters: Any) -> Any:
    """Fit ``X`` (of ``to``, if given) on the GPU; the same bits as those of the CPU for ``X``. Returns the model."""
    expected = model(k, **parameters, device="cpu").fit(X, sample_weight=weights)
    found = model(k, **parameters, device=device).fit(X if to is None else to, sample_weight=weights)
    assert_same(found, expected)
    return found


HARD = [
    pytest.param("emulated", "ties", np.float32, id="emulated-ties", marks=pytest.mark.emulated),
    *(pytest.param("gpu", *case.values, id=f"gpu-{case.id}", marks=pytest.mark.gpu) for case in datasets.HARD),
]


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(("cupy", "name", "dtype"), HARD, indirect=["cupy"])
def test_hard_data(cupy: Any, name: str, dtype: Any, weighted: bool) -> None:
    X, init = datasets.hard(name, dtype)
    weights = datasets.weights(len(X)) if weighted else None
    compare(X, len(init), init=init, weights=weights, max_iter=10)


def clustered(cupy: Any, n: int, d: int, k: int) -> Any:
    """Rows made on the device; the first k are of k clusters."""
    rng = np.random.default_rng(0)
    middles, noise = (cupy.asarray(rng.normal(size=(m, d)).astype(np.float32)) for m in (k, 4099))
    rows, block = cupy.empty((n, d), np.float32), 1 << 16
    for start in range(0, n, block):
        numbers = np.arange(start, min(n, start + block))
        rows[start : start + block] = (
            middles[cupy.asarray(numbers * 7919 % k)] + noise[cupy.asarray(numbers * 104729 % 4099)]
        )
    return rows


@pytest.mark.parametrize(
    ("cupy", "n", "d", "k"),
    [
        pytest.param("emulated", 700, 9, 12, marks=pytest.mark.emulated),
        pytest.param("gpu", 2_200_000, 1000, 1000, marks=pytest.mark.gpu),
    ],
    indirect=["cupy"],
)
def test_more_than_two_to_the_31(cupy: Any, n: int, d: int, k: int) -> None:
    """Rows times columns and rows times clusters: labels as the CPU gives them, centres the means of their rows."""
    free, _ = cupy.cuda.runtime.memGetInfo()
    needed = 12 * n * d  # rows, their copy in half precision twice, and room
    if free < needed:
        pytest.skip(f"{free / 1e9:.0f} GB of the GPU's memory are free, {needed / 1e9:.0f} are needed")
    rows = clustered(cupy, n, d, k)
    start = rows[:k].get().astype(np.float64)
    labels = assignment.predict(Dataset(get_engine("cuda"), as_source(rows)), start)
    found = model(k, init=start, max_iter=1, tol=0.0).fit(rows)
    on_device, inertia = cupy.asarray(labels), 0.0
    for j in range(k):
        mine = rows[on_device == j].astype(np.float64)
        np.testing.assert_allclose(found.cluster_centers_[j], mine.mean(axis=0).get(), rtol=1e-6, atol=1e-6)
    on_device = cupy.asarray(found.labels_)
    for j in range(k):
        mine = rows[on_device == j].astype(np.float64) - cupy.asarray(found.cluster_centers_[j].astype(np.float64))
        inertia += float((mine * mine).sum())
    assert found.inertia_ == pytest.approx(inertia, rel=1e-9)
    sample = np.unique(np.append(np.random.default_rng(1).integers(n, size=3000), [0, n - 1]))
    some = rows[cupy.asarray(sample)].get()
    np.testing.assert_array_equal(found.labels_[sample], found.set_params(device="cpu").predict(some))


def test_little_memory(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else has nearly all of it: rows are then streamed, in pieces that fit."""
    n, d, room = sized(cupy, (1500, 16, 200_000), (1_000_000, 128, 256 << 20))
    monkeypatch.setattr(placement, "_SMALLEST_PIECE", 128)
    X = blobs(n, d, 16)
    compare(X[:100], 3)  # loads kernels
    cupy.get_default_memory_pool().free_all_blocks()
    taken = cupy.empty(cupy.cuda.runtime.memGetInfo()[0] - room, np.uint8)
    data = Dataset(get_engine("cuda"), as_source(X))
    assert not data.resident
    assert max(len(part.rows) for part in data.parts()) < n
    del data
    compare(X, 16, max_iter=2)
    del taken
    assert Dataset(get_engine("cuda"), as_source(X)).resident


@pytest.mark.parametrize("held", [True, False], ids=["read once", "read in every pass"])
def test_a_file_larger_than_max_memory(cupy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    n, d, max_memory = sized(cupy, (1500, 16, 50_000), (2_000_000, 32, 100_000_000))
    if not held:
        monkeypatch.setattr(placement, "_SHARE", 0.0)
    X, path = blobs(n, d, 10), tmp_path / "rows.npy"
    np.save(path, X)
    assert path.stat().st_size > max_memory
    data = Dataset(get_engine("cuda"), as_source(path, max_memory=max_memory))
    assert data.resident == held
    del data
    compare(X, 10, to=path, max_memory=max_memory, max_iter=3)


def test_two_threads_with_streams_of_their_own(cupy: Any) -> None:
    n, times = sized(cupy, (150, 1), (50_000, 5))
    problems = [blobs(n, 12, 9, dtype, seed) for seed, dtype in enumerate([np.float32, np.float64])]

    def fits(X: np.ndarray) -> list[Any]:
        with cupy.cuda.Stream(non_blocking=True):
            return [model(9, device="cuda").fit(X) for _ in range(times)]

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(fits, problems))
    for X, models in zip(problems, found, strict=True):
        expected = model(9, device="cpu").fit(X)
        for other in models:
            assert_same(other, expected)


def test_the_callers_stream(cupy: Any) -> None:
    """Rows that are still being written on the caller's stream are waited for, and the stream stays current."""
    X = blobs(sized(cupy, 150, 200_000), 12, 9)
    source, rows = cupy.asarray(X), cupy.full(X.shape, np.nan, np.float32)
    cupy.cuda.Device().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        keep_busy(cupy)
        rows[...] = source
        found = model(9).fit(rows)
        assert cupy.cuda.get_current_stream() == stream
    assert_same(found, model(9, device="cpu").fit(X))


def keep_busy(cupy: Any) -> None:
    """Give the current stream some 50 ms of work."""
    memory = cupy.empty(sized(cupy, 1, 1 << 30), np.uint8)
    for _ in range(sized(cupy, 1, 100)):
        memory.fill(1)


@on_gpu
def test_the_callers_stream_of_torch(cupy: Any) -> None:
    torch = cuda_torch()
    X = blobs(200_000, 12, 9)
    source, rows = torch.from_numpy(X).cuda(), torch.full(X.shape, np.nan, device="cuda")
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10**8)
        rows.copy_(source)
        found = model(9).fit(rows)
        labels = found.predict(rows)
        assert torch.cuda.current_stream() == stream
        torch.cuda._sleep(10**8)
        np.testing.assert_array_equal(labels.cpu().numpy(), found.labels_)
    assert_same(found, model(9, device="cpu").fit(X))


def check_kinds(X: np.ndarray, rows: Any, to_host: Callable[[Any], np.ndarray]) -> None:
    """``rows`` on the GPU give what ``X`` gives on the CPU, as arrays of their kind on their device."""
    expected, found = model(5, device="cpu").fit(X), model(5).fit(rows)
    assert_same(found, expected)
    for name in ("predict", "transform", "fit_predict", "fit_transform"):
        mine, yours = getattr(found, name)(rows), getattr(expected, name)(X)
        assert isinstance(mine, type(rows)), name
        assert mine.device == rows.device, name
        np.testing.assert_array_equal(to_host(mine), yours)
        assert to_host(mine).dtype == yours.dtype
    assert found.score(rows) == expected.score(X)


@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.int32])
def test_cupy_arrays(cupy: Any, dtype: Any) -> None:
    X = blobs(sized(cupy, 100, 5000), 7, 5, dtype)
    check_kinds(X, cupy.asarray(X), lambda array: array.get())
    columns = cupy.asarray(np.ascontiguousarray(X.T)).T  # not C-contiguous
    assert_same(model(5).fit(columns[::2]), model(5, device="cpu").fit(X[::2]))


@on_gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "float64"])
def test_torch_tensors(cupy: Any, dtype: str) -> None:
    torch = cuda_torch()
    rows = torch.from_numpy(blobs(5000, 7, 5) * 4).to(getattr(torch, dtype))
    X = rows.float().numpy() if dtype == "bfloat16" else rows.numpy()
    if rows.is_floating_point():
        rows.requires_grad_()
    check_kinds(X, rows.cuda(), lambda tensor: tensor.cpu().numpy())
    columns = rows.cuda().T.contiguous().T
    assert_same(model(5).fit(columns[::2]), model(5, device="cpu").fit(X[::2]))


def test_several_gpus(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU")
    n, stripe = sized(cupy, (700, 256), (5_000_000, stripes.STRIPE))
    monkeypatch.setattr(stripes, "STRIPE", stripe)
    X = blobs(n, 10, 8)
    compare(X, 8, weights=datasets.weights(n), device="cuda:0,1", max_iter=3)
    compare(X, 8, to=as_source(X, chunk_rows=n // 3), device="cuda:1,0", init=X[:8], max_iter=2)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_denormals(cupy: Any, metric: str) -> None:
    """Values, means and lengths below the normal numbers of float32, which kernels otherwise flush to zero."""
    X = blobs(sized(cupy, 200, 20_000), 6, 5) * np.float32(2.0**-135)
    X[:, ::2] *= np.float32(2.0**-9)
    X = X[(X != 0).any(axis=1)]
    found = compare(X, 5, metric=metric)
    if metric == "euclidean":
        assert found.cluster_centers_.any()
        assert (np.abs(found.cluster_centers_) < np.finfo(np.float32).tiny).all()
    expected = model(5, metric=metric, device="cpu").fit(X)
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))
    np.testing.assert_array_equal(found.predict(X * 3), expected.predict(X * 3))


@pytest.mark.parametrize(
    "parameters",
    [
        {"kind": MiniBatchKMeans},
        {"kind": MiniBatchKMeans, "metric": "cosine"},
        {"init": "k-means++"},
        {"init": "k-means||"},
        {"metric": "cosine", "init": "k-means||"},
        {"init": "far away"},
    ],
    ids=str,
)
def test_algorithms(cupy: Any, parameters: dict[str, Any]) -> None:
    """Weighted; on a GPU large enough for all of its multiprocessors. "far away": most clusters are empty at first."""
    n, d, k = sized(cupy, (400, 6, 7), (200_000, 24, 300))
    X = blobs(n, d, k)
    if parameters.get("init") == "far away":
        parameters = {"init": np.concatenate([X[: k // 3], np.full((k - k // 3, d), 1e4, np.float32)]), "max_iter": 6}
    compare(X, k, weights=datasets.weights(n), **parameters)


def test_partial_fit(cupy: Any) -> None:
    X = blobs(sized(cupy, 300, 30_000), 6, 7)
    found, expected = (model(7, MiniBatchKMeans) for _ in range(2))
    for part in np.array_split(X, 3):
        found.partial_fit(cupy.asarray(part))
        expected.set_params(device="cpu").partial_fit(part)
        assert found.cluster_centers_.tobytes() == expected.cluster_centers_.tobytes()


@on_gpu
def test_memory_is_shared_with_torch(cupy: Any) -> None:
    """Where torch computes, it hands out the memory, and what it keeps for reuse is not lost to us."""
    torch = cuda_torch()
    torch.zeros(1, device="cuda")
    X, own, held = blobs(400_000, 64, 20), cupy.get_default_memory_pool(), []
    compare(X[:100], 3)  # loads kernels
    before = own.total_bytes(), torch.cuda.memory_allocated()

    def look(*_: Any) -> None:
        held.append((own.total_bytes() - before[0], torch.cuda.memory_allocated() - before[1]))

    compare(X, 20, callback=look)
    assert max(by_torch for _, by_torch in held) > X.nbytes
    assert all(by_cupy == 0 for by_cupy, _ in held)
    kept = torch.empty(torch.cuda.mem_get_info()[0] - (64 << 20), dtype=torch.uint8, device="cuda")
    del kept
    assert torch.cuda.mem_get_info()[0] < X.nbytes
    assert Dataset(get_engine("cuda"), as_source(X)).resident
