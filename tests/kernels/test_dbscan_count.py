"""Counting and adding up neighbours in a grid: by hand, against all pairs, at the limit, in any order of threads."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.neighborhood import METRICS
from tests.emulation import Module
from tests.emulation.sanitize import sanitized
from tests.kernels.grids import SHAPES, THREADS, Sorted, blocks, boxes, cloud, usual_eps


def _run(name, data, *args, **options):
    kernel = Module("dbscan_count", data.defines, **options).get_function(name)
    arguments = (*data.walk, data.rows, boxes(data.rows), data.starts, data.cells, data.order, np.int32(data.m), *args)
    kernel(blocks(data.m), (THREADS,), arguments)


def _cores(data, enough, **options):
    core = np.full(data.m, 7, np.uint8)
    _run("count_neighbors", data, np.int32(enough), core, **options)
    return core


def _sums(data, values, **options):
    totals, sums = np.zeros(data.m + 1, np.int64), np.full(data.m, -7, np.int64)
    totals[1:] = np.cumsum(values[data.order])
    _run("sum_neighbors", data, totals, sums, **options)
    return sums


def check(data, enough, **options):
    np.testing.assert_array_equal(_cores(data, enough, **options), data.core(enough))
    values = np.random.default_rng(0).integers(-(2**62), 2**62, data.m)  # sums wrap
    np.testing.assert_array_equal(_sums(data, values, **options), (data.adjacent * values).sum(axis=1))


def test_by_hand():
    # Three rows exactly eps apart in a line, one just beyond, two equal ones far away.
    data = Sorted(np.array([[0, 0], [3, 4], [6, 8], [9, 12.001], [1e6, 0], [1e6, 0]], np.float32), 5.0)
    ones = np.ones(6, np.int64)
    assert _sums(data, ones).tolist() == [2, 3, 2, 1, 2, 2]
    assert _cores(data, 2).tolist() == [1, 1, 1, 0, 1, 1]
    assert _cores(data, 3).tolist() == [0, 1, 0, 0, 0, 0]
    assert _cores(data, 1).tolist() == [1] * 6


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("d", "dtype"), SHAPES)
def test_all_pairs(d, metric, dtype):
    X = cloud(240, d, dtype, seed=d)
    data = Sorted(X, usual_eps(X, metric), metric)
    assert 0 < data.core(data.usual_enough).sum() < data.m
    check(data, data.usual_enough)


@pytest.mark.parametrize("metric", METRICS)
def test_levels_above_the_features_change_nothing(metric):
    for depth in (2, 3, 8):
        check(Sorted(cloud(150, 2), 0.5, metric, depth), 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_boxes_of_crowded_cells(metric, dtype):
    """Crowds whose boxes lie within eps of others, beyond it, and across."""
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.uniform(0, 0.2, (90, 2)) + shift for shift in ((0, 0), (0.7, 0.1), (0.9, 0.9), (1.1, 0))])
    data = Sorted(np.concatenate((X, rng.uniform(0, 1.4, (40, 2)))).astype(dtype), 1.0, metric)
    assert 0.2 < data.adjacent.mean() < 0.95
    check(data, 200)


LENGTHS = {
    "euclidean": np.linalg.norm,
    "manhattan": lambda ways, **options: np.abs(ways).sum(**options),
    "chebyshev": lambda ways, **options: np.abs(ways).max(**options),
}


@pytest.mark.parametrize("eps", [1.0, 1.1, 0.7])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_what_the_screen_leaves_open(d, metric, eps):
    """Distances within some units in the last place of eps: float32 cannot tell, the canonical distance does."""
    rng = np.random.default_rng(d)
    ways = rng.normal(size=(300, d))
    ways *= eps / LENGTHS[metric](ways, axis=1, keepdims=True) * (1 + rng.integers(-6, 7, (300, 1)) * 2.0**-25)
    data = Sorted((0.3 + np.concatenate((np.zeros((1, d)), ways))).astype(np.float32), eps, metric)
    assert d == 1 or 0.2 < data.adjacent[0].mean() < 0.9
    check(data, 150)


@pytest.mark.parametrize(("magnitude", "dtype"), [(2.0**-148, np.float32), (1e-38, np.float32), (1e-25, np.float32),
    (1e19, np.float32), (1e37, np.float32), (1e-300, np.float64), (1e300, np.float64)])  # fmt: skip
@pytest.mark.parametrize("metric", METRICS)
def test_magnitudes(metric, magnitude, dtype):
    """Values that vanish or overflow when they are squared, and denormal ones."""
    X = np.rint(cloud(150, 2, np.float64) * 8) * magnitude
    check(Sorted(X.astype(dtype), 5 * magnitude, metric), 5)


def test_one_far_row_and_no_other():
    check(Sorted(np.array([[1.0, 2.0]], np.float32), 0.5), 1)
    X = cloud(100, 2, np.float64)
    X[17] = 1e9
    check(Sorted(X, 0.25), 4)


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    check(Sorted(cloud(300, 3), 0.75), 6, order=order, seed=3, resident=3)


@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_clean(sanitizer):
    sanitized(sanitizer, test_any_order_of_threads, order="random")
