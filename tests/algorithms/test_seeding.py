"""First centres: forced draws on a line, the distribution that theory asks for, and no dependence on chunks."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms import seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.sources import as_source

METHODS = [seeding.plus_plus, seeding.parallel, seeding.random_rows]
NAMES = [method.__name__ for method in METHODS]
SEEDS = range(25)


def _data(engine, X, weights=None, chunk_rows=None):
    return Dataset(engine, as_source(np.asarray(X), chunk_rows=chunk_rows), weights)


def _blobs(n=3000, d=24, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(12, d))[rng.integers(12, size=n)] * 6 + rng.normal(size=(n, d))
    return np.ascontiguousarray(X, dtype=dtype)


def _chi_square(found, probabilities):
    expected = np.asarray(probabilities) * np.sum(found)
    assert not np.any(np.asarray(found)[expected == 0])
    used = expected > 0
    return float(((found[used] - expected[used]) ** 2 / expected[used]).sum()), int(used.sum()) - 1


def _assert_distributed(found, probabilities):
    """Chi-square within five standard deviations above its mean; the seeds are fixed, so this never flickers."""
    statistic, freedom = _chi_square(found, probabilities)
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_do_not_matter(engine, method, dtype, weighted):
    X = _blobs(dtype=dtype)
    weights = np.random.default_rng(1).uniform(0, 2, size=len(X)) if weighted else None
    expected_centers, expected = method(_data(engine, X, weights), 20, 5)
    assert expected.dtype == np.int64
    assert expected_centers.dtype == np.float64
    np.testing.assert_array_equal(expected_centers, X[expected].astype(np.float64))
    assert len(set(expected.tolist())) == 20
    for chunk_rows in (1, 999, 1024, 2000) if method is seeding.random_rows else (999, 1024):
        centers, indices = method(_data(engine, X, weights, chunk_rows), 20, 5)
        np.testing.assert_array_equal(indices, expected)
        np.testing.assert_array_equal(centers, expected_centers)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_seeds_matter_and_repeat(engine, method):
    data = _data(engine, _blobs(500))
    drawn = [tuple(method(data, 5, seed)[1].tolist()) for seed in range(12)]
    assert drawn == [tuple(method(data, 5, seed)[1].tolist()) for seed in range(12)]
    assert len(set(drawn)) > 8


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_rows_without_weight_are_never_chosen(engine, method):
    X = _blobs(400, 3)
    weights = np.zeros(400)
    weights[::7] = np.random.default_rng(2).uniform(1e-3, 1, size=len(weights[::7]))
    X[weights == 0] += 100  # and they are far away
    for seed in SEEDS:
        _, indices = method(_data(engine, X, weights), 9, seed)
        assert (weights[indices] > 0).all()


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_as_many_clusters_as_rows(engine, method):
    X = np.arange(12.0)[:, None] ** 2
    for seed in SEEDS:
        _, indices = method(_data(engine, X), 12, seed)
        assert sorted(indices) == list(range(12))


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_one_cluster(engine, method):
    """A row by weight: over many seeds, in proportion."""
    weights = np.array([1.0, 0.0, 2.0, 5.0])
    data = _data(engine, np.array([[0.0], [1.0], [2.0], [3.0]]), weights)
    found = np.bincount([int(method(data, 1, seed)[1][0]) for seed in range(300)], minlength=4)
    _assert_distributed(found, weights / 8)


@pytest.mark.parametrize("method", [seeding.plus_plus, seeding.parallel], ids=["plus_plus", "parallel"])
def test_duplicates_are_chosen_once_while_others_remain(engine, method):
    """Three places of forty equal rows each: three centres are one at each place."""
    X = np.repeat([[0.0, 1.0], [5.0, 5.0], [-7.0, 2.0]], 40, axis=0)
    for seed in SEEDS:
        centers, _ = method(_data(engine, X), 3, seed)
        assert len(np.unique(centers, axis=0)) == 3


@pytest.mark.parametrize("method", [seeding.plus_plus, seeding.parallel], ids=["plus_plus", "parallel"])
def test_fewer_distinct_rows_than_clusters(engine, method):
    X = np.repeat([[0.0], [3.0]], 10, axis=0)
    for seed in SEEDS:
        centers, indices = method(_data(engine, X), 5, seed)
        assert centers.shape == (5, 1)
        assert set(centers.ravel()) == {0.0, 3.0}
        np.testing.assert_array_equal(centers, X[indices])


def test_plus_plus_takes_the_only_row_left(engine):
    """Weight at the ends of a line alone: the second draw is forced, whatever the first and the number of trials."""
    X = np.array([[0.0], [1.0], [2.0], [10.0]])
    weights = np.array([1.0, 0.0, 0.0, 1.0])
    for seed in SEEDS:
        for trials in (1, 2, 5, None):
            _, indices = seeding.plus_plus(_data(engine, X, weights), 2, seed, n_local_trials=trials)
            assert set(indices) == {0, 3}


def test_plus_plus_follows_its_draws(engine):
    """The whole of greedy k-means++ on a line, redone by hand from the stream: prefix sums, gains, the best trial."""
    x = np.array([0, 1, 2, 4, 7, 11, 16, 22, 29, 37.0])
    weights = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1, 2.0])
    k, trials = 5, 3
    for seed in SEEDS:
        stream = purpose_stream(seed, "k-means++")
        # Small integers: the quantised weights are exact multiples, so fractions of the totals decide.
        first = int(np.searchsorted(np.cumsum(weights), stream.uniform(1, 0)[0] * weights.sum(), side="right"))
        chosen, nearest = [first], np.square(x - x[first])
        for step in range(1, k):
            ends = np.cumsum(nearest * weights)
            drawn = [
                int(np.searchsorted(ends, stream.uniform(1, step * trials + t)[0] * ends[-1], side="right"))
                for t in range(trials)
            ]
            after = [np.minimum(nearest, np.square(x - x[row])) for row in drawn]
            best = int(np.argmin([(weights * left).sum() for left in after]))
            chosen.append(drawn[best])
            nearest = after[best]
        _, indices = seeding.plus_plus(_data(engine, x[:, None], weights), k, seed, n_local_trials=trials)
        assert indices.tolist() == chosen


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_plus_plus_draws_by_weight_and_squared_distance(engine, weighted):
    """All pairs of first and second centre against their exact probabilities."""
    x = np.array([0.0, 1.0, 3.0, 3.0, 7.0])
    weights = np.array([1.0, 3.0, 1.0, 0.5, 0.25]) if weighted else np.ones(5)
    squared = np.square(x[:, None] - x)
    second = squared * weights
    probabilities = (weights / weights.sum())[:, None] * second / second.sum(axis=1, keepdims=True)
    data = _data(engine, x[:, None], weights if weighted else None)
    found = np.zeros((5, 5))
    for seed in range(1500):
        found[tuple(seeding.plus_plus(data, 2, seed, n_local_trials=1)[1])] += 1
    _assert_distributed(found.ravel(), probabilities.ravel())


def test_plus_plus_across_blocks_of_the_draw(engine):
    """Far rows in the last of several blocks of 1,024 are found, and the sums of blocks follow the changes."""
    X = np.zeros((5000, 1))
    X[[1023, 1024, 4999], 0] = [1.0, 2.0, -3.0]
    for seed in SEEDS:
        _, indices = seeding.plus_plus(_data(engine, X), 4, seed)
        assert set(X[indices, 0]) == {0.0, 1.0, 2.0, -3.0}


def test_plus_plus_rescales_when_little_is_left(engine):
    """One distance is 2**80 times the others: after it, its quanta would leave nothing to draw from."""
    X = np.array([0.0, 1.0, 2.0, 3.0, 2.0**40])[:, None]
    for seed in SEEDS:
        _, indices = seeding.plus_plus(_data(engine, X), 5, seed)
        assert sorted(indices) == [0, 1, 2, 3, 4]


def test_more_trials_are_no_worse(engine):
    data = _data(engine, _blobs(600, 2))

    def potential(trials):
        total = 0.0
        for seed in SEEDS:
            centers, _ = seeding.plus_plus(data, 12, seed, n_local_trials=trials)
            squared = np.square(_blobs(600, 2)[:, None].astype(float) - centers).sum(-1)
            total += squared.min(axis=1).sum()
        return total

    assert potential(5) < potential(1)


def test_plus_plus_is_the_same_with_a_sketch(engine, monkeypatch):
    rng = np.random.default_rng(3)
    X = (rng.normal(size=(2000, 4)) @ rng.normal(size=(4, 80)) + rng.normal(size=(2000, 80)) * 0.01).astype(np.float32)
    _, expected = seeding.plus_plus(_data(engine, X), 40, 1)
    original = type(engine).planner
    sketches = []

    def planner(self, rows, sample, n_clusters, frame, mode):
        made = original(self, rows, sample, n_clusters, frame, "sketch")
        choose = made.choose_for_seeding
        made.choose_for_seeding = lambda n: sketches.append(choose(n)) or sketches[-1]
        return made

    monkeypatch.setattr(type(engine), "planner", planner)
    np.testing.assert_array_equal(seeding.plus_plus(_data(engine, X), 40, 1)[1], expected)
    assert sketches[0] is not None


def test_parallel_spreads_over_the_clusters(engine):
    X = _blobs(2000, 2, seed=4) * 10
    owners = np.random.default_rng(4)
    owners.normal(size=(12, 2))
    cluster = owners.integers(12, size=2000)
    hit = [len(set(cluster[seeding.parallel(_data(engine, X), 12, seed)[1]])) for seed in range(8)]
    assert np.mean(hit) >= 10


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_parallel_follows_its_draws(engine, weighted):
    """Its rounds redone by hand: numbers of their own for each, chances by what is left, owners by distance."""
    rng = np.random.default_rng(6)
    X = rng.integers(-30, 31, size=(80, 2)).astype(np.float64)
    weights = rng.integers(1, 4, size=80).astype(np.float64) if weighted else np.ones(80)
    k, rounds = 6, 4
    for seed in SEEDS:
        stream = purpose_stream(seed, "k-means||")
        chosen = [int(np.searchsorted(np.cumsum(weights), stream.uniform(1, 0)[0] * weights.sum(), side="right"))]
        for turn in range(rounds):
            left = weights * np.square(X[:, None] - X[chosen]).sum(-1).min(axis=1)
            chance = 2.0 * k * left / left.sum()
            chosen += np.flatnonzero(stream.uniform(80, (turn + 1) * 80) < chance).tolist()
        assert len(chosen) > k
        owner = np.square(X[:, None] - X[chosen]).sum(-1).argmin(axis=1)
        owned = np.bincount(owner, weights, minlength=len(chosen))
        _, among = seeding.plus_plus(_data(engine, X[chosen], owned), k, seed)
        _, indices = seeding.parallel(_data(engine, X, weights if weighted else None), k, seed, n_rounds=rounds)
        np.testing.assert_array_equal(indices, np.array(chosen)[among])


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_random_rows_are_all_equally_likely_or_by_weight(engine, weighted):
    """Ordered pairs drawn without replacement."""
    weights = np.array([1.0, 2.0, 3.0, 0.5]) if weighted else np.ones(4)
    share = weights / weights.sum()
    probabilities = share[:, None] * share / (1 - share)[:, None]
    np.fill_diagonal(probabilities, 0)
    data = _data(engine, np.arange(4.0)[:, None], weights if weighted else None)
    found = np.zeros((4, 4))
    for seed in range(1000):
        found[tuple(seeding.random_rows(data, 2, seed)[1])] += 1
    _assert_distributed(found.ravel(), probabilities.ravel())


@pytest.mark.parametrize("n", [50, (1 << 20) + 5000], ids=["one block", "two blocks"])
def test_random_rows_are_those_of_the_least_numbers(engine, n):
    data = _data(engine, np.arange(n, dtype=np.float32)[:, None])
    for seed in range(3):
        numbers = purpose_stream(seed, "random rows").integers(n)
        _, indices = seeding.random_rows(data, 20, seed)
        np.testing.assert_array_equal(indices, np.argsort(numbers, kind="stable")[:20])


def test_random_rows_when_weights_run_out(engine):
    weights = np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    data = _data(engine, np.arange(5.0)[:, None], weights)
    for seed in SEEDS:
        _, indices = seeding.random_rows(data, 4, seed)
        assert len(set(indices.tolist())) == 4
        assert set(indices[:2].tolist()) == {1, 3}
