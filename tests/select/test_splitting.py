"""X-means: the criterion by hand, splits by hand, and one answer everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.select.splitting import _farthest, _spread, bic, split_clusters, xmeans
from gpuclust.sources import as_source

FOUR = np.repeat([[0.0, 0], [0, 40], [90, 0], [90, 40]], 12, axis=0) + np.tile(
    [[0.0, 0], [1, 0], [0, 1], [1, 1]], (12, 1)
)


def _data(engine, X, weights=None, chunk_rows=None):
    return Dataset(engine, as_source(np.ascontiguousarray(X), chunk_rows=chunk_rows), weights)


def _run(engine, X, centers, weights=None, chunk_rows=None, max_clusters=64):
    data = _data(engine, X, weights, chunk_rows)
    return xmeans(data, np.array(centers, float), max_clusters=max_clusters, seed=0, max_iter=100, tol=0.0)


def test_bic_by_hand():
    """Two clusters of 3 and 5 rows in the plane, squared distances 12: variance 12 / (2 (8 - 2)) = 1 per feature."""
    likelihood = 3 * math.log(3 / 8) + 5 * math.log(5 / 8) - 8 * math.log(2 * math.pi) - 2 * 6 / 2
    assert bic(np.array([3.0, 5.0]), 12.0, 2) == pytest.approx(likelihood - 3 * math.log(8))


def test_bic_is_the_gaussian_likelihood():
    """Of one cluster: that of a normal density of the same variance, rows times, less half of log n per parameter."""
    rows = np.random.default_rng(0).normal(size=(500, 3))
    spread = float(((rows - rows.mean(axis=0)) ** 2).sum())
    variance = spread / (3 * 499)
    density = -0.5 * ((rows - rows.mean(axis=0)) ** 2).sum() / variance - 500 * 1.5 * math.log(2 * math.pi * variance)
    assert bic(np.array([500.0]), spread, 3) == pytest.approx(density - 2 * math.log(500))


def test_bic_at_its_ends():
    assert bic(np.array([3.0]), 0.0, 2) == math.inf
    assert bic(np.array([1.0, 1.0]), 1.0, 2) == -math.inf


@pytest.mark.parametrize("chunk_rows", [None, 5])
def test_four_squares(engine, chunk_rows):
    """Squares of side 1, far apart, are found from one cluster, and not split."""
    found, n_rounds = _run(engine, FOUR, FOUR[:1], chunk_rows=chunk_rows)
    expected = [(0.5, 0.5), (0.5, 40.5), (90.5, 0.5), (90.5, 40.5)]
    np.testing.assert_array_equal(sorted(map(tuple, found.centers)), expected)
    assert found.inertia == 24.0
    assert n_rounds == 3


def test_what_gains_most_is_split_first():
    """Three clusters, of which two are worth splitting and only one may be: that whose halves lie furthest apart."""
    squares = FOUR[:24], FOUR[24:] * [1, 10], FOUR[:12]
    X = np.concatenate([rows + moved for rows, moved in zip(squares, ([0, 0], [1e4, 0], [0, 1e4]), strict=True)])
    data = _data(get_engine("cpu"), X)
    centers = np.array([[0.5, 20.5], [10090.5, 205.0], [0.5, 1e4]])
    found = lloyd.run(data, centers, max_iter=10, tol=0.0)
    assert len(split_clusters(data, found, max_clusters=9, seed=0)) == 5
    one = split_clusters(data, found, max_clusters=4, seed=0)
    np.testing.assert_array_equal(np.sort(one[:, 1]), [5.0, 20.5, 405.0, 10000.5])
    np.testing.assert_array_equal(split_clusters(data, found, max_clusters=3, seed=0), found.centers)


def test_a_weight_is_so_many_rows(engine):
    rng = np.random.default_rng(0)
    X, weights = np.tile(FOUR, (4, 1)) + rng.normal(size=(192, 2)), np.tile([1.0, 2.0], 96)
    repeated = np.repeat(X, weights.astype(int), axis=0)
    found, _ = _run(engine, X, X[:1], weights)
    expected, _ = _run(engine, repeated, X[:1])
    np.testing.assert_array_equal(found.centers, expected.centers)
    assert found.inertia == expected.inertia
    assert len(found.centers) == 4


def test_spread_by_hand(engine):
    """Of rows 0, 3 at 1 and 10, 14 at 10, with weights 1, 2, 3, 1: sums 1 + 2 x 4 and 16."""
    for chunk_rows in (None, 1, 3):
        data = _data(engine, [[0.0], [3.0], [10.0], [14.0]], np.array([1.0, 2, 3, 1]), chunk_rows)
        sizes, spread = _spread(data, np.array([[1.0], [10.0]]), np.array([0, 0, 1, 1], np.int32))
        np.testing.assert_array_equal(sizes, [3, 4])
        np.testing.assert_array_equal(spread, [9, 16])


def test_the_farthest_rows(engine):
    """Of equals the first, also across chunks; a cluster without rows gets row 0."""
    X = np.array([[0.0], [3.0], [-3.0], [10.0], [13.0], [11.0]])
    for chunk_rows in (None, 1, 2):
        data = _data(engine, X, chunk_rows=chunk_rows)
        rows = _farthest(data, np.array([[0.0], [99.0], [10.0]]), np.array([0, 0, 0, 2, 2, 2], np.int32))
        np.testing.assert_array_equal(rows, [1, 0, 4])


def test_an_outlier_does_not_hide_clusters():
    """Towards it the split is the outlier and the rest; at random, or in the next round, the rest is split too."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(100, 2)) + middle for middle in ([0, 0], [0, 30])])
    found, _ = _run(get_engine("cpu"), np.concatenate([X, [[200.0, 0.0]]]), X[:1])
    assert len(found.centers) == 3


def test_rows_that_are_one_place_are_not_split(engine):
    found, n_rounds = _run(engine, np.full((9, 2), 0.3), [[0.3, 0.3]])
    assert (len(found.centers), n_rounds) == (1, 1)


def test_known_numbers():
    for k, d in ((3, 2), (9, 4), (20, 8)):
        X, _ = make_blobs(60 * k, d, centers=k, cluster_std=0.5, center_box=(-20, 20), random_state=2)
        assert len(_run(get_engine("cpu"), X, X[:2])[0].centers) == k


def test_one_answer(engine, sized):
    X = np.random.default_rng(0).normal(size=(sized(2000, 60), 3)).astype(np.float32)
    X[::3] += 9
    expected, rounds = _run(get_engine("cpu"), X, X[:2], max_clusters=9)
    for chunk_rows in (None, 17):
        found, other = _run(engine, X, X[:2], chunk_rows=chunk_rows, max_clusters=9)
        np.testing.assert_array_equal(found.centers, expected.centers)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert (found.inertia, other) == (expected.inertia, rounds)
