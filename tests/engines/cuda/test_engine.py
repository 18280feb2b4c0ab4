"""The CUDA engine's host code and kernels together, on an emulated device: the CPU engine's bits, however rows arrive.

Streams of the emulated device do their work as late as CUDA allows, so that a missing wait shows as a wrong result.
The tests of `tests/engines`, `tests/algorithms` and `tests/exactness` run on this engine too, as slow ones.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from gpuclust import KMeans, _cancel
from gpuclust.algorithms import assignment, lloyd, seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.engines.cuda import placement, rows, split, stripes, update
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION
from gpuclust.errors import DeviceError, DeviceMemoryError
from gpuclust.sources import as_source
from tests import datasets
from tests.emulation import EmulatedCuPy


def emulated(**machine):
    return CudaEngine(0, EmulatedCuPy(**{"asynchronous": True} | machine))


def blobs(n, d, k, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3 * k, d))[rng.integers(3 * k, size=n)] * 3 + rng.normal(size=(n, d))
    return np.ascontiguousarray(X, dtype=dtype), X[:k].astype(np.float64)


def run(engine, X, centers, weights=None, *, chunk_rows=None, normalize=False, **options):
    """A run's result, and what its callback was told; on one device in a stream of its own, which nothing waits for."""
    told = []
    options = {"max_iter": 20, "tol": 1e-4, "spherical": normalize} | options
    on_one = isinstance(engine, CudaEngine)
    with engine.device.xp.cuda.Stream(non_blocking=True) if on_one else nullcontext():
        data = Dataset(engine, as_source(X, chunk_rows=chunk_rows), weights, normalize=normalize)
        return lloyd.run(data, centers, callback=lambda *step: told.append(step), **options), told


def assert_same(found, expected):
    (mine, told), (yours, told_there) = found, expected
    np.testing.assert_array_equal(mine.labels, yours.labels)
    np.testing.assert_array_equal(mine.centers, yours.centers)
    assert (mine.inertia, mine.n_iter, mine.n_distinct, mine.converged) == (
        yours.inertia, yours.n_iter, yours.n_distinct, yours.converged,
    )  # fmt: skip
    assert told == told_there


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
@pytest.mark.parametrize(
    ("n", "d", "k", "dtype", "screen"),
    [(500, 8, 7, np.float64, "full"), (400, 20, 150, np.float32, "full"), (500, 40, 30, np.float32, "sketch")],
)
def test_lloyd(capability, n, d, k, dtype, screen):
    X, centers = blobs(n, d, k, dtype)
    found = run(emulated(capability=capability), X, centers, screen=screen)
    assert_same(found, run(get_engine("cpu"), X, centers, screen=screen))
    assert found[0].n_iter > 3


def test_warpgroups_multiply_where_that_is_asked_for():
    X, centers = blobs(600, 70, 150)
    engine = emulated(capability=(9, 0))
    assert engine.device.has_wgmma
    assert not emulated(capability=(10, 0)).device.has_wgmma
    engine.device.wgmma = True
    assert_same(run(engine, X, centers, screen="full"), run(get_engine("cpu"), X, centers, screen="full"))


@pytest.mark.parametrize("order", ["lifo", "random"])
def test_the_order_of_threads_does_not_matter(order):
    X, centers = blobs(300, 10, 20)
    assert_same(run(emulated(order=order, resident=2), X, centers), run(get_engine("cpu"), X, centers))


@pytest.mark.parametrize(
    "name", ["shift_1e6", "outlier_1e9", "denormal", "ties", "almost_ties", "magnitude_1e19", "magnitude_1e-25"]
)
def test_hard_data(name):
    X, centers = datasets.hard(name, np.float32)
    X, centers = X[:200], centers.astype(np.float64)
    assert_same(run(emulated(), X, centers, max_iter=4), run(get_engine("cpu"), X, centers, max_iter=4))


class TestWays:
    """One run, arriving in different ways: weighted, cosine, in chunks, from several devices, with little memory."""

    X, centers = blobs(900, 20, 12)
    weights = np.random.default_rng(1).uniform(0, 2, 900)

    @pytest.fixture(autouse=True)
    def small_pieces(self, monkeypatch):
        monkeypatch.setattr(stripes, "STRIPE", 256)
        monkeypatch.setattr(placement, "_SMALLEST_PIECE", 64)
        monkeypatch.setattr(update, "PIECE", 300)

    def check(self, engine, weights=None, **options):
        chunk_rows = options.pop("chunk_rows", None)
        expected = run(get_engine("cpu"), self.X, self.centers, weights, **options)
        assert_same(run(engine, self.X, self.centers, weights, chunk_rows=chunk_rows, **options), expected)

    def test_weights(self):
        self.check(emulated(), self.weights)

    def test_cosine(self):
        self.check(emulated(), normalize=True)

    def test_all_rows_anew(self):
        self.check(emulated(), delta=False, tol=0.0, max_iter=3)

    def test_chunks_are_staged(self):
        engine = emulated()
        self.check(engine, self.weights, chunk_rows=100)

    def test_chunks_stay_on_the_device_when_they_fit(self):
        engine = emulated()
        data = Dataset(engine, as_source(self.X, chunk_rows=100))
        assert data.resident
        first, second = (list(data.parts()) for _ in range(2))
        assert all(mine.rows is yours.rows for mine, yours in zip(first, second, strict=True))

    def test_less_memory_than_data(self):
        engine = CudaEngine(0, EmulatedCuPy(memory=190_000))  # what is pending would keep its memory
        data = Dataset(engine, as_source(self.X))
        assert not data.resident
        assert max(len(part.rows) for part in data.parts()) < len(self.X)
        self.check(engine)

    def test_pieces_shrink_when_memory_runs_out(self, monkeypatch):
        monkeypatch.setattr(placement, "_PIECE_SHARE", 5.0)  # far too hopeful
        self.check(CudaEngine(0, EmulatedCuPy(asynchronous=True, memory=330_000)))

    def test_not_enough_memory_for_anything(self):
        engine = CudaEngine(0, EmulatedCuPy(memory=30_000))
        with pytest.raises(DeviceMemoryError, match=r"cuda:0 has too little memory.*device='cpu'"):
            run(engine, self.X, self.centers)

    @pytest.mark.parametrize("chunk_rows", [None, 100])
    @pytest.mark.parametrize("n_devices", [2, 3])
    def test_several_devices(self, n_devices, chunk_rows):
        machine = EmulatedCuPy(asynchronous=True, n_devices=n_devices)
        engine = split.SplitCudaEngine(range(n_devices), machine)
        self.check(engine, self.weights, chunk_rows=chunk_rows)
        assert all(peak > 0 for peak in machine.machine.peak)

    def test_several_devices_with_empty_clusters(self):
        X, centers = self.X, self.centers.copy()
        centers[3], centers[7] = 1e3, -1e3
        engine = split.SplitCudaEngine([0, 1], EmulatedCuPy(asynchronous=True, n_devices=2))
        assert_same(run(engine, X, centers), run(get_engine("cpu"), X, centers))

    def test_seeding_on_several_devices(self, monkeypatch):
        monkeypatch.setattr(stripes, "STRIPE", 1024)  # a block of draws
        monkeypatch.setattr(seeding, "_DRAWN_ROWS", 1024)
        X, weights = blobs(2500, 6, 9)[0], datasets.weights(2500)
        engines = split.SplitCudaEngine([0, 1], EmulatedCuPy(asynchronous=True, n_devices=2)), get_engine("cpu")
        for method in (seeding.plus_plus, seeding.parallel, seeding.random_rows):
            mine, yours = (method(Dataset(engine, as_source(X), weights), 6, 0)[1] for engine in engines)
            np.testing.assert_array_equal(mine, yours)


def test_empty_clusters_halt_what_was_issued_ahead():
    X, centers = blobs(400, 5, 9)
    centers[2], centers[5] = 1e3, -1e3
    assert_same(run(emulated(), X, centers), run(get_engine("cpu"), X, centers))


def test_the_host_does_not_wait_for_each_iteration(monkeypatch):
    """Two more iterations are issued before the outcome of one is read."""
    issued, waiting = [], []
    issue, outcome = update.update_centers, update.CudaUpdate.outcome

    def counted(*arguments, **options):
        issued.append(None)
        return issue(*arguments, **options)

    def read(self):
        waiting.append(len(issued))
        return outcome(self)

    monkeypatch.setattr(update, "update_centers", counted)
    monkeypatch.setattr(update.CudaUpdate, "outcome", read)
    X, centers = blobs(300, 6, 10)
    engine = emulated()
    result, _ = run(engine, X, centers, max_iter=6, tol=0.0)
    assert result.n_iter == 6
    before = waiting[0] - 3  # the update that gave the mean of all rows
    assert [count - before for count in waiting] == [3, 4, 5, 6, 6, 6]


@pytest.fixture
def pairs_too_close():
    """Rows, and pairs of centres that float16 cannot tell apart: nearly all rows are uncertain."""
    rng = np.random.default_rng(2)
    X, places = (rng.normal(size=(size, 12)).astype(np.float32) for size in (400, 10))
    return X, np.concatenate([places, places + np.float32(1e-4)]).astype(np.float64)


def precision_after(engine, X, centers):
    """What the screens of a run end in; the run's result is checked."""
    states, make = [], engine.new_assignment

    def remembered(*arguments, **options):
        states.append(make(*arguments, **options))
        return states[-1]

    engine.new_assignment = remembered
    assert_same(run(engine, X, centers, tol=0.0), run(get_engine("cpu"), X, centers, tol=0.0))
    return states[-1].screening.precision


def test_screens_go_on_in_float32_when_float16_leaves_too_much_open(pairs_too_close):
    assert precision_after(emulated(), *pairs_too_close) is SINGLE_PRECISION
    assert precision_after(emulated(), *blobs(400, 12, 20)) is HALF_PRECISION
    assert emulated(capability=(7, 5)).new_assignment(3).screening.precision is SINGLE_PRECISION


def test_screens_stay_in_float16_where_there_is_no_memory_for_more(pairs_too_close, monkeypatch):
    engine = emulated()
    reserve = rows.PlacedRows.reserve

    def refuse(self, precision):
        if precision is SINGLE_PRECISION:
            raise engine.device.xp.cuda.memory.OutOfMemoryError(1, 0)
        reserve(self, precision)

    monkeypatch.setattr(rows.PlacedRows, "reserve", refuse)
    assert precision_after(engine, *pairs_too_close) is HALF_PRECISION


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fixed_centres(dtype):
    X, centers = blobs(300, 17, 11, dtype)
    mine, yours = (Dataset(engine, as_source(X)) for engine in (emulated(), get_engine("cpu")))
    labels = assignment.predict(yours, centers)
    np.testing.assert_array_equal(assignment.predict(mine, centers), labels)
    np.testing.assert_array_equal(assignment.transform(mine, centers), assignment.transform(yours, centers))
    assert assignment.inertia(mine, centers, labels) == assignment.inertia(yours, centers, labels)


def test_the_estimator(monkeypatch):
    """k-means++, several runs, prediction and scoring, through the public interface."""
    X, _ = blobs(400, 9, 6)
    expected = KMeans(6, n_init=2, random_state=3, device="cpu").fit(X)
    engine = emulated()
    monkeypatch.setattr("gpuclust.cluster._base.get_engine", lambda *arguments, **options: engine)
    found = KMeans(6, n_init=2, random_state=3).fit(X)
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    np.testing.assert_array_equal(found.cluster_centers_, expected.cluster_centers_)
    assert (found.inertia_, found.n_iter_, found.score(X)) == (expected.inertia_, expected.n_iter_, expected.score(X))
    np.testing.assert_array_equal(found.predict(X[:50]), expected.labels_[:50])


def test_a_kernel_that_does_not_compile_is_named(monkeypatch):
    monkeypatch.setattr("gpuclust.engines.cuda.launch.kernel_source", lambda name: "this is no kernel")
    with pytest.raises(DeviceError, match=r"kernels/rows\.cu \(ROW=float.*\) does not compile for sm_90: .*error"):
        Dataset(emulated(), as_source(np.ones((4, 2), np.float32)))


def test_errors_of_the_runtime_are_device_errors():
    engine = emulated()
    cuda = engine.device.xp.cuda
    with pytest.raises(DeviceError, match="cuda:0 failed: "), engine.device.active():
        raise cuda.runtime.CUDARuntimeError(1)


def test_a_cancelled_job_asks_no_more_of_the_device():
    engine = emulated()
    _cancel.request(KeyboardInterrupt())
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.full(3, 0.0, np.float64)
    finally:
        _cancel.withdraw()
    assert engine.to_host(engine.full(3, 0.0, np.float64)).tolist() == [0.0, 0.0, 0.0]
