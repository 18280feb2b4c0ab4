"""Exact totals: by hand, equal to `math.fsum` and to rational arithmetic for any values, order, grid and partition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.engines.canonical import exact_products, exact_total
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

SETTINGS = settings(max_examples=60, deadline=None)
N_BINS = 136
MAGNITUDES = st.one_of(
    st.just(0.0),
    st.floats(0.0, 1e300),
    st.builds(math.ldexp, st.floats(0.5, 1.0, exclude_max=True), st.integers(-1000, 300)),
    st.floats(0.5, 2.0),
    st.floats(0.0, 1e-300),  # denormals too
    st.sampled_from([5e-324, 2.0**-1022, 1.0, 1.0 + 2.0**-52, 2.0**-53, 2.0**53]),
)


def _sum(parts, weights=None, *, grid=2, module=None):
    """Parts (lists of values) added one launch each, and rounded."""
    module = module or Module("total")
    add, finish = module.get_function("add_exact"), module.get_function("round_exact")
    bins, out = np.zeros(N_BINS, np.int64), np.full(1, np.nan)
    for p, part in enumerate(parts):
        values = np.array(part, dtype=np.float64)
        factors = None if weights is None else np.array(weights[p], dtype=np.float64)
        add((grid,), (32,), (values, factors, np.int64(len(values)), bins, None))
    finish((1,), (32,), (bins, out, None))
    assert not bins.any()
    return float(out[0])


def _exact(values):
    return sum((Fraction(float(v)) for v in values), Fraction(0))


def test_by_hand():
    assert _sum([[1.0, 2.5, 0.25]]) == 3.75
    assert _sum([[1.0, 2.0], [], [4.0]]) == 7.0
    assert _sum([[3.0, 0.5]], [[2.0, 0.25]]) == 6.125
    assert _sum([[]]) == 0.0
    assert _sum([[0.0, 0.0]]) == 0.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0**-53], 1.0),  # half-way: to even
        ([1.0 + 2.0**-52, 2.0**-53], 1.0 + 2.0**-51),
        ([1.0, 2.0**-53, 2.0**-1074], 1.0 + 2.0**-52),  # the smallest of all terms decides
        ([2.0**-1074, 2.0**-1074], 2.0**-1073),
        ([2.0**-1022, 2.0**-1074], 2.0**-1022 + 2.0**-1074),
        ([2.0**300, 2.0**-1000], 2.0**300),
        ([1.0 - 2.0**-53, 2.0**-54], 1.0),  # rounding carries into the next binade
        ([2.0**1023, 2.0**1023 - 2.0**970], math.inf),
        ([2.0**1023, 2.0**1022], 1.5 * 2.0**1023),
    ],
)
def test_rounding(values, expected):
    assert _sum([values]) == expected
    assert _sum([values[::-1]], grid=1) == expected
    assert _sum([[v] for v in values]) == expected


@given(st.lists(st.lists(MAGNITUDES, max_size=40), max_size=4), st.integers(1, 3))
@SETTINGS
def test_equals_fsum(parts, grid):
    values = [v for part in parts for v in part]
    assert _sum(parts, grid=grid) == math.fsum(values) == exact_total([np.array(values, dtype=np.float64)])


@given(st.lists(st.tuples(MAGNITUDES, MAGNITUDES), max_size=40), st.integers(0, 40))
@SETTINGS
def test_products_are_exact(pairs, cut):
    """Also where the products leave the range of float64 on either side: their sum is rounded once."""
    exact = sum((Fraction(v) * Fraction(w) for v, w in pairs), Fraction(0))
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf
    columns = [[[pair[c] for pair in part] for part in (pairs[:cut], pairs[cut:])] for c in range(2)]
    assert _sum(*columns) == expected


def test_rounded_once_among_the_denormals():
    """2.5 units and a little more: rounding to 53 bits first would make it a tie."""
    factors = [[2.0**-473, 2.0**-475, 2.0**-530]]
    assert _sum([[2.0**-600] * 3], factors) == 3 * 2.0**-1074
    assert _sum([[2.0**-600] * 2], [factors[0][:2]]) == 2 * 2.0**-1074
    assert _sum([[2.0**-600]], [[2.0**-475]]) == 0.0
    assert _sum([[2.0**-600] * 2], [factors[0][1:]]) == 2.0**-1074


def test_equals_the_cpu_engine_s_total_of_products():
    rng = np.random.default_rng(0)
    plain = 0
    for _ in range(20):
        values, weights = rng.uniform(0, 4, 3), rng.uniform(0, 1, 3)
        expected = exact_total(exact_products(weights, values))
        assert _sum([values], [weights]) == expected
        plain += expected == math.fsum(values * weights)
    assert plain < 20  # products rounded one by one give another total


def test_many_values_of_full_mantissas():
    """Every bin of every lane gets the largest piece many times: carries are kept."""
    n = 20_000
    values = np.full(n, 2.0 - 2.0**-52)
    values[0], values[-1] = 2.0**200, 2.0**-200
    expected = float((n - 2) * Fraction(float(values[1])) + Fraction(2) ** 200 + Fraction(2) ** -200)
    assert _sum([values]) == expected
    assert _sum([values[::-1]], grid=7) == expected


def test_bins_hold_more_than_a_launch_can_add():
    """After 2**30 blocks each bin may hold nearly 2**63; the carries then pass through all of them."""
    bins, out = np.zeros(N_BINS, np.int64), np.empty(1)
    bins[60:70] = 2**63 - 1
    exact = sum(Fraction(2**63 - 1) * Fraction(2) ** (32 * q - 2148) for q in range(60, 70))
    Module("total").get_function("round_exact")((1,), (32,), (bins, out, None))
    assert out[0] == float(exact)


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    rng = np.random.default_rng(1)
    values = np.ldexp(rng.random(700), rng.integers(-80, 80, 700))
    module = Module("total", order=order, seed=3, resident=4, yields=50)
    assert _sum([values[:300], values[300:]], grid=5, module=module) == math.fsum(values)


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")


def test_halted():
    module = Module("total")
    bins, out, halt = np.full(N_BINS, 7, np.int64), np.full(1, 5.0), np.ones(1, np.int32)
    module.get_function("add_exact")((1,), (32,), (np.ones(3), None, np.int64(3), bins, halt))
    module.get_function("round_exact")((1,), (32,), (bins, out, halt))
    assert (bins == 7).all()
    assert out[0] == 5.0
