"""Sums kept up by the rows that changed label: by hand, and equal to the CPU engine's to the last bit of every limb."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.base import Assignment, Sums
from gpuclust.engines.canonical import make_frame
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

NONE = -1
CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


class Update:
    """The four kernels as the engine launches them, on `blocks` blocks."""

    def __init__(self, dtype=np.float32, blocks=2, **options):
        module = Module("update", {"ROW": CTYPES[np.dtype(dtype)]}, **options)
        self.count, self.scan, self.list, self.add = map(
            module.get_function, ("count_items", "scan", "list_items", "add_items")
        )
        self.blocks = blocks

    def items(self, labels, previous, k, *, local=True, halt=None):
        """Items by cluster as (items, starts, number of rows changed); ``previous`` is updated."""
        m, shared = len(labels), 4 * k if local else 0
        histogram, n_changed = np.zeros(k, np.int32), np.zeros(1, np.uint64)
        starts, cursors, items = np.zeros(k + 1, np.int32), np.zeros(k, np.int32), np.zeros(2 * m, np.int32)
        grid, block, flags = (self.blocks,), (256,), (np.int32(m), np.int32(k), np.int32(local))
        self.count(grid, block, (labels, previous, *flags, histogram, n_changed, halt), shared_mem=shared)
        self.scan((1,), (1024,), (histogram, np.int32(k), starts, cursors, halt))
        assert not histogram.any()
        self.list(grid, block, (labels, previous, *flags, cursors, items, halt), shared_mem=shared)
        return items, starts, int(n_changed[0])

    def add_to(self, sums, rows, weights, items, starts, frame, *, halt=None):
        k, d = sums.high.shape
        tiles = -(-d // 128)
        self.add(
            (max(1, self.blocks // tiles), tiles), (256,),
            (rows, weights, np.int32(d), items, starts, np.int32(k), frame.high, np.float64(frame.low),
             np.float64(frame.weight_high), sums.high, sums.low, sums.weight_high, sums.weight_low, halt),
        )  # fmt: skip

    def move(self, rows, weights, labels, previous, frame, sums, *, local=True):
        items, starts, n_changed = self.items(labels, previous, len(sums.high), local=local)
        self.add_to(sums, rows, weights, items, starts, frame)
        return n_changed


def _frame(rows, weights=None, n_rows=None):
    maxima = np.abs(rows).max(axis=0).astype(np.float64)
    heaviest = 1.0 if weights is None else float(weights.max())
    return make_frame(np.zeros(rows.shape[1]), maxima, 0.0, n_rows or len(rows), heaviest)


def _expected(rows, weights, labels, frame, k):
    """What the CPU engine sums."""
    sums = Sums.zeros(k, rows.shape[1])
    state = Assignment(labels.copy(), np.full(len(rows), NONE, np.int32))
    get_engine("cpu").move_rows(rows, weights, state, frame, sums)
    return sums


def _assert_same(mine, yours):
    for name in ("high", "low", "weight_high", "weight_low"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(yours, name), err_msg=name)


def _check(rows, weights=None, *, k=5, blocks=3, seed=0, n_rows=None, **options):
    """Rows enter, wander and leave: after each pass the sums are the CPU engine's of the present labels."""
    rng = np.random.default_rng(seed)
    frame = _frame(rows, weights, n_rows)
    update, sums = Update(rows.dtype, blocks, **options), Sums.zeros(k, rows.shape[1])
    previous = np.full(len(rows), NONE, np.int32)
    for share in (1.0, 0.5, 0.1):
        drawn = rng.integers(NONE, k, len(rows))
        labels = np.where(rng.random(len(rows)) < share, drawn, previous).astype(np.int32)
        changed = np.count_nonzero(labels != previous)
        assert update.move(rows, weights, labels, previous, frame, sums) == changed
        np.testing.assert_array_equal(previous, labels)
        _assert_same(sums, _expected(rows, weights, labels, frame, k))
    update.move(rows, weights, np.full(len(rows), NONE, np.int32), previous, frame, sums)
    for limb in (sums.high, sums.low, sums.weight_high, sums.weight_low):
        assert not limb.any()


def test_items_by_hand():
    labels, previous = np.array([2, 0, 2, 1, NONE], np.int32), np.array([NONE, 0, 1, 2, 1], np.int32)
    for local in (True, False):
        before = previous.copy()
        items, starts, n_changed = Update().items(labels, before, 4, local=local)
        assert n_changed == 4
        np.testing.assert_array_equal(starts, [0, 0, 3, 6, 6])
        assert set(items[:3]) == {3, ~2, ~4}
        assert set(items[3:6]) == {0, 2, ~3}
        np.testing.assert_array_equal(before, labels)


def test_sums_by_hand():
    rows, weights = np.array([[1.0, 10.0], [2.0, -20.0], [4.0, 0.5]]), np.array([1.0, 2.0, 0.5])
    frame, sums = make_frame(np.zeros(2), np.array([4.0, 20.0]), 0.0, 3, 2.0), Sums.zeros(3, 2)
    update, previous = Update(np.float64), np.full(3, NONE, np.int32)
    assert update.move(rows, weights, np.array([2, 0, 2], np.int32), previous, frame, sums) == 3
    np.testing.assert_array_equal(sums.totals(frame), [[4.0, -40.0], [0.0, 0.0], [3.0, 10.25]])
    np.testing.assert_array_equal(sums.weights(frame), [2.0, 0.0, 1.5])
    assert update.move(rows, weights, np.array([1, 0, 2], np.int32), previous, frame, sums) == 1
    np.testing.assert_array_equal(sums.totals(frame), [[4.0, -40.0], [1.0, 10.0], [2.0, 0.25]])
    np.testing.assert_array_equal(sums.weights(frame), [2.0, 1.0, 0.5])


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [500, 512, 10**6])
def test_limbs_are_the_cpu_engine_s(dtype, weighted, n_rows):
    """Columns of many magnitudes. Up to 511 rows are rounded by conversion, more by an addition."""
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(500, 12)) * 10.0 ** rng.integers(-12, 12, 12)).astype(dtype)
    _check(rows, rng.uniform(0, 3, 500) if weighted else None, n_rows=n_rows)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 16, 17, 33, 64, 65, 128, 129, 300])
def test_every_width(d):
    rng = np.random.default_rng(d)
    _check(rng.normal(size=(150, d)).astype(np.float32), rng.uniform(0, 1, 150), k=3, n_rows=5000)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (257, 1, 1), (300, 3, 1000), (40, 2, 1500)])
def test_odd_shapes(shape):
    m, d, k = shape
    rng = np.random.default_rng(2)
    _check(rng.normal(size=(m, d)).astype(np.float32) + 1, k=k)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.float32, 1e-45, 1e-40), (np.float32, 1e18, 1e19), (np.float32, 1e-26, 1e-25), (np.float64, 1e-300, 1e300)],
    ids=["denormal", "1e19", "1e-25", "whole range"],
)
def test_magnitudes(dtype, low, high):
    rng = np.random.default_rng(3)
    rows = np.exp(rng.uniform(np.log(low), np.log(high), (200, 5))) * rng.choice([-1, 1], (200, 5))
    _check(rows.astype(dtype), n_rows=10**6)


def test_an_outlier():
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    rows[17, 3] = 1e9
    _check(rows, rng.uniform(0, 1, 200), n_rows=10**6)


def test_ties_go_to_the_even_integer():
    """Halves of both limbs' quanta, of both signs."""
    frame = make_frame(np.zeros(1), np.array([1.0]), 0.0, 10**6, 1.0)
    quantum = 1.0 / frame.high[0]
    rows = (np.arange(-9, 10).reshape(-1, 1) / 2 * quantum).astype(np.float64)
    rows = np.concatenate([rows, rows / frame.low])
    labels = np.arange(len(rows), dtype=np.int32)
    sums = Sums.zeros(len(rows), 1)
    Update(np.float64).move(rows, None, labels, np.full_like(labels, NONE), frame, sums)
    _assert_same(sums, _expected(rows, None, labels, frame, len(rows)))
    assert sums.high[:, 0].tolist()[:4] == [-4, -4, -4, -3]


@pytest.mark.parametrize("k", [3, 700])
def test_without_counters_in_shared_memory(k):
    """As for more clusters than shared memory has room for: the same items, in another order."""
    rng = np.random.default_rng(5)
    labels, previous = rng.integers(NONE, k, (2, 1500)).astype(np.int32)
    update, found = Update(blocks=3), []
    for local in (True, False):
        items, starts, n_changed = update.items(labels, previous.copy(), k, local=local)
        found.append((starts, n_changed, [sorted(items[a:b]) for a, b in pairwise(starts)]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_scan_of_many_clusters(order):
    histogram = np.random.default_rng(6).integers(0, 9, 20_000).astype(np.int32)
    expected = np.concatenate([[0], np.cumsum(histogram)])
    starts, cursors = np.zeros(20_001, np.int32), np.zeros(20_000, np.int32)
    Update(order=order).scan((1,), (1024,), (histogram, np.int32(20_000), starts, cursors, None))
    np.testing.assert_array_equal(starts, expected)
    np.testing.assert_array_equal(cursors, expected[:-1])


def test_runs_that_cross_many_clusters():
    """Most clusters are empty, some hold many runs."""
    rng = np.random.default_rng(7)
    labels = rng.choice([0, 5, 6, 3000, 3001, 5000], 600, p=[0.6, 0.1, 0.1, 0.1, 0.05, 0.05]).astype(np.int32)
    rows = rng.normal(size=(600, 6)).astype(np.float32)
    frame, sums = _frame(rows), Sums.zeros(5001, 6)
    Update().move(rows, None, labels, np.full_like(labels, NONE), frame, sums)
    _assert_same(sums, _expected(rows, None, labels, frame, 5001))


def test_rows_that_begin_anywhere():
    """A chunk may begin at any element: then rows are not read four elements at a time."""
    rng = np.random.default_rng(8)
    values = rng.normal(size=1 + 100 * 8).astype(np.float32)
    _check(values[1:].reshape(100, 8))


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
@pytest.mark.parametrize("local", [True, False])
def test_any_order_of_threads(order, local):
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(900, 20)).astype(np.float32)
    labels = rng.integers(0, 4, 900).astype(np.int32)
    frame, sums = _frame(rows), Sums.zeros(4, 20)
    update = Update(blocks=4, order=order, seed=5, resident=4, yields=50)
    update.move(rows, None, labels, np.full_like(labels, NONE), frame, sums, local=local)
    _assert_same(sums, _expected(rows, None, labels, frame, 4))


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random", local=True)


def test_halted():
    update, halt = Update(), np.ones(1, np.int32)
    labels, previous = np.array([1, 1], np.int32), np.array([0, 1], np.int32)
    items, starts, n_changed = update.items(labels, previous, 2, halt=halt)
    assert n_changed == 0
    assert not items.any()
    assert not starts.any()
    np.testing.assert_array_equal(previous, [0, 1])
    rows, sums = np.ones((2, 1), np.float32), Sums.zeros(2, 1)
    update.add_to(sums, rows, None, np.array([0, 1], np.int32), np.array([0, 1, 2], np.int32), _frame(rows), halt=halt)
    assert not sums.high.any()
