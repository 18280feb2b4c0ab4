"""Ranges, coordinates of cells and boxes: by hand, and equal to NumPy's to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.emulation import Module
from tests.emulation.sanitize import sanitized
from tests.kernels.grids import CTYPES, boxes

THREADS = 256
SIGN = np.uint64(1 << 63)


def _run(name, x, *args, blocks=2, **options):
    Module("dbscan_grid", {"ROW": CTYPES[x.dtype]}, **options).get_function(name)((blocks,), (THREADS,), (x, *args))


def _extent(x, **options):
    m, d = x.shape
    low, high = np.full(d, 2**64 - 1, np.uint64), np.zeros(d, np.uint64)
    _run("extent", x, np.int64(m), np.int32(d), low, high, **options)
    return [np.where(bits & SIGN, bits ^ SIGN, ~bits).view(np.float64) for bits in (low, high)]


def _coordinates(x, feature, origin, inverse_side, **options):
    out = np.full(len(x), -7, np.int64)
    _run(
        "coordinates", x, np.int32(len(x)), np.int32(x.shape[1]), np.int32(feature), np.float64(origin),
        np.float64(inverse_side), out, **options,
    )  # fmt: skip
    return out


def _boxes(x, **options):
    n, d = len(x) // 32, x.shape[1]
    out = np.full((n, 2, d), np.nan, x.dtype)
    _run("boxes", x, np.int32(n), np.int32(d), out, **options)
    return out


def test_by_hand():
    x = np.array([[1.5, -2.0], [-0.5, 7.0], [0.25, -3.0]], np.float32)
    low, high = _extent(x)
    assert (low.tolist(), high.tolist()) == ([-0.5, -3.0], [1.5, 7.0])
    assert _coordinates(x, 0, -0.5, 2.0).tolist() == [4, 0, 1]
    assert _coordinates(x, 1, -3.0, 0.5).tolist() == [0, 5, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (700, 2), (600, 8), (31, 512)])
def test_extent(shape, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x[:, 0] = np.linspace(-3, 5, len(x)).round() * tiny  # denormals keep their order
    for blocks in (2, 5):
        low, high = _extent(x, blocks=blocks)
        np.testing.assert_array_equal(low, x.min(axis=0))
        np.testing.assert_array_equal(high, x.max(axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coordinates_have_one_rounding_for_each_operation(dtype):
    rng = np.random.default_rng(1)
    x = (rng.uniform(-1, 1, (900, 3)) * 10.0 ** rng.integers(0, 9, (900, 1))).astype(dtype)
    origin = x.min(axis=0).astype(np.float64)
    for feature in range(3):
        expected = np.floor((x[:, feature].astype(np.float64) - origin[feature]) * 321.7)
        assert expected.max() > 2**31
        np.testing.assert_array_equal(_coordinates(x, feature, origin[feature], 321.7), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(32, 1), (100, 3), (640, 8)])
def test_boxes(shape, dtype):
    x = np.random.default_rng(2).normal(size=shape).astype(dtype)
    np.testing.assert_array_equal(_boxes(x), boxes(x))


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    x = np.random.default_rng(3).normal(size=(800, 3)).astype(np.float32)
    options = {"order": order, "seed": 2, "resident": 3, "yields": 20, "blocks": 3}
    low, high = _extent(x, **options)
    np.testing.assert_array_equal((low, high), (x.min(axis=0), x.max(axis=0)))
    np.testing.assert_array_equal(_boxes(x, **options), boxes(x))


@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_clean(sanitizer):
    sanitized(sanitizer, test_any_order_of_threads, order="random")
