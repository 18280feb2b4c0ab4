"""Kernels of Gaussian mixtures: by hand, and the bits of the CPU engine, whatever the order of threads."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.mixture import LEAST, Mixture, MomentFormat, exp, log
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
THREADS = 128


class Kernels:
    """The four kernels, launched with grids of the test's choice."""

    def __init__(self, dtype=np.float64, **options):
        module = Module("mixture", {"ROW": CTYPES[np.dtype(dtype)]}, **options)
        self.turn, self.log_joint, self.normalize, self.moments = map(
            module.get_function, ("turn", "log_joint", "normalize", "moments")
        )

    def turned(self, rows, tall=1):
        m, d = rows.shape
        columns = np.full((d, m), np.nan)
        self.turn((-(-m // 32), tall), (256,), (rows, np.int32(m), np.int32(d), columns))
        return columns

    def joint(self, columns, mixture, tall=2):
        (d, m), (k, height, _) = columns.shape, mixture.factors.shape
        stride = -(-d // 8) * 8
        factors = np.zeros((k, height, stride))
        factors[:, :, :d] = mixture.factors
        joint = np.full((k, m), np.nan)
        self.log_joint(
            (-(-m // THREADS), tall), (THREADS,),
            (columns, np.int32(m), np.int32(d), mixture.means, factors, np.int32(height), np.int32(stride),
             mixture.constants, np.int32(k), joint),
        )  # fmt: skip
        return joint

    def normalized(self, joint):
        k, m = joint.shape
        shares, labels, densities = joint.copy(), np.full(m, -1, np.int32), np.full(m, np.nan)
        self.normalize((-(-m // THREADS),), (THREADS,), (shares, np.int32(m), np.int32(k), labels, densities))
        return shares, labels, densities

    def summed(self, rows, means, shares, form, *, tile=7, blocks=3):
        (m, d), k, pairs = rows.shape, len(means), len(form.left)
        groups, limbs = -(-pairs // THREADS), np.zeros((2, k, pairs), np.int64)
        self.moments(
            (k * groups, blocks), (THREADS,),
            (rows, np.int32(m), np.int32(d), means, shares, np.float64(form.cutoff), form.left, form.right,
             np.int32(pairs), np.int32(groups), form.rounders, np.int32(tile), np.int32(k), limbs),
            shared_mem=8 * tile * (d + 2),
        )  # fmt: skip
        return limbs


def _mixture(k, d, diagonal=False, seed=0):
    rng = np.random.default_rng(seed)
    factors = np.triu(rng.normal(size=(k, d, d)) * 0.3 + np.eye(d))
    if diagonal:
        factors = np.diagonal(factors, axis1=1, axis2=2)[:, None].copy()
    return Mixture(2 * rng.normal(size=(k, d)), factors, rng.normal(size=k))


def _rows(n, d, dtype=np.float64, seed=1):
    return (3 * np.random.default_rng(seed).normal(size=(n, d))).astype(dtype)


def _form(rows, mixture):
    reach = np.abs(rows).max(axis=0).astype(float) + np.abs(mixture.means).max(axis=0)
    return MomentFormat.of(10**6, reach, diagonal=mixture.factors.shape[1] == 1)


def _check(n, k, d, dtype=np.float64, *, diagonal=False, tile=7, blocks=3, **options):
    rows, mixture, cpu = _rows(n, d, dtype), _mixture(k, d, diagonal), get_engine("cpu")
    kernels, form = Kernels(dtype, **options), _form(rows, mixture)
    shares, labels, densities = kernels.normalized(kernels.joint(kernels.turned(rows), mixture))
    expected = cpu.mixture_densities(rows, mixture, responsibilities=True)
    np.testing.assert_array_equal(labels, expected.labels)
    np.testing.assert_array_equal(densities, expected.log_densities)
    np.testing.assert_array_equal(shares.T, expected.responsibilities)
    limbs = kernels.summed(rows, mixture.means, shares, form, tile=tile, blocks=blocks)
    np.testing.assert_array_equal(limbs, cpu.mixture_moments(rows, mixture, form).limbs)


@pytest.mark.parametrize("tall", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (33, 31), (64, 32), (5, 70)])
def test_rows_are_turned(shape, tall):
    for dtype in (np.float32, np.float64):
        rows = _rows(*shape, dtype)
        np.testing.assert_array_equal(Kernels(dtype).turned(rows, tall), rows.T)


def test_joint_by_hand():
    """y = (z1 2, z1 1 + z2 3) for z = x - mean; and the diagonal (2, 3)."""
    columns, means, constants = np.array([[3.0], [1.0]]), np.array([[2.0, -1.0]]), np.array([10.0])
    full = Mixture(means, np.array([[[2.0, 1.0], [0.0, 3.0]]]), constants)
    assert Kernels().joint(columns, full)[0, 0] == 10 - (2**2 + 7**2) / 2
    assert Kernels().joint(columns, Mixture(means, np.array([[[2.0, 3.0]]]), constants))[0, 0] == 10 - (2**2 + 6**2) / 2


def test_exp_and_log_are_those_of_the_host():
    """Two components of which the first is the nearer: the other's share is exp / (1 + exp)."""
    below = -np.random.default_rng(2).uniform(0, 1, 300) * np.repeat([1e-9, 1.0, 709.0], 100)
    below[:3] = LEAST, np.nextafter(LEAST, -np.inf), -1e300
    joint = np.stack([np.zeros(300), below])
    shares, labels, densities = Kernels().normalized(joint)
    np.testing.assert_array_equal(densities, log(1.0 + exp(below)))
    np.testing.assert_array_equal(shares[1], exp(below) * (1 / (1 + exp(below))))
    assert not labels.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 7), (2, 8), (3, 9), (2, 17)])
def test_bits_are_the_cpu_engine_s(k, d, dtype):
    for diagonal in (False, True):
        _check(150, k, d, dtype, diagonal=diagonal)


@pytest.mark.parametrize("shape", [(1, 1, 1), (129, 1, 2), (3, 200, 1)])
def test_odd_shapes(shape):
    for tile, blocks in ((1, 1), (64, 5)):
        _check(*shape, tile=tile, blocks=blocks)


def test_responsibilities_below_the_cutoff():
    rows, mixture = _rows(40, 2), _mixture(2, 2)
    form = _form(rows, mixture)
    shares = form.cutoff * 2.0 ** np.random.default_rng(3).integers(-3, 3, (40, 2))
    shares[::3] = 1.0
    limbs = Kernels().summed(rows, mixture.means, np.ascontiguousarray(shares.T), form)
    expected = get_engine("cpu").mixture_moments(rows, mixture, form, shares)
    np.testing.assert_array_equal(limbs, expected.limbs)


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    _check(90, 2, 16, np.float32, order=order, seed=2, resident=3)


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["asan", "ubsan"])
def test_no_access_out_of_bounds(sanitizer):
    sanitized(sanitizer, test_odd_shapes, shape=(129, 1, 2))
    sanitized(sanitizer, test_rows_are_turned, shape=(33, 31), tall=3)
