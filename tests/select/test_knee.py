"""The knee of a curve: by hand, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuclust.select.knee import knee


def test_by_hand():
    """Below the chord from (0, 0) to (4, 4) by 0, 1, 2, 3, 0."""
    assert knee(np.arange(5.0), np.array([0.0, 0, 0, 0, 4])) == 3


def test_falling_curves_and_unequal_steps():
    """The chord from (1, 12) to (7, 0) falls by 2 a unit: 12, 10, 4, 0 are its heights at 1, 2, 5, 7."""
    assert knee(np.array([1.0, 2, 5, 7]), np.array([12.0, 6, 1, 0])) == 1


@pytest.mark.parametrize("y", [[1.0], [1.0, 2.0], [3.0, 3.0, 3.0], [1.0, 2.0, 3.0], [0.0, 5.0, 0.0]])
def test_without_a_knee_it_is_the_first(y):
    assert knee(np.arange(float(len(y))), np.array(y)) == 0


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=30), st.integers(-3, 3), st.integers(-100, 100))
def test_units_do_not_matter(values, power, shift):
    x, y = np.arange(float(len(values))), np.array(values, float)
    found = knee(x, y)
    assert 0 <= found < len(y)
    scaled = knee(x * 4 + 1, y * 2.0**power + shift)
    # Up to rounding of the chord: equally far below it.
    depth = y[0] + (y[-1] - y[0]) * x / x[-1] - y
    assert depth[scaled] == pytest.approx(depth[found], abs=1e-9)
