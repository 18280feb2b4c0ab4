"""Densities and moments of Gaussian mixtures: by hand, to the last bit of the formulas, and however rows are cut up."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.engines import get_engine
from gpuclust.engines.cpu.mixture import deposit
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.engines.mixture import BINS, LEAST, MOST, Mixture, MomentFormat, Moments, exp, log
from gpuclust.errors import DeviceMemoryError
from tests.emulation import EmulatedCuPy


def make_mixture(n_components, n_features, *, diagonal=False, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    factors = np.triu(rng.normal(size=(n_components, n_features, n_features)) * 0.3 + np.eye(n_features))
    if diagonal:
        factors = np.diagonal(factors, axis1=1, axis2=2)[:, None].copy()
    return Mixture(spread * rng.normal(size=(n_components, n_features)), factors, rng.normal(size=n_components))


def make_rows(n_rows, n_features, dtype=np.float32, seed=1):
    return (3 * np.random.default_rng(seed).normal(size=(n_rows, n_features))).astype(dtype)


def format_of(rows, mixture, n_rows=None):
    reach = np.abs(rows.astype(float)).max(axis=0) + np.abs(mixture.means).max(axis=0)
    return MomentFormat.of(n_rows or len(rows), reach, diagonal=mixture.factors.shape[1] == 1)


def reference(rows, mixture):
    """Labels, log-densities and responsibilities, by the order of operations of `gpuclust.engines.mixture`."""
    joint = []
    for mean, factor, constant in zip(*mixture, strict=True):
        z, square = (rows.astype(np.float64) - mean).T, 0.0
        for j in range(len(z)):
            first = j if len(factor) == 1 else 0
            y = z[first] * factor[0, j]
            for i in range(1, j + 1 if len(factor) > 1 else 0):
                y = y + z[i] * factor[i, j]
            square = square + y * y
        joint.append(constant - 0.5 * np.minimum(square, MOST))
    top, total = np.max(joint, axis=0), 0.0
    shares = [exp(values - top) for values in joint]
    for share in shares:
        total = total + share
    return np.argmax(joint, axis=0), top + log(total), np.stack([share * (1 / total) for share in shares], axis=1)


def reference_moments(rows, means, responsibilities, form):
    """Sums of rounded products, as Python integers would be."""
    limbs = np.zeros((2, len(means), len(form.left)), np.int64)
    for c, mean in enumerate(means):
        z = np.concatenate([np.ones((len(rows), 1)), rows.astype(np.float64) - mean], axis=1)
        scaled = ((responsibilities[:, c, None] * z[:, form.left]) * z[:, form.right]) * form.high
        high = np.rint(scaled)
        limbs[:, c] = (
            high.astype(np.int64).sum(axis=0),
            np.rint((scaled - high) * form.low).astype(np.int64).sum(axis=0),
        )
    return limbs


# -- exp and log -------------------------------------------------------------------------------------------------------


def _units_off(found, argument, function):
    with localcontext() as context:
        context.prec = 50
        exact = function(Decimal(float(argument)))
        return float(abs(Decimal(float(found)) - exact) / Decimal(float(np.spacing(abs(found)))))


def test_exp_is_within_little_more_than_a_unit():
    x = -np.random.default_rng(0).uniform(0, 1, 2000) * np.repeat([1e-8, 0.4, 20.0, 708.0], 500)
    assert max(_units_off(found, value, Decimal.exp) for found, value in zip(exp(x), x, strict=True)) < 1.25
    np.testing.assert_array_equal(exp(np.array([0.0, -1e-320, np.nextafter(LEAST, -math.inf), -1e300])), [1, 1, 0, 0])
    assert exp(np.array([LEAST]))[0] > 2.0**-1022


def test_log_is_within_a_unit():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(1, 300, 800), rng.uniform(0.6, 1.6, 800), 10 ** rng.uniform(-300, 300, 400)])
    assert max(_units_off(found, value, Decimal.ln) for found, value in zip(log(x), x, strict=True)) < 1.0
    assert log(np.array([1.0]))[0] == 0.0


# -- densities ---------------------------------------------------------------------------------------------------------


def test_densities_by_hand(engine):
    """Two components in one feature, of deviation 1 and 1/2; the first row is as near to either."""
    mixture = Mixture(np.array([[0.0], [3.0]]), np.array([[[1.0]], [[2.0]]]), np.array([0.0, 0.0]))
    rows = np.array([[2.0], [0.0], [3.0]])
    found = engine.mixture_densities(engine.place(rows), mixture, responsibilities=True)
    np.testing.assert_array_equal(found.labels, [0, 0, 1])
    near, far = math.exp(-2.0), math.exp(-18.0)
    expected = [math.log(2 * near), math.log(1 + far), math.log(1 + math.exp(-4.5))]
    np.testing.assert_allclose(found.log_densities, expected, rtol=1e-15)
    shares = [0.5, 1 / (1 + far), 1 / (1 + math.exp(4.5))]
    np.testing.assert_allclose(found.responsibilities, [[s, 1 - s] for s in shares], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 2), (2, 4), (5, 5), (2, 9), (7, 16), (2, 33)])
def test_densities_are_those_of_the_formulas(engine, k, d, dtype, sized):
    rows = make_rows(sized(1100, 70), d, dtype)
    for diagonal in (False, True):
        mixture = make_mixture(k, d, diagonal=diagonal)
        found = engine.mixture_densities(engine.place(rows), mixture, responsibilities=True)
        labels, densities, shares = reference(rows, mixture)
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(found.log_densities, densities)
        np.testing.assert_array_equal(found.responsibilities, shares)
        assert engine.mixture_densities(engine.place(rows), mixture).responsibilities is None
        assert (densities <= mixture.ceiling).all()


def test_rows_beyond_all_measure_are_finite(engine):
    mixture = Mixture(np.zeros((2, 2)), np.stack([np.eye(2) * 1e160, [[1e155, -1e155], [0, 1e155]]]), np.zeros(2))
    rows = np.array([[1e100, 1e100], [1e-160, 0.0], [-1e120, 1e120]])
    found = engine.mixture_densities(engine.place(rows), mixture, responsibilities=True)
    np.testing.assert_array_equal(found.labels, [0, 1, 0])
    assert np.isfinite(found.log_densities).all()
    np.testing.assert_allclose(found.responsibilities.sum(axis=1), 1)


def test_ties_go_to_the_lowest_index(engine):
    mixture = Mixture(np.zeros((3, 1)), np.ones((3, 1, 1)), np.array([-1.0, 0.0, 0.0]))
    assert engine.mixture_densities(engine.place(np.array([[5.0]])), mixture).labels[0] == 1


# -- moments -----------------------------------------------------------------------------------------------------------


def test_moments_by_hand(engine):
    rows = np.array([[1.0, 2.0], [3.0, -4.0]])
    mixture = Mixture(np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones((2, 1, 2)), np.zeros(2))
    shares = np.array([[1.0, 0.0], [0.25, 0.75]])
    form = MomentFormat.of(2, np.array([4.0, 8.0]), diagonal=False)
    found = form.values(engine.mixture_moments(engine.place(rows), mixture, form, shares).limbs)
    # (1, 1), (1, z1), (z1, z1), (1, z2), (z1, z2), (z2, z2)
    np.testing.assert_array_equal(found[0], [1.25, 0.5, 1.0, 1.0, -2.0, 8.0])
    np.testing.assert_array_equal(found[1], [0.75, 2.25, 6.75, -3.75, -11.25, 18.75])
    form = MomentFormat.of(2, np.array([4.0, 8.0]), diagonal=True)
    found = form.values(engine.mixture_moments(engine.place(rows), mixture, form, shares).limbs)
    np.testing.assert_array_equal(found[0], [1.25, 0.5, 1.0, 1.0, 8.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 2), (6, 5), (2, 17)])
def test_moments_are_those_of_the_formulas(engine, k, d, dtype, sized):
    rows = make_rows(sized(1500, 70), d, dtype)
    for diagonal in (False, True):
        mixture = make_mixture(k, d, diagonal=diagonal)
        _, densities, shares = reference(rows, mixture)
        form = format_of(rows, mixture, 10**6)
        found = engine.mixture_moments(engine.place(rows), mixture, form)
        np.testing.assert_array_equal(found.limbs, reference_moments(rows, mixture.means, shares, form))
        deficit = sum(Fraction(value) for value in mixture.ceiling - densities) / len(rows)
        assert found.deficit(len(rows)) == float(deficit)
        given_shares = np.random.default_rng(2).random((len(rows), k))
        found = engine.mixture_moments(engine.place(rows), mixture, form, given_shares)
        np.testing.assert_array_equal(found.limbs, reference_moments(rows, mixture.means, given_shares, form))
        assert found.deficit(1) == 0.0


def test_far_components_are_passed_by_without_a_trace(engine, sized):
    """Responsibilities about the cutoff, both sides of it, and an outlier that sets the scale."""
    rng, n = np.random.default_rng(3), sized(3000, 90)
    rows = rng.normal(size=(n, 2)) + 30.0 * rng.integers(0, 3, n)[:, None]
    rows[5] = 1e9
    mixture = Mixture(np.array([[0.0, 0], [30, 30], [60, 60]]), np.stack([np.eye(2)] * 3), np.zeros(3))
    form = format_of(rows, mixture)
    shares = reference(rows, mixture)[2]
    shares[:40] = form.cutoff * 2.0 ** rng.integers(-3, 4, (40, 3))
    found = engine.mixture_moments(engine.place(rows), mixture, form, shares)
    np.testing.assert_array_equal(found.limbs, reference_moments(rows, mixture.means, shares, form))


def test_the_same_however_rows_are_cut(engine, sized):
    rows, mixture = make_rows(sized(2500, 80), 3), make_mixture(4, 3)
    form = format_of(rows, mixture)
    whole = engine.mixture_moments(engine.place(rows), mixture, form)
    total = Moments.zeros(4, form)
    for start, stop in ((0, 7), (7, 8), (8, len(rows))):
        total += engine.mixture_moments(engine.place(rows[start:stop]), mixture, form)
    np.testing.assert_array_equal(total.limbs, whole.limbs)
    assert total.deficit(len(rows)) == whole.deficit(len(rows))


@pytest.mark.slow
@pytest.mark.emulated
def test_blocks_of_rows_on_a_device_change_nothing(monkeypatch):
    monkeypatch.setattr("gpuclust.engines.cuda.mixture._TABLE", 1)
    rows, mixture = make_rows(300, 3), make_mixture(4, 3)
    form, shares = format_of(rows, mixture), np.random.default_rng(4).random((300, 4))
    (a, b, c), (x, y, z) = (
        (
            engine.mixture_densities(engine.place(rows), mixture, responsibilities=True),
            engine.mixture_moments(engine.place(rows), mixture, form),
            engine.mixture_moments(engine.place(rows), mixture, form, shares),
        )
        for engine in (get_engine("cpu"), CudaEngine(0, EmulatedCuPy(asynchronous=True)))
    )
    for mine, yours in zip((*a, b.limbs, c.limbs), (*x, y.limbs, z.limbs), strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert b.deficit(300) == y.deficit(300)


@pytest.mark.emulated
def test_rows_too_wide_for_a_device():
    engine, d = CudaEngine(0, EmulatedCuPy()), 30_000
    mixture, rows = Mixture(np.zeros((1, d)), np.ones((1, 1, d)), np.zeros(1)), np.ones((2, d))
    with pytest.raises(DeviceMemoryError, match="use device='cpu'"):
        engine.mixture_moments(engine.place(rows), mixture, MomentFormat.of(2, np.ones(d), diagonal=True))


def test_threads_change_nothing():
    rows, mixture = make_rows(20_000, 3), make_mixture(4, 3)
    form, engine, before = format_of(rows, mixture), get_engine("cpu"), numba.get_num_threads()
    found = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(engine.mixture_moments(rows, mixture, form))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(found[0].limbs, found[1].limbs)
    assert found[0].deficit(1) == found[1].deficit(1)


# -- the format --------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 2**40),
    st.lists(st.floats(0, 1e100), min_size=1, max_size=3),
    st.lists(st.floats(0, 1), min_size=1, max_size=10),
)
def test_limbs_resolve_what_they_promise_and_never_overflow(n_rows, reach, shares):
    form = MomentFormat.of(n_rows, np.array(reach), diagonal=False)
    z = np.array([1.0, *reach])
    largest = z[form.left] * z[form.right]
    first, second = form.rounders
    for share in shares:
        values = largest * share
        rounded = values + first
        high = rounded.view(np.int64) - first.view(np.int64)
        low = ((values - (rounded - first)) + second).view(np.int64) - second.view(np.int64)
        for value, a, b, scale in zip(values, high, low, form.high, strict=True):
            exact = (Fraction(int(a)) + Fraction(int(b)) / Fraction(form.low)) / Fraction(scale)
            assert abs(exact - Fraction(float(value))) <= 1 / (2 * Fraction(scale) * Fraction(form.low))
            assert abs(int(a)) * n_rows < 2**62
            assert abs(int(b)) * n_rows < 2**62
            if share < form.cutoff:
                assert (a, b) == (0, 0)


def test_deficits_are_exact():
    values = [0.0, 5e-324, 1e-310, 2.0**-1022, 0.1, 1.0, 3.5e299, 1e300]
    bins = np.zeros(BINS, np.int64)
    for value in values:
        deposit(value, bins)
    assert Moments(np.zeros(0), bins).deficit(3) == float(sum(map(Fraction, values)) / 3)
