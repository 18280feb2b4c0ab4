"""Sums of distances to runs of rows: by hand, against exact fractions, and the same however rows are cut up."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.engines import get_engine
from gpuclust.engines.distance_sums import SUMMED, SumFormat
from tests import reference


def _sums(engine, form, a, b, runs_a, runs_b):
    placed = [None if rows is None else engine.place(np.ascontiguousarray(rows)) for rows in (a, b)]
    return engine.distance_sums(*placed, np.array(runs_a), np.array(runs_b), form)


def _expected(form, a, b, runs):
    """Exact sums of the rounded distances, (runs, m), as limbs."""
    if form.metric == "euclidean":
        distances = np.sqrt(reference.distances(a, b, form.scale))
    else:
        distances = np.abs((a[:, None].astype(float) - b) * form.scale).sum(axis=2)
    limbs = form.limbs(distances.ravel()).reshape(2, len(a), len(b))
    return np.stack([limbs[:, :, i:j].sum(axis=2) for i, j in pairwise(runs)], axis=1)


def test_by_hand(engine):
    form = SumFormat.of(10, 2, 0.125)
    a = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    b = np.array([[0.0, 1.0], [6.0, 8.0], [0.0, 0.0]], np.float32)
    of_a, of_b = _sums(engine, form, a, b, [0, 2], [0, 2, 3])
    np.testing.assert_allclose(form.values(of_a) / 0.125, [[11, 5 + 18**0.5], [0, 5]], rtol=1e-15)
    np.testing.assert_allclose(form.values(of_b) / 0.125, [[1 + 18**0.5, 15, 5]], rtol=1e-15)
    among, same = _sums(engine, form, b, None, [0, 2, 3], [0, 2, 3])
    np.testing.assert_array_equal(among, same)
    np.testing.assert_allclose(form.values(among) / 0.125, [[85**0.5, 85**0.5, 11], [1, 10, 0]], rtol=1e-15)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 9, 16, 17, 31, 32, 33, 70])
def test_equal_to_the_reference(engine, d):
    rng = np.random.default_rng(d)
    a, b = (rng.normal(size=(n, d)).astype(np.float32) for n in (23, 101))
    runs_a, runs_b = [0, 1, 7, 12, 23], [0, 64, 65, 90, 101]
    form = SumFormat.of(200, d, 2.0**-4)
    of_a, of_b = _sums(engine, form, a, b, runs_a, runs_b)
    np.testing.assert_array_equal(of_a, _expected(form, a, b, runs_b))
    np.testing.assert_array_equal(of_b, _expected(form, b, a, runs_a))
    np.testing.assert_array_equal(_sums(engine, form, b, None, runs_b, runs_b)[0], _expected(form, b, b, runs_b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e30])
def test_manhattan_and_magnitudes(engine, dtype, magnitude):
    rng = np.random.default_rng(1)
    a, b = ((rng.normal(size=(n, 6)) * magnitude).astype(dtype) for n in (9, 14))
    scale = 2.0 ** -(np.frexp(6 * magnitude)[1] + 1)
    for metric in SUMMED:
        form = SumFormat.of(23, 6, scale, metric)
        of_a, of_b = _sums(engine, form, a, b, [0, 9], [0, 5, 14])
        expected = _expected(form, a, b, [0, 5, 14])
        if metric == "euclidean":
            np.testing.assert_array_equal(of_a, expected)
        # NumPy adds absolute differences in another order.
        np.testing.assert_allclose(form.values(of_a), form.values(expected), rtol=1e-14)
        np.testing.assert_allclose(form.values(of_b).sum(), form.values(of_a).sum(), rtol=1e-14)


def test_the_same_however_rows_are_cut(engine):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(60, 4)).astype(np.float32)
    runs = [0, 10, 11, 40, 60]
    form = SumFormat.of(60, 4, 2.0**-5)
    whole = _sums(engine, form, rows, None, runs, runs)[0]
    head, tail = _sums(engine, form, rows[:25], rows[25:], [0, 10, 11, 25], [0, 15, 35])
    among = _sums(engine, form, rows[:25], None, [0, 10, 11, 25], [0, 10, 11, 25])[0]
    np.testing.assert_array_equal(whole[:, :2, :25], among[:, :2])
    np.testing.assert_array_equal(whole[:, 2, :25], among[:, 2] + head[:, 0])
    np.testing.assert_array_equal(whole[:, 3, :25], head[:, 1])
    np.testing.assert_array_equal(whole[:, :2, 25:], tail[:, :2])


def test_threads_change_nothing():
    rng = np.random.default_rng(3)
    rows, runs = rng.normal(size=(3000, 3)), np.array([0, 1000, 1001, 3000])
    form, engine, before = SumFormat.of(3000, 3, 2.0**-5), get_engine("cpu"), numba.get_num_threads()
    found = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(engine.distance_sums(rows, None, runs, runs, form)[0])
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*found)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2**40), st.integers(1, 5000), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_limbs_resolve_what_they_promise_and_never_overflow(n_rows, n_features, shares):
    for metric in SUMMED:
        form = SumFormat.of(n_rows, n_features, 1.0, metric)
        largest = float(n_features) ** (0.5 if metric == "euclidean" else 1.0)
        distances = np.array(shares) * largest
        limbs = form.limbs(distances)
        quantum = Fraction(1) / (Fraction(form.high) * Fraction(form.low))
        for value, high, low in zip(distances, *limbs, strict=True):
            exact = (Fraction(int(high)) + Fraction(int(low)) / Fraction(form.low)) / Fraction(form.high)
            assert abs(exact - Fraction(float(value))) <= quantum / 2
            assert abs(int(high)) * n_rows < 2**63
            assert abs(int(low)) * n_rows < 2**63
            assert abs(int(high)) <= 2**51
            assert abs(int(low)) <= 2**51
        total = Fraction(0)
        for value in distances:
            total += Fraction(float(value))
        found = form.values(limbs.sum(axis=1).reshape(2, 1))[0]
        if len(distances) <= n_rows:
            assert abs(Fraction(float(found)) - total) <= total * Fraction(1, 2**51) + len(distances) * quantum


def test_rounders_give_the_limbs():
    form = SumFormat.of(1000, 32, 1.0)
    high, low = form.rounders
    distances = np.sqrt(32.0) * np.random.default_rng(4).random(2000) ** 20
    first = distances + high
    second = (distances - (first - high)) + low
    bits = [
        values.view(np.int64) - np.array(rounder).view(np.int64) for values, rounder in ((first, high), (second, low))
    ]
    np.testing.assert_array_equal(bits, form.limbs(distances))
