"""Integer weights, running minima and draws of rows: the bits of the CPU engine and of the stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.algorithms.random import Stream, purpose_stream
from gpuclust.engines import get_engine
from tests.emulation import Module
from tests.emulation.sanitize import sanitized


def _run(name, *args, blocks=2, **options):
    Module("seeding", **options).get_function(name)((blocks,), (256,), args)


def _block_totals(values, weights, factor, *, halt=None, **options):
    out = np.full(-(-len(values) // 1024), -7, np.int64)
    _run("block_totals", values, weights, np.float64(factor), np.int64(len(values)), out, halt, **options)
    return out


def _oversample(nearest, weights, factor, chance, stream, start, *, halt=None, **options):
    picked, count = np.full(len(nearest), -7, np.int32), np.zeros(1, np.int32)
    _run(
        "oversample", nearest, weights, np.int32(len(nearest)), np.float64(factor), np.float64(chance),
        np.uint64(stream.key), np.int64(start), picked, count, halt, **options,
    )  # fmt: skip
    assert (picked[count[0] :] == -7).all()
    return np.sort(picked[: count[0]])


def test_totals_by_hand():
    values = np.zeros(1026)
    values[[0, 1, 1024, 1025]] = 1.0, 0.99, 2.5, 3.0
    np.testing.assert_array_equal(_block_totals(values, None, 1.0), [1, 5])
    weights = np.full(1026, 2.0)
    np.testing.assert_array_equal(_block_totals(values, weights, 1.0), [3, 11])


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("n", [1, 31, 1023, 1024, 1025, 5000])
def test_totals_are_the_cpu_engine_s(n, weighted):
    rng = np.random.default_rng(n)
    values, weights = rng.uniform(0, 4, n) ** 9, rng.uniform(0, 1, n) if weighted else None
    factor = 2.0**33
    expected = get_engine("cpu").block_totals(values, weights, factor)
    for blocks in (1, 3):
        np.testing.assert_array_equal(_block_totals(values, weights, factor, blocks=blocks), expected)


def test_totals_near_the_end_of_the_integers():
    values = np.array([1.0, 0.75, 2.0**-61, 2.0**-62])
    np.testing.assert_array_equal(_block_totals(values, None, 2.0**61), [2**61 + 3 * 2**59 + 1])


def test_closer():
    rng = np.random.default_rng(0)
    nearest, owner = rng.random(700), rng.integers(0, 5, 700).astype(np.int32)
    distances, labels = rng.random(700), rng.integers(0, 3, 700).astype(np.int32)
    distances[::7] = nearest[::7]  # ties stay
    nearest[0], owner[0] = np.inf, 0
    takes = distances < nearest
    expected = np.where(takes, distances, nearest), np.where(takes, 100 + labels, owner)
    _run("closer", distances, labels, np.int32(700), np.int32(100), nearest, owner, None)
    np.testing.assert_array_equal(nearest, expected[0])
    np.testing.assert_array_equal(owner, expected[1])


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("start", [0, 12345, 2**40])
def test_draws_follow_the_stream(start, weighted):
    rng = np.random.default_rng(1)
    nearest, weights = rng.uniform(0, 4, 2000) ** 3, rng.uniform(0, 1, 2000) if weighted else None
    stream, factor = purpose_stream(7, "k-means||"), 2.0**40
    quanta = np.floor((nearest if weights is None else nearest * weights) * factor).astype(np.int64)
    chance = 100.0 / float(quanta.sum())
    expected = np.flatnonzero(stream.uniform(len(nearest), start) < quanta * chance)
    assert 50 < len(expected) < 200
    np.testing.assert_array_equal(_oversample(nearest, weights, factor, chance, stream, start), expected)
    cpu = get_engine("cpu").oversample(nearest, weights, factor, chance, stream, start)
    np.testing.assert_array_equal(cpu, expected)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**62), st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_random_numbers_bit_for_bit(key, start, m):
    """A row is drawn when its chance exceeds its number by one unit in the last place, and not when they are equal."""
    numbers = Stream(key).integers(m, start) >> np.uint64(11)  # in units of 2**-53
    stream, rows = Stream(key), np.arange(m)
    for more, drawn in ((0, rows[:0]), (1, rows)):
        nearest = (numbers + np.uint64(more)).astype(np.float64)
        np.testing.assert_array_equal(_oversample(nearest, None, 1.0, 2.0**-53, stream, start), drawn)


def test_largest():
    rng = np.random.default_rng(3)
    values, weights = rng.random(900), rng.random(900)
    for factors, expected in ((None, values.max()), (weights, (values * weights).max())):
        bits = np.zeros(1, np.uint64)
        _run("largest", values, factors, np.int64(900), bits, None)
        assert bits.view(np.float64)[0] == expected
    bits = np.zeros(1, np.uint64)
    _run("largest", np.zeros(5), None, np.int64(5), bits, None)
    assert bits[0] == 0


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    rng = np.random.default_rng(4)
    nearest, stream = rng.random(3000), purpose_stream(1, "x")
    options = {"blocks": 3, "order": order, "seed": 9, "resident": 3, "yields": 50}
    expected = np.flatnonzero(stream.uniform(3000, 5) < np.floor(nearest * 2.0**30) * 2.0**-31)
    np.testing.assert_array_equal(_oversample(nearest, None, 2.0**30, 2.0**-31, stream, 5, **options), expected)
    np.testing.assert_array_equal(
        _block_totals(nearest, None, 2.0**30, **options), get_engine("cpu").block_totals(nearest, None, 2.0**30)
    )
    bits = np.zeros(1, np.uint64)
    _run("largest", nearest, None, np.int64(3000), bits, None, **options)
    assert bits.view(np.float64)[0] == nearest.max()


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")


def test_halted():
    halt, values = np.ones(1, np.int32), np.ones(3)
    assert _block_totals(values, None, 1.0, halt=halt)[0] == -7
    assert not len(_oversample(values, None, 1.0, 1.0, purpose_stream(0, "x"), 0, halt=halt))
    nearest, owner, bits = np.full(3, 9.0), np.full(3, 4, np.int32), np.zeros(1, np.uint64)
    _run("closer", values, np.zeros(3, np.int32), np.int32(3), np.int32(0), nearest, owner, halt)
    _run("largest", values, None, np.int64(3), bits, halt)
    assert (nearest == 9).all()
    assert (owner == 4).all()
    assert bits[0] == 0
