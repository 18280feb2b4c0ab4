"""Correctly rounded sums, exact products, the frame's headroom and fixed point, against rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.engines.canonical import exact_products, exact_total, fixed_point, make_frame

SETTINGS = settings(max_examples=150, deadline=None)
MAGNITUDES = st.one_of(
    st.just(0.0),
    st.floats(1e-300, 1e300),
    st.builds(math.ldexp, st.floats(0.5, 1.0, exclude_max=True), st.integers(-990, 990)),
    st.floats(0.5, 2.0),
    st.floats(0.0, 1e-300),  # denormals too
)


def _exact(values):
    return sum((Fraction(float(v)) for v in values), Fraction(0))


@given(st.lists(st.lists(MAGNITUDES, max_size=12), max_size=8), st.randoms(use_true_random=False))
@SETTINGS
def test_total_is_correctly_rounded_in_any_order(groups, random):
    arrays = [np.array(group, dtype=np.float64) for group in groups]
    values = [v for group in groups for v in group]
    expected = float(_exact(values))
    assert exact_total(arrays) == expected
    random.shuffle(values)
    cut = random.randint(0, len(values))
    assert exact_total([np.array(values[:cut]), np.array(values[cut:], dtype=np.float64)]) == expected


def test_total_breaks_a_tie_by_the_smallest_of_many_terms():
    """1 + 2**-53 is half-way between two float64; one term of 2**-600 decides."""
    tie = [np.array([1.0]), np.array([2.0**-53])]
    assert exact_total(tie) == 1.0
    assert exact_total([*tie, np.array([2.0**-600])]) == 1.0 + 2.0**-52
    assert exact_total([np.array([2.0**-600]), np.array([2.0**-53, 1.0])]) == 1.0 + 2.0**-52


def test_total_of_more_values_than_a_layer_holds():
    n = (1 << 20) + 3
    values = np.full(n, 1.0 + 2.0**-52)
    values[[0, -1]] = 2.0**200, 2.0**-200
    expected = float((n - 2) * Fraction(values[1]) + Fraction(2) ** 200 + Fraction(2) ** -200)
    assert exact_total([values]) == expected
    assert exact_total([values[::-1].copy()]) == expected


def test_total_of_nothing_is_zero():
    assert exact_total([]) == 0.0
    assert exact_total([np.empty(0), np.zeros(5)]) == 0.0


@given(st.lists(st.tuples(st.floats(1e-100, 1e100), st.floats(1e-100, 1e100)), min_size=1, max_size=30))
@SETTINGS
def test_products_are_exact(pairs):
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    parts = exact_products(first, second)
    assert all((part >= 0).all() for part in parts)
    for i, (a, b) in enumerate(pairs):
        assert _exact(part[i] for part in parts) == Fraction(a) * Fraction(b)


@pytest.mark.parametrize("low", [1, 2, 2**26 - 1, 2**26, 2**26 + 1, 2**27 - 1, 2**27, 2**52 - 1])
def test_products_of_full_mantissas_are_exact(low):
    """The widest halves multiply to more than 53 bits where a factor is cut in two only."""
    values = np.array([1 + low * 2.0**-52, 1 + (2**27 - 1) * 2.0**-52, 1.0, 3.0])
    first, second = (grid.ravel() for grid in np.meshgrid(values, values))
    parts = exact_products(first, second)
    for i in range(len(first)):
        assert _exact(part[i] for part in parts) == Fraction(first[i]) * Fraction(second[i])


@pytest.mark.parametrize("largest", [1.0, 0.75, 3.0, 1e19, 1e300, 1e-25, 1e-300, 2.0**-1074])
@pytest.mark.parametrize("reach", [0.0, 1.0, 1e30])
def test_scale_is_a_power_of_two_that_keeps_rows_and_centres_within_one(largest, reach):
    column_max = np.array([largest, largest / 3])
    frame = make_frame(np.array([1e308, -1e308]), column_max, reach, 100, 1.0)
    assert math.frexp(frame.scale)[0] == 0.5
    assert (np.abs(frame.origin) <= column_max).all()
    for x in (largest, -largest, reach, -reach):
        for o in frame.origin:
            assert abs((Fraction(x) - Fraction(float(o))) * Fraction(frame.scale)) <= 1


def test_scale_does_not_depend_on_the_origin():
    column_max = np.array([5.0, 0.0])
    scales = {make_frame(np.full(2, o), column_max, 2.0, 9, 1.0).scale for o in (-5.0, 0.0, 3.0)}
    assert scales == {1.0 / 16}


@pytest.mark.parametrize("max_weight", [1.0, 0.3, 7.0, 1e-200, 1e200])
@pytest.mark.parametrize("n_rows", [1, 2, 1000, 2**20 - 1, 2**20, 2**31, 2**32, 2**40])
def test_no_sum_of_any_number_of_rows_overflows(n_rows, max_weight):
    """Both limbs of rows at their maximum, all in one cluster, in exact integers: nothing is allocated."""
    column_max = np.array([1.0, 2.0 - 2.0**-52, 1e-60, 1e60, 0.0, np.nextafter(2.0**40, 0)])
    frame = make_frame(np.zeros(6), column_max, 0.0, n_rows, max_weight)
    for largest, high in zip(column_max, frame.high, strict=True):
        whole = round(Fraction(max_weight) * Fraction(float(largest)) * Fraction(float(high)))
        assert n_rows * whole < 2**62
        # Not even when the carry of the low limb is added.
        assert n_rows * whole + 2**62 // int(frame.low) < 2**63
        # And no headroom is wasted: the quantum is small.
        assert whole == 0 or n_rows * whole >= 2**57
    assert n_rows * round(Fraction(max_weight) * Fraction(frame.weight_high)) < 2**62
    # The low limb of one value is at most half of its scale.
    assert math.frexp(frame.low)[0] == 0.5
    assert n_rows * Fraction(frame.low) / 2 <= 2**62


@given(st.integers(-(2**61), 2**61), st.integers(-(2**62), 2**62), st.integers(-30, 30), st.integers(20, 60))
@SETTINGS
def test_fixed_point_is_the_value_of_its_limbs(high, low, exponent, low_exponent):
    scale, low_scale = 2.0**exponent, 2.0**low_exponent
    value = float(fixed_point(np.array([high]), np.array([low]), np.array([scale]), low_scale)[0])
    exact = (high + Fraction(low) / Fraction(low_scale)) / Fraction(scale)
    # Three roundings: of the high limb, of the low one, of their sum.
    unit = Fraction(2) ** -53
    assert abs(Fraction(value) - exact) <= 3 * unit * abs(exact) + unit / Fraction(scale)


def test_fixed_point_normalises_limbs_that_cancel():
    """Equal values held in different limbs give the same bits."""
    high, low = np.array([5, 6, 4]), np.array([3, 3 - 2**30, 3 + 2**30])
    assert len(set(fixed_point(high, low, 8.0, 2.0**30).tolist())) == 1
