"""Canonical distances: by hand, and equal to the CPU engine's to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.canonical import Frame
from gpuclust.engines.neighborhood import METRICS
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def _frame(d, scale):
    return Frame(np.zeros(d), scale, np.ones(d), 1.0, 1.0)


def _own(rows, centers, labels, scale, *, blocks=2, halt=None, **options):
    out = np.full(len(rows), np.nan)
    kernel = Module("distances", {"ROW": CTYPES[rows.dtype]}, **options).get_function("own_distances")
    m, d = rows.shape
    kernel((blocks,), (256,), (rows, np.int32(m), np.int32(d), centers, labels, np.float64(scale), out, halt))
    return out


def _pairwise(rows, centers, scale, *, metric="euclidean", grid=(2, 2), halt=None, **options):
    out = np.full((len(rows), len(centers)), np.nan)
    macros = {"ROW": CTYPES[rows.dtype], "METRIC": METRICS.index(metric)}
    kernel = Module("distances", macros, **options).get_function("pairwise")
    (m, d), k = rows.shape, len(centers)
    kernel(grid, (256,), (rows, np.int32(m), np.int32(d), centers, np.int32(k), np.float64(scale), out, halt))
    return out


def _listed(rows, others, which, indices, scale, *, blocks=2, **options):
    out = np.full(len(indices), np.nan)
    kernel = Module("distances", {"ROW": CTYPES[others.dtype]}, **options).get_function("listed_distances")
    sizes = np.int32(rows.shape[1]), np.int64(len(indices))
    arrays = others, sizes[0], rows.astype(np.float64), which, indices, sizes[1]
    kernel((blocks,), (256,), (*arrays, np.float64(scale), out))
    return out


def _case(m, d, k, dtype, seed=0):
    rng = np.random.default_rng(seed)
    magnitudes = 10.0 ** rng.integers(-6, 6, d)
    rows = (rng.normal(size=(m, d)) * magnitudes).astype(dtype)
    return rows, rng.normal(size=(k, d)) * magnitudes, rng.integers(0, k, m).astype(np.int32)


def test_by_hand():
    rows, centers = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32), np.array([[0.0, 0.0], [1.0, -2.0], [-3.0, 0.5]])
    np.testing.assert_array_equal(_pairwise(rows, centers, 0.5), [[1.25, 4.0, 4.5625], [2.3125, 5.5625, 0.0]])
    np.testing.assert_array_equal(_own(rows, centers, np.array([1, 0], np.int32), 2.0), [64.0, 37.0])
    np.testing.assert_array_equal(_own(rows, centers, None, 1.0), [5.0, 9.25])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 31, 32, 33, 64, 100, 300])
def test_bits_are_the_cpu_engine_s(d, dtype):
    rows, centers, labels = _case(70, d, 11, dtype)
    cpu, frame = get_engine("cpu"), _frame(d, 2.0**-7)
    np.testing.assert_array_equal(_own(rows, centers, labels, frame.scale), cpu.distances(rows, centers, labels, frame))
    np.testing.assert_array_equal(_own(rows, centers, None, frame.scale), cpu.distances(rows, centers, None, frame))
    np.testing.assert_array_equal(_pairwise(rows, centers, frame.scale), cpu.pairwise(rows, centers, frame))


def test_other_metrics_by_hand():
    rows, centers = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32), np.array([[0.0, 0.0], [1.0, -2.0], [-3.0, 0.5]])
    np.testing.assert_array_equal(_pairwise(rows, centers, 2.0, metric="manhattan"), [[6, 8, 11], [7, 13, 0]])
    np.testing.assert_array_equal(_pairwise(rows, centers, 2.0, metric="chebyshev"), [[4, 8, 8], [6, 8, 0]])


@pytest.mark.parametrize("metric", METRICS[1:])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 12, 32, 100])
def test_bits_of_other_metrics_are_the_cpu_engine_s(d, dtype, metric):
    rows, centers, _ = _case(70, d, 11, dtype)
    expected = get_engine("cpu").pairwise(rows, centers, _frame(d, 2.0**-7), metric)
    np.testing.assert_array_equal(_pairwise(rows, centers, 2.0**-7, metric=metric), expected)


def test_listed_by_hand():
    rows, others = np.array([[1.0, 2.0], [-3.0, 0.5]]), np.array([[0.0, 0.0], [1.0, -2.0], [-3.0, 0.5]], np.float32)
    which, indices = np.array([1, 0, 0, 1, 0], np.int32), np.array([2, 0, -1, 0, 1])
    np.testing.assert_array_equal(_listed(rows, others, which, indices, 2.0), [0.0, 20.0, np.inf, 37.0, 64.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 31, 33, 100])
@pytest.mark.parametrize("pairs", [1, 515])
def test_bits_of_listed_distances_are_the_cpu_engine_s(pairs, d, dtype):
    rows, others, _ = _case(60, d, 40, np.float32, seed=pairs)
    rng = np.random.default_rng(pairs)
    which, indices = rng.integers(0, 60, pairs).astype(np.int32), rng.integers(-1, 40, pairs)
    others = others.astype(dtype)
    expected = get_engine("cpu").distances_to(rows, others, which, indices, _frame(d, 2.0**-7))
    assert np.isinf(expected[indices < 0]).all()
    np.testing.assert_array_equal(_listed(rows, others, which, indices, 2.0**-7), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 9), (33, 3, 1), (40, 2, 200), (515, 1, 2)])
def test_odd_shapes(shape):
    m, d, k = shape
    rows, centers, labels = _case(m, d, k, np.float32, seed=1)
    cpu, frame = get_engine("cpu"), _frame(d, 1.0)
    expected = cpu.distances(rows, centers, labels, frame)
    for blocks in (1, 3):
        np.testing.assert_array_equal(_own(rows, centers, labels, 1.0, blocks=blocks), expected)
        np.testing.assert_array_equal(
            _pairwise(rows, centers, 1.0, grid=(blocks, blocks)), cpu.pairwise(rows, centers, frame)
        )


@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 1e-25, 1e19, 1e38])
def test_magnitudes_of_float32(magnitude):
    """Denormal float32 rows keep their digits."""
    rng = np.random.default_rng(2)
    rows = (rng.uniform(0.5, 3, (20, 40)) * magnitude).astype(np.float32)
    centers, labels = rows[:3].astype(np.float64) * 1.25, rng.integers(0, 3, 20).astype(np.int32)
    scale = 2.0 ** -np.floor(np.log2(magnitude))
    expected = get_engine("cpu").distances(rows, centers, labels, _frame(40, scale))
    assert (expected > 0).all()
    np.testing.assert_array_equal(_own(rows, centers, labels, scale), expected)


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    rows, centers, labels = _case(600, 5, 9, np.float32, seed=3)
    options = {"order": order, "seed": 2, "resident": 3}
    cpu, frame = get_engine("cpu"), _frame(5, 1.0)
    np.testing.assert_array_equal(
        _own(rows, centers, labels, 1.0, blocks=3, **options), cpu.distances(rows, centers, labels, frame)
    )
    np.testing.assert_array_equal(
        _pairwise(rows[:50], centers, 1.0, **options), cpu.pairwise(rows[:50], centers, frame)
    )
    which, indices = np.arange(600, dtype=np.int32), labels - np.int64(1)
    np.testing.assert_array_equal(
        _listed(rows, centers, which, indices, 1.0, blocks=3, **options),
        cpu.distances_to(rows, centers, which, indices, frame),
    )


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")


def test_halted():
    rows, centers, labels = _case(4, 2, 3, np.float32)
    halt = np.ones(1, np.int32)
    assert np.isnan(_own(rows, centers, labels, 1.0, halt=halt)).all()
    assert np.isnan(_pairwise(rows, centers, 1.0, halt=halt)).all()
