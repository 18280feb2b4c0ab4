"""Sums of distances to runs: by hand, and equal to the CPU engine's to the last bit, whatever the order of threads."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.distance_sums import SUMMED, SumFormat
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def _sums(form, a, b, runs_a, runs_b, *, grid=(2, 2), **options):
    others = a if b is None else b
    (m, d), n = a.shape, len(others)
    run_of = [np.repeat(np.arange(len(runs) - 1, dtype=np.int32), np.diff(runs)) for runs in (runs_a, runs_b)]
    sums_a = np.zeros((2, len(runs_b) - 1, m), np.int64)
    sums_b = sums_a if b is None else np.zeros((2, len(runs_a) - 1, n), np.int64)
    macros = {"ROW": CTYPES[a.dtype], "METRIC": str(SUMMED.index(form.metric))}
    kernel = Module("distance_sums", macros, **options).get_function("add_distances")
    kernel(
        grid, (256,),
        (a, np.int32(m), run_of[0], np.int32(len(runs_a) - 1), others, np.int32(n), run_of[1],
         np.int32(len(runs_b) - 1), np.int32(d), np.int32(b is None), np.float64(form.scale),
         *map(np.float64, form.rounders), sums_a, sums_b),
    )  # fmt: skip
    return sums_a, sums_b


def _check(form, a, b, runs_a, runs_b, **options):
    expected = get_engine("cpu").distance_sums(a, b, np.array(runs_a), np.array(runs_b), form)
    for mine, theirs in zip(_sums(form, a, b, runs_a, runs_b, **options), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _rows(n, d, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * 10.0 ** rng.integers(-6, 1, d)).astype(dtype)


def test_by_hand():
    form = SumFormat.of(10, 2, 0.125)
    a, b = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), np.array([[0.0, 1.0], [6.0, 8.0], [0.0, 0.0]], np.float32)
    sums_a, sums_b = _sums(form, a, b, [0, 2], [0, 2, 3])
    np.testing.assert_allclose(form.values(sums_a) * 8, [[11, 5 + 18**0.5], [0, 5]], rtol=1e-15)
    np.testing.assert_allclose(form.values(sums_b) * 8, [[1 + 18**0.5, 15, 5]], rtol=1e-15)


@pytest.mark.parametrize("metric", SUMMED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 31, 32, 33, 100])
def test_bits_are_the_cpu_engine_s(d, dtype, metric):
    form = SumFormat.of(1000, d, 2.0**-5, metric)
    _check(form, _rows(37, d, dtype), _rows(41, d, dtype, 1), [0, 5, 6, 37], [0, 17, 40, 41])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (33, 1), (3, 70), (70, 3)])
def test_odd_shapes(shape):
    m, n = shape
    form = SumFormat.of(100, 3, 2.0**-5)
    for grid in ((1, 1), (3, 2)):
        _check(form, _rows(m, 3), _rows(n, 3, seed=1), [0, m], [0, n], grid=grid)


@pytest.mark.parametrize("runs", [[0, 50], [0, 1, 2, 3, 4, 5, 9, 50], list(range(51))])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (1, 8)])
def test_among_themselves_each_pair_is_looked_at_once(runs, grid):
    form = SumFormat.of(100, 5, 2.0**-5)
    _check(form, _rows(50, 5), None, runs, runs, grid=grid)


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    form, options = SumFormat.of(1000, 5, 2.0**-5), {"order": order, "seed": 2, "resident": 3}
    _check(form, _rows(90, 5), _rows(60, 5, seed=3), [0, 2, 40, 90], [0, 59, 60], grid=(2, 3), **options)
    _check(form, _rows(70, 5), None, [0, 2, 40, 70], [0, 2, 40, 70], grid=(2, 3), **options)


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")


@pytest.mark.slow
def test_no_access_out_of_bounds():
    sanitized("asan", test_odd_shapes, shape=(33, 1))
