"""Permutation: shares of rows by hand, and what is permuted."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.report.permutation import leaving


def by_sign(rows):
    return (rows[:, 0] > 0).astype(np.int64)


def test_only_the_feature_that_is_looked_at_matters():
    """Half of the rows lie on each side: a permuted value is on the other side with the probability 1/2."""
    rows = np.random.default_rng(0).normal(size=(400, 3))
    rows[:, 0] = np.repeat([-1.0, 1.0], 200)
    found = leaving(by_sign, rows, by_sign(rows), 2, n_repeats=10)
    np.testing.assert_allclose(found[:, 0], 0.5, atol=0.05)
    assert found[0, 0] == found[1, 0]  # as many go as come
    np.testing.assert_array_equal(found[:, 1:], 0)


def test_by_hand():
    """One of four rows is positive: permuted, it stays so with 1/4, and another is with 1/4."""
    rows = np.array([[-1.0, 0], [-2, 0], [-3, 0], [4, 0]])
    found = leaving(by_sign, rows, by_sign(rows), 3, n_repeats=2000)
    assert found[1, 0] == pytest.approx(3 / 4, abs=0.03)
    assert found[0, 0] == pytest.approx(1 / 4, abs=0.01)
    assert found[1, 0] == pytest.approx(3 * found[0, 0])
    assert np.isnan(found[2]).all()


def test_rows_of_no_cluster_do_not_count():
    """They are permuted with the others, though: their values come to other rows."""
    rows = np.array([[1.0], [1], [-1], [-1]])
    found = leaving(by_sign, rows, np.array([0, 0, -1, -1]), 1, n_repeats=2000)
    assert found[0, 0] == pytest.approx(1 / 2, abs=0.03)


def test_columns_are_permuted_one_at_a_time_and_put_back():
    rows = np.random.default_rng(0).normal(size=(6, 3))
    rows[4:, 2] = np.nan  # a modality that two rows do not have
    given, seen = rows.copy(), []

    def predict(x):
        seen.append(x.copy())
        return np.zeros(len(x), int)

    leaving(predict, rows, np.zeros(6, int), 1, n_repeats=2)
    np.testing.assert_array_equal(rows, given)
    np.testing.assert_array_equal(seen[0], rows)
    assert len(seen) == 4
    for feature, x in enumerate(seen[1:]):
        for half in (x[:6], x[6:]):
            others = [other for other in range(3) if other != feature]
            np.testing.assert_array_equal(half[:, others], rows[:, others])
            np.testing.assert_array_equal(np.isnan(half), np.isnan(rows))
            np.testing.assert_array_equal(np.sort(half[:, feature]), np.sort(rows[:, feature]))
        assert not np.array_equal(x[:6], x[6:], equal_nan=True)


def test_the_seed_alone_decides():
    rows = np.random.default_rng(0).normal(size=(50, 2))
    first, again, other = (leaving(by_sign, rows, by_sign(rows), 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first[:, 0] != other[:, 0]).any()
