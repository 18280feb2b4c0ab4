"""The order of keys by their digits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuclust.engines.cpu import sort
from gpuclust.engines.cpu.sort import stable_order

# Enough keys that they are sorted by digits.
MANY = sort._FEW


def test_by_hand():
    assert stable_order(np.array([3, 1, 2, 1, 0]), 2).tolist() == [4, 1, 3, 2, 0]


@pytest.mark.parametrize("bits", [0, 1, 2, 11, 12, 22, 31, 45, 63])
@pytest.mark.parametrize("m", [MANY, MANY + 1, 3 * MANY - 1])
def test_it_is_numpys_stable_order(bits, m):
    keys = np.random.default_rng(bits).integers(0, 2**bits - 1, m, endpoint=True)
    before = keys.copy()
    order = stable_order(keys, bits)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(keys, before)


@given(st.lists(st.sampled_from([0, 1, 2**11 - 1, 2**11, 2**21, 2**22 - 1]), min_size=1, max_size=9), st.booleans())
def test_keys_that_repeat(pattern, ascending):
    keys = np.resize(np.array(pattern), MANY)
    if ascending:
        keys.sort()
    np.testing.assert_array_equal(stable_order(keys, 22), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(sort, "n_threads", lambda: threads)
    keys = np.random.default_rng(0).integers(0, 1000, MANY)
    np.testing.assert_array_equal(stable_order(keys, 10), np.argsort(keys, kind="stable"))
