"""Neighbours by pairs of tiles against the oracle: every pair of rows, in every metric, however it is divided."""

from __future__ import annotations

import math
from itertools import pairwise

import numba
import numpy as np
import pytest

from gpuclust.engines.base import Part
from gpuclust.engines.cpu.arrangement import Projection, arrange
from gpuclust.engines.cpu.pairs import CpuPairs
from gpuclust.engines.neighborhood import METRICS, Neighborhood
from tests import dbscan_reference as reference

PLENTY = 1 << 28


def _pairs(X, eps, metric, memory=PLENTY):
    sample = X[np.random.default_rng(0).permutation(len(X))[:1024]]
    return CpuPairs(len(X), Neighborhood.within(eps, metric), sample, memory)


def _for_blocks(pairs, X, cuts, operation):
    """Call ``operation(a, b)`` for all pairs of blocks of X between ``cuts``, as a stream does."""
    ends = [0, *cuts, len(X)]
    parts = [Part(lo, X[lo:hi]) for lo, hi in pairwise(ends)]
    for j, part in enumerate(parts):
        b = pairs.block(part)
        for i in range(j):
            operation(pairs.block(parts[i]), b)
        operation(b, b)


def _dbscan(X, eps, min_samples, metric="euclidean", memory=PLENTY, cuts=(), weights=None):
    """The operations in their order; labels, which rows are core, and the pairs."""
    pairs = _pairs(X, eps, metric, memory)
    if weights is None:
        _for_blocks(pairs, X, cuts, lambda a, b: pairs.count(a, b, min_samples))
        core = pairs.cores(min_samples)
    else:
        core = (_sums(pairs, X, cuts, weights) >= min_samples).astype(np.uint8)
    pairs.link(core)
    if pairs.missed:
        _for_blocks(pairs, X, cuts, lambda a, b: pairs.link_missed(a, b, core))
    components = pairs.components(core)
    labels = np.full(len(X), -1, np.int32)
    labels[core == 1] = np.unique(components[core == 1], return_inverse=True)[1]
    pairs.claim(core, labels)
    if pairs.missed:
        _for_blocks(pairs, X, cuts, lambda a, b: pairs.claim_missed(a, b, core, labels))
    return labels, core.astype(bool), pairs


def _sums(pairs, X, cuts, values):
    sums = np.zeros(len(X), np.int64)
    _for_blocks(pairs, X, cuts, lambda a, b: pairs.weigh(a, b, values, sums))
    return sums


def _assert_neighbors(X, eps, metric, cuts=()):
    """Random values of 62 bits: their sums agree only if every row has the right neighbours, each once."""
    values = np.random.default_rng(1).integers(-(2**62), 2**62, size=len(X))
    wanted = reference.neighbors(X, eps, metric).astype(np.int64) @ values
    np.testing.assert_array_equal(_sums(_pairs(X, eps, metric), X, cuts, values), wanted)


def _blobs(rng, n, d, dtype=np.float32):
    centers = 4 * rng.normal(size=(5, d))
    return (centers[rng.integers(0, 5, n)] + rng.normal(size=(n, d))).astype(dtype)


def _typical(X, metric, share=0.1):
    """An eps within which lie ``share`` of the rows."""
    found = np.quantile(reference.distances(X[:40], X, 1.0, metric), share)
    return float(math.sqrt(found) if metric == "euclidean" else found) / reference.scale(1.0)


def test_six_points_by_hand():
    X = np.array([[0, 0], [1, 0], [0, 1], [5, 5], [2, 0], [5, 6]], np.float32)
    labels, core, pairs = _dbscan(X, 1.0, 3)
    assert core.tolist() == [True, True, False, False, False, False]
    assert labels.tolist() == [0, 0, 0, -1, 0, -1]
    assert pairs.components(core.view(np.uint8)).tolist() == [0, 0, -1, -1, -1, -1]
    assert pairs.cores(2).tolist() == [1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_pair_is_looked_at_once(dtype, metric):
    rng = np.random.default_rng(2)
    for d in (1, 2, 3, 5, 31, 32, 33, 64, 100):
        X = _blobs(rng, 200, d, dtype)
        _assert_neighbors(X, _typical(X, metric), metric, cuts=(1, 97))
    # Whole tiles, one row more and less, several groups of tiles.
    for n in (1, 47, 48, 49, 1000):
        X = _blobs(rng, n, 7, dtype)
        _assert_neighbors(X, _typical(X, metric) or 1.0, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_of_exactly_eps(dtype, metric):
    rng = np.random.default_rng(3)
    for d in (1, 2, 3, 40):
        lattice = rng.integers(0, 4, size=(250, d)).astype(dtype)
        for eps in (1.0, 2.0, 3.0):
            _assert_neighbors(lattice, eps, metric)
            _assert_neighbors(lattice * dtype(2.0**-80), eps * 2.0**-80, metric)
            _assert_neighbors(lattice + dtype(1e6), eps, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("reach", [1e1, 1e3, 1e5])
def test_pairs_near_eps_far_from_each_group(metric, reach):
    """Partners as far apart as eps but for some digits; all else so far away that float32 sees no difference."""
    rng = np.random.default_rng(4)
    for d in (2, 16, 70):
        X = rng.normal(size=(300, d)) * reach
        offsets = rng.normal(size=(300, d))
        order = {"euclidean": 2, "manhattan": 1, "chebyshev": np.inf}[metric]
        offsets /= np.linalg.norm(offsets, ord=order, axis=1)[:, None]
        digits = 1 + rng.choice([-1, 1], 300) * 10.0 ** -rng.integers(1, 13, 300)
        _assert_neighbors(np.concatenate([X, X + offsets * digits[:, None]]), 1.0, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_extreme_values(metric):
    rng = np.random.default_rng(5)
    for factor in (1e-25, 1e19):
        X = _blobs(rng, 300, 20) * np.float32(factor)
        _assert_neighbors(X, _typical(X, metric), metric)
    X = _blobs(rng, 300, 6, np.float64)
    for scale in (1e-300, 1e300):
        _assert_neighbors(X * scale, _typical(X, metric) * scale, metric)
    # Rows that overflow float32 in units of eps, alone and in crowds of duplicates.
    X[::7] *= 10.0 ** rng.integers(10, 200, size=(len(X[::7]), 1))
    X[50:90] = 1e150
    _assert_neighbors(X, 2.0, metric)
    _assert_neighbors(X * 1e100, 5e-324, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("memory", [0, 1 << 21, PLENTY], ids=["nothing", "little", "plenty"])
def test_clusters(metric, memory):
    """Labels and core rows are the oracle's, whatever can be remembered and however the rows are divided."""
    rng = np.random.default_rng(6)
    for d in (2, 9, 40):
        X = _blobs(rng, 700, d)
        X[rng.integers(0, 700, 150)] = X[rng.integers(0, 700, 150)]
        for share, min_samples in ((0.01, 3), (0.03, 25), (0.3, 200)):
            eps = _typical(X, metric, share)
            wanted = reference.dbscan(X, eps, min_samples, metric)
            for cuts in ((), (300, 301, 650)):
                labels, core, pairs = _dbscan(X, eps, min_samples, metric, memory, cuts)
                np.testing.assert_array_equal(core, wanted.core)
                np.testing.assert_array_equal(labels, wanted.labels)
                assert pairs.missed if memory == 0 else memory < PLENTY or not pairs.missed


def test_pairs_are_missed_when_the_memory_is_full():
    """Some pairs are remembered, others are not: together they are all."""
    rng = np.random.default_rng(7)
    X = _blobs(rng, 2500, 4)
    eps = _typical(X, "euclidean", 0.2)
    adjacent = reference.neighbors(X, eps)
    min_samples = int(np.median(adjacent.sum(axis=1)))
    wanted = reference.cluster(adjacent, min_samples)
    memory = 2 * 2**20
    labels, core, pairs = _dbscan(X, eps, min_samples, memory=memory, cuts=(1200,))
    remembered = sum(len(part) for part in pairs._remembered.parts())
    assert pairs.missed
    assert 10_000 < remembered <= memory // 8
    np.testing.assert_array_equal(core, wanted.core)
    np.testing.assert_array_equal(labels, wanted.labels)


def test_weights_may_be_negative():
    rng = np.random.default_rng(8)
    X = _blobs(rng, 600, 7)
    eps, weights = _typical(X, "euclidean", 0.05), rng.integers(-40, 80, 600)
    wanted = reference.cluster(reference.neighbors(X, eps), 400, weights)
    assert 0 < wanted.core.sum() < len(X)
    for cuts in ((), (200, 500)):
        labels, core, pairs = _dbscan(X, eps, 400, cuts=cuts, weights=weights)
        assert pairs.missed
        np.testing.assert_array_equal(core, wanted.core)
        np.testing.assert_array_equal(labels, wanted.labels)


def test_sums_wrap_around():
    values = np.full(3, 2**62)
    sums = _sums(_pairs(np.zeros((3, 2)), 1.0, "euclidean"), np.zeros((3, 2)), (), values)
    assert sums.tolist() == [3 * 2**62 - 2**64] * 3


def test_any_number_of_threads():
    rng = np.random.default_rng(9)
    X = _blobs(rng, 3000, 12)
    eps = _typical(X, "euclidean", 0.01)
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            results += [
                _dbscan(X, eps, 12, memory=memory, cuts=cuts)[:2] for memory in (0, PLENTY) for cuts in ((), (1000,))
            ]
    finally:
        numba.set_num_threads(before)
    for labels, core in results[1:]:
        np.testing.assert_array_equal(labels, results[0][0])
        np.testing.assert_array_equal(core, results[0][1])
    assert (results[0][0] >= 0).any()


@pytest.mark.parametrize("min_samples", [10, 3000])
def test_one_cluster_in_which_all_are_neighbors(min_samples):
    """18 million pairs in a megabyte: core rows are joined at once, and what is settled is not looked at again."""
    X = np.random.default_rng(10).normal(size=(6000, 3)).astype(np.float32)
    labels, core, pairs = _dbscan(X, 100.0, min_samples, memory=1 << 21)
    assert core.all()
    assert (labels == 0).all()
    assert sum(part.nbytes for part in pairs._remembered.parts()) <= 1 << 21
    if min_samples == 10:
        assert not pairs.missed
        assert np.median(pairs._counts) < 1500


@pytest.mark.parametrize("metric", METRICS)
def test_far_tiles_are_left_out(metric):
    """Two clusters too far apart: what is counted of one shows that the other was never compared."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(960, 20)).astype(np.float32)
    X[480:] += 1000
    projection = Projection(X, Neighborhood.within(1.0, metric))
    arrangement = arrange(X, projection, 48, 2)
    assert sorted(arrangement.order) == list(range(960))
    halves = arrangement.order.reshape(20, 48) < 480
    assert (halves.all(axis=1) | ~halves.any(axis=1)).all()
    gaps = np.maximum(arrangement.low[:, None] - arrangement.high, 0).max(axis=2)
    apart = np.maximum(gaps, gaps.T) > 1
    assert apart[halves[:, 0]][:, ~halves[:, 0]].all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_boxes_hold_the_projections(dtype, metric):
    """In exact arithmetic no two rows are further apart in a box's coordinates than they are."""
    rng = np.random.default_rng(12)
    X = (rng.normal(size=(97, 30)) * 10.0 ** rng.integers(-3, 6, size=(97, 1)) + 1e6).astype(dtype)
    projection = Projection(X, Neighborhood.within(0.7, metric))
    arrangement = arrange(X, projection, 48, 2)
    exact = np.longdouble
    scaled = (X.astype(exact) - projection.origin.astype(exact)) * exact(projection.scale)
    points = scaled @ projection.basis.astype(exact)
    for t in range(3):
        mine = points[arrangement.order[48 * t : 48 * t + 48]]
        assert (arrangement.low[t] <= mine).all()
        assert (mine <= arrangement.high[t]).all()
        assert (
            arrangement.high[t] - arrangement.low[t] <= mine.max(axis=0) - mine.min(axis=0) + 1e-6 * abs(scaled).max()
        ).all()
    gram = projection.basis.T.astype(exact) @ projection.basis.astype(exact)
    assert np.linalg.eigvalsh(gram.astype(np.float64)).max() <= 1
