"""The pieces of kernels/ptx.cuh: lanes hold what the PTX ISA says, products are those of NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emulation import Module


def _run(name: str, *args: np.ndarray, **options: Any) -> None:
    module = Module(Path(__file__).parent / "subjects" / "ptx.cu", **options)
    module.get_function(name)((1,), (32,), args)


def test_ldmatrix():
    """PTX ISA, figure of the fragment of ldmatrix .m8n8: lane l holds elements 2 (l % 4) and the next of row l / 4."""
    matrices, words = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8), np.zeros((4, 32), np.uint32)
    _run("fragments", matrices.view(np.uint8), words)
    pairs = words.view(np.uint16).reshape(4, 32, 2)
    for lane in range(32):
        np.testing.assert_array_equal(pairs[:, lane], matrices[:, lane // 4, 2 * (lane % 4) :][:, :2])


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_mma(order):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-8, 8, (2, 16, 16)).astype(np.float16)
    c, d = rng.integers(-8, 8, (16, 16)).astype(np.float32), np.zeros((16, 16), np.float32)
    _run("product", a.view(np.uint8), b.view(np.uint8), c, d, order=order)
    np.testing.assert_array_equal(d, a.astype(float) @ b.T.astype(float) + c)


def _large_and_many_small(rng):
    a, b = np.full((2, 16, 16), 2.0**-6 * 0.999, np.float16)
    a[:, 0] = 1.0
    b[:, 0] = rng.uniform(0.9, 1, 16)
    return a, b, np.zeros((16, 16), np.float32)


def _cancelling(rng):
    a, b = rng.uniform(0.9, 1, (2, 16, 16)).astype(np.float16)
    a[:, ::2] *= -1
    return a, b, rng.normal(size=(16, 16)).astype(np.float32)


def _beside_a_large_sum(rng):
    a, b = rng.normal(size=(2, 16, 16)).astype(np.float16)
    return a, b, rng.uniform(1000, 2000, (16, 16)).astype(np.float32)


@pytest.mark.parametrize("kind", [_large_and_many_small, _cancelling, _beside_a_large_sum])
def test_mma_s_sums_are_as_exact_as_the_bound_of_the_screen_has_it(kind):
    """Each of 16 products, the running sum and the result lose less than one unit in the 24th bit of the largest."""
    a, b, c = kind(np.random.default_rng(1))
    d = np.zeros((16, 16), np.float32)
    _run("product", a.view(np.uint8), b.view(np.uint8), c, d)
    wide_a, wide_b = a.astype(float), b.astype(float)
    largest = np.abs(wide_a) @ np.abs(wide_b).T + np.abs(c)
    assert (np.abs(wide_a @ wide_b.T + c - d) < 18 * 2.0**-23 * largest).all()


def test_conversions_keep_denormals():
    x = np.linspace(-3e-45, 2.0, 32).astype(np.float32)
    y = np.linspace(-4e-45, 1 / 3, 32)
    x[:3], y[:3] = [1e-45, -1e-40, np.inf], [1e-45, -1e-40, 1e300]
    wide, narrowed = np.zeros(32), np.zeros(32, np.float32)
    _run("conversions", x, wide, y, narrowed)
    np.testing.assert_array_equal(wide, x.astype(np.float64))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(narrowed, y.astype(np.float32))
