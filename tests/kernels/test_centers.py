"""New centres: means, directions and movements equal to the CPU engine's bits; the end of an iteration by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.base import Sums
from gpuclust.engines.canonical import Frame, make_frame
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

OUTCOME = np.dtype([("n_changed", "<i8"), ("n_empty", "<i8"), ("shift", "<f8"), ("halted", "<i8")])


def _means(sums, frame, old, *, to_float=False, blocks=3, halt=None, **options):
    (k, d), out, n_empty = sums.high.shape, np.full(sums.high.shape, np.nan), np.zeros(1, np.int32)
    Module("centers", **options).get_function("means")(
        (blocks,), (128,),
        (sums.high, sums.low, sums.weight_high, sums.weight_low, np.int32(k), np.int32(d), frame.high,
         np.float64(frame.low), np.float64(frame.weight_high), old, np.int32(to_float), out, n_empty, halt),
    )  # fmt: skip
    return out, int(n_empty[0])


def _directions(means, old, scale, *, to_float=False, blocks=2, halt=None, **options):
    (k, d), out = means.shape, means.copy()
    Module("centers", **options).get_function("directions")(
        (blocks,), (256,), (out, old, np.int32(k), np.int32(d), np.float64(scale), np.int32(to_float), halt)
    )
    return out


def _moved(old, updated, scale, *, blocks=2, halt=None, **options):
    (k, d), squared, grown = old.shape, np.full(len(old), np.nan), np.full(len(old), np.nan)
    Module("centers", **options).get_function("moved")(
        (blocks,), (256,), (old, updated, np.int32(k), np.int32(d), np.float64(scale), squared, grown, halt)
    )
    return squared, grown


def _case(k=7, d=40, *, weighted=True, seed=0, empty=()):
    """Sums of random rows, clusters ``empty`` without any."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(30 * k, d)) * 10.0 ** rng.integers(-8, 8, d)
    weights = rng.uniform(0, 2, len(rows)) if weighted else None
    frame = make_frame(np.zeros(d), np.abs(rows).max(axis=0), 0.0, len(rows), weights.max() if weighted else 1.0)
    engine, sums = get_engine("cpu"), Sums.zeros(k, d)
    state = engine.new_assignment(len(rows))
    state.labels[:] = rng.choice(np.setdiff1d(np.arange(k), empty), len(rows))
    engine.move_rows(rows, weights, state, frame, sums)
    return sums, frame, rng.normal(size=(k, d)), state


def _expected(old, sums, state, frame, dtype, spherical=False):
    return get_engine("cpu").update_centers(old, sums, state, frame, dtype=np.dtype(dtype), spherical=spherical)


def test_means_by_hand():
    frame = Frame(np.zeros(2), 1.0, np.array([8.0, 2.0]), 2.0**30, 4.0)
    high, low = np.array([[16, 6], [-8, 0], [1, 1]]), np.array([[0, 2**29], [0, 0], [0, 0]])
    sums = Sums(high, low, np.array([8, 4, 0]), np.zeros(3, np.int64))
    means, n_empty = _means(sums, frame, np.full((3, 2), 9.0))
    np.testing.assert_array_equal(means, [[1.0, 1.625], [-1.0, 0.0], [9.0, 9.0]])
    assert n_empty == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 40), (5, 300), (200, 3)])
def test_means_are_the_cpu_engine_s(shape, weighted, dtype):
    k, d = shape
    empty = [0, 3] if k > 4 else []
    sums, frame, old, state = _case(k, d, weighted=weighted, empty=empty)
    expected = _expected(old, sums, state, frame, dtype)
    means, n_empty = _means(sums, frame, old.astype(dtype).astype(np.float64), to_float=dtype == np.float32)
    np.testing.assert_array_equal(means, expected.centers)
    assert n_empty == len(empty) == expected.outcome().n_empty


def test_means_of_denormals():
    """Rounding to float32 keeps denormals."""
    frame = Frame(np.zeros(1), 1.0, np.array([2.0**160]), 2.0**30, 1.0)
    sums = Sums(np.array([[3 << 20]]), np.zeros((1, 1), np.int64), np.array([1]), np.array([0]))
    means, _ = _means(sums, frame, np.zeros((1, 1)), to_float=True)
    assert means[0, 0] == 3 * 2.0**-140


def test_limbs_that_cancel_are_carried():
    frame = Frame(np.zeros(1), 1.0, np.array([8.0]), 2.0**30, 1.0)
    high, low = np.array([[5], [6], [4]]), np.array([[3], [3 - 2**30], [3 + 2**30]])
    means, _ = _means(Sums(high, low, np.ones(3, np.int64), np.zeros(3, np.int64)), frame, np.zeros((3, 1)))
    assert len(set(means[:, 0].tolist())) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 5, 33, 300])
def test_directions_are_the_cpu_engine_s(d, dtype):
    sums, frame, old, state = _case(6, d, empty=[2])
    old = old.astype(dtype).astype(np.float64)
    sums.high[4] = sums.low[4] = 0  # rows that cancel out
    expected = _expected(old, sums, state, frame, dtype, spherical=True)
    means, _ = _means(sums, frame, old)
    found = _directions(means, old, frame.scale, to_float=dtype == np.float32)
    np.testing.assert_array_equal(found, expected.centers)
    np.testing.assert_array_equal(found[4], old[4])


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 33), (9, 300)])
def test_movements_are_the_cpu_engine_s(shape):
    rng = np.random.default_rng(2)
    old, updated = rng.normal(size=(2, *shape))
    updated[0] = old[0]
    frame = Frame(np.zeros(shape[1]), 0.25, np.ones(shape[1]), 1.0, 1.0)
    engine, own = get_engine("cpu"), np.arange(len(old), dtype=np.int32)
    squared, grown = _moved(old, updated, frame.scale)
    np.testing.assert_array_equal(squared, engine.distances(old, updated, own, frame))
    np.testing.assert_array_equal(grown, engine.movement(old, updated, frame).grown)
    assert squared[0] == grown[0] == 0


@pytest.mark.parametrize(
    ("n_changed", "n_empty", "shift", "tolerance", "keep_empty", "halted"),
    [
        (5, 0, 0.5, 0.0, False, False),
        (0, 0, 0.5, 0.0, False, True),
        (5, 0, 0.5, 0.5, False, True),
        (5, 0, 0.0, 0.0, False, True),
        (5, 2, 0.5, 0.0, False, True),
        (5, 2, 0.5, 0.0, True, False),
        (2**40, 0, 1e300, 1.0, False, False),
    ],
)
def test_conclusion(n_changed, n_empty, shift, tolerance, keep_empty, halted):
    record, halt = np.zeros(1, OUTCOME), np.zeros(1, np.int32)
    counts = np.full(1, n_changed, np.uint64), np.full(1, n_empty, np.int32)
    conclude = Module("centers").get_function("conclude")
    args = (np.float64(tolerance), np.int32(keep_empty), record.view(np.int64), halt)
    conclude((1,), (1,), (np.full(1, shift), *counts, *args))
    assert record[0].item() == (n_changed, n_empty, shift, halted)
    assert halt[0] == halted
    assert counts[0][0] == counts[1][0] == 0


def test_halted():
    sums, frame, old, _ = _case(3, 4)
    halt, record = np.ones(1, np.int32), np.zeros(1, OUTCOME)
    means, n_empty = _means(sums, frame, old, halt=halt)
    assert np.isnan(means).all()
    assert n_empty == 0
    np.testing.assert_array_equal(_directions(old, old, 1.0, halt=halt), old)
    assert np.isnan(_moved(old, old, 1.0, halt=halt)).all()
    counts = np.full(1, 3, np.uint64), np.full(1, 2, np.int32)
    Module("centers").get_function("conclude")(
        (1,), (1,), (np.ones(1), *counts, np.float64(1.0), np.int32(0), record.view(np.int64), halt)
    )
    assert not record.view(np.int64).any()
    assert counts[0][0] == 3


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    sums, frame, old, state = _case(40, 9, empty=[1, 5, 6])
    expected = _expected(old, sums, state, frame, np.float64)
    options = {"blocks": 4, "order": order, "resident": 4, "yields": 30}
    means, n_empty = _means(sums, frame, old, **options)
    np.testing.assert_array_equal(means, expected.centers)
    assert n_empty == 3
    np.testing.assert_array_equal(_moved(old, means, frame.scale, **options)[1], expected.movement.grown)


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")
