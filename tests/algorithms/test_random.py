"""Counter-based randomness: the published numbers of SplitMix64, every index on its own, and even spread."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.random import Stream, purpose_stream

M = 2**64 - 1
STRATA = [5549876620616812848, 11241553107515803170, 6626234349189394492]
PLUS_PLUS = [7534080372506678301, 5283127808116397693, 7855048358651944831]


def _splitmix(state):
    z = state & M
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M
    return z ^ (z >> 31)


def test_published_values():
    """The first five numbers of SplitMix64 seeded with 1234567 (Vigna's reference implementation)."""
    assert Stream(1234567).integers(5).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("key", [0, 1, 2**63, M])
def test_any_index_is_independent_of_how_it_is_asked_for(key):
    stream = Stream(key)
    for start in (0, 1, 2**31 - 2, 2**32 - 2, 2**40, 2**62):
        wanted = [_splitmix(key + (start + i + 1) * 0x9E3779B97F4A7C15) for i in range(5)]
        assert stream.integers(5, start).tolist() == wanted
        assert [int(stream.integers(1, start + i)[0]) for i in range(5)] == wanted
        assert stream.uniform(5, start).tolist() == [(z >> 11) * 2.0**-53 for z in wanted]
        assert [stream.below(1000, start + i) for i in range(5)] == [z * 1000 >> 64 for z in wanted]


def test_streams_of_seeds_and_purposes_never_change():
    """Fixed for good: a change would change every result that a seed stands for."""
    assert purpose_stream(0, "strata").integers(3).tolist() == STRATA
    assert purpose_stream(42, "k-means++").integers(3).tolist() == PLUS_PLUS
    keys = {purpose_stream(seed, name).key for seed in range(50) for name in ("a", "b", "ab", "1:a", "")}
    assert len(keys) == 250


def test_uniform_lies_in_the_half_open_interval():
    values = purpose_stream(1, "test").uniform(100_000)
    assert values.min() >= 0
    assert values.max() < 1
    assert (values * 2.0**53 == np.floor(values * 2.0**53)).all()


@pytest.mark.parametrize("bins", [10, 64, 97])
def test_even_spread(bins):
    """Chi-square with a fixed seed, within five standard deviations of its mean, each way."""
    count = 100_000
    stream = purpose_stream(7, "test")
    below = np.array([stream.below(bins, i) for i in range(20_000)])
    for numbers, total in (
        ((stream.uniform(count) * bins).astype(int), count),
        ((stream.integers(count) % np.uint64(bins)).astype(int), count),
        (below, len(below)),
    ):
        found = np.bincount(numbers, minlength=bins)
        statistic = ((found - total / bins) ** 2).sum() / (total / bins)
        assert abs(statistic - (bins - 1)) < 5 * np.sqrt(2 * (bins - 1))


def test_neighbours_and_seeds_do_not_correlate():
    a, b = purpose_stream(1, "test").uniform(100_000), purpose_stream(2, "test").uniform(100_000)
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.015
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.015


@pytest.mark.parametrize("bound", [1, 2, 3, 2**31, 2**32 + 1, 2**63 - 1])
def test_below_its_bound(bound):
    stream = purpose_stream(3, "test")
    drawn = [stream.below(bound, i) for i in range(300)]
    assert min(drawn) >= 0
    assert max(drawn) < bound
    if bound > 2**30:
        assert max(drawn) > 0.95 * bound
        assert min(drawn) < 0.05 * bound
    else:
        assert set(drawn) == set(range(bound))
