"""k-means for rising k: by hand, what the second start is for, and one answer everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms import seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.select import fits as module
from gpuclust.select.fits import fits
from gpuclust.sources import as_source

LINE = np.array([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]])


def _data(engine, X, chunk_rows=None):
    return Dataset(engine, as_source(np.asarray(X), chunk_rows=chunk_rows))


@pytest.mark.parametrize("chunk_rows", [None, 2])
def test_by_hand(engine, chunk_rows):
    """Pairs on a line: two clusters cost 0.5 + 2 (4.5^2 + 5.5^2) = 101.5, three 1.5, then 0.5 less each."""
    found = list(fits(_data(engine, LINE, chunk_rows), [2, 3, 4, 5, 6], 0))
    assert [fit.inertia for fit in found] == [101.5, 1.5, 1.0, 0.5, 0.0]
    assert [len(fit.centers) for fit in found] == [2, 3, 4, 5, 6]
    assert len({tuple(fit.labels) for fit in found}) == 5


def test_grown_by_the_seed_that_gains_most(engine):
    """Around 10.5 the seeds 1, 20 and 10 gain 199.5, 199.5 (the first wins) and little; then 20 gains most."""
    data, seeds = _data(engine, LINE), np.array([[10.0], [1.0], [20.0]])
    grown = module._grown(data, np.array([[10.5]]), np.zeros(6, np.int32), seeds, 3)
    np.testing.assert_array_equal(grown, [[10.5], [1.0], [20.0]])


def test_weights_count(engine):
    """With a weight of 9 on the right, that seed gains most."""
    data = Dataset(engine, as_source(LINE), np.array([1.0, 1, 1, 1, 9, 9]))
    grown = module._grown(data, np.array([[10.5]]), np.zeros(6, np.int32), np.array([[1.0], [20.0]]), 2)
    np.testing.assert_array_equal(grown, [[10.5], [20.0]])


def test_the_second_start_finds_what_seeds_miss(monkeypatch):
    """Seeds that leave a blob out: three of its neighbours share two centres, until the growing start comes."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(middle, 0.1, (50, 2)) for middle in ([0, 0], [50, 0], [0, 50], [50, 50])])
    monkeypatch.setattr(seeding, "plus_plus", lambda data, k, seed: (X[[0, 1, 2, 60, 110, 160]], None))
    found = list(fits(_data(get_engine("cpu"), X), [2, 3, 4, 5, 6], 0))
    assert found[2].inertia < 10


def test_prefixes_are_the_seeds_of_smaller_numbers():
    """With the draws per seed of the largest k."""
    data = _data(get_engine("cpu"), np.random.default_rng(0).normal(size=(200, 3)))
    most, _ = seeding.plus_plus(data, 20, 7)
    some, _ = seeding.plus_plus(data, 5, 7, n_local_trials=2 + int(np.log(20)))
    np.testing.assert_array_equal(most[:5], some)


def test_one_answer(engine, sized):
    X = np.random.default_rng(1).normal(size=(sized(3000, 90), 5)).astype(np.float32)
    expected = list(fits(_data(get_engine("cpu"), X), [2, 3, 7], 3))
    for chunk_rows in (None, 37):
        for fit, other in zip(fits(_data(engine, X, chunk_rows), [2, 3, 7], 3), expected, strict=True):
            np.testing.assert_array_equal(fit.labels, other.labels)
            np.testing.assert_array_equal(fit.centers, other.centers)
            assert fit.inertia == other.inertia
    inertias = [fit.inertia for fit in expected]
    assert inertias == sorted(inertias, reverse=True)
