"""External scores: by hand, equal to scikit-learn's, and right for more rows than int64 can pair."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from gpuclust import metrics
from gpuclust.errors import DataError, ParameterError, ResourceError
from gpuclust.metrics.contingency import Contingency, _Pairs
from gpuclust.metrics.external import EXTERNAL
from gpuclust.metrics.information import expected_mutual_information

SAME = (
    "adjusted_rand_score",
    "adjusted_mutual_info_score",
    "normalized_mutual_info_score",
    "fowlkes_mallows_score",
    "homogeneity_completeness_v_measure",
)
labelings = st.integers(1, 60).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 7), min_size=n, max_size=n)] * 2))


def test_by_hand():
    true, pred = [0, 0, 0, 1, 1, 1], ["a", "a", "b", "b", "b", "b"]
    np.testing.assert_array_equal(metrics.contingency_matrix(true, pred), [[2, 1], [0, 3]])
    # Pairs of rows: 15 in all, 6 within classes, 7 within clusters, 4 within both.
    assert metrics.adjusted_rand_score(true, pred) == pytest.approx((4 - 6 * 7 / 15) / (6.5 - 6 * 7 / 15), rel=1e-15)
    assert metrics.fowlkes_mallows_score(true, pred) == pytest.approx(4 / math.sqrt(42), rel=1e-15)
    assert metrics.purity_score(true, pred) == 5 / 6
    assert metrics.clustering_accuracy(true, pred) == 5 / 6
    shared = (2 * math.log(2) + math.log(0.5) + 3 * math.log(1.5)) / 6
    entropies = math.log(2), math.log(3) - 2 / 3 * math.log(2)
    homogeneity, completeness, v_measure = metrics.homogeneity_completeness_v_measure(true, pred)
    assert homogeneity == pytest.approx(shared / entropies[0], rel=1e-14)
    assert completeness == pytest.approx(shared / entropies[1], rel=1e-14)
    assert v_measure == pytest.approx(2 * shared / sum(entropies), rel=1e-14)
    assert metrics.normalized_mutual_info_score(true, pred) == pytest.approx(v_measure, rel=1e-14)


def test_a_permutation_of_names_is_perfect():
    labels = np.random.default_rng(0).integers(6, size=500)
    for name, score in EXTERNAL.items():
        assert score(Contingency.of(labels, 10 - labels)) == pytest.approx(1.0, rel=1e-12), name


@settings(max_examples=100, deadline=None)
@given(labelings)
def test_equal_to_scikit_learn(pair):
    for name in SAME:
        theirs = np.array(getattr(sklearn_metrics, name)(*pair))
        np.testing.assert_allclose(getattr(metrics, name)(*pair), theirs, rtol=1e-9, atol=1e-12, err_msg=name)
    table = sklearn_metrics.cluster.contingency_matrix(*pair)
    np.testing.assert_array_equal(metrics.contingency_matrix(*pair), table)
    assert metrics.purity_score(*pair) == table.max(axis=0).sum() / len(pair[0])


@pytest.mark.parametrize("average", ["min", "geometric", "arithmetic", "max"])
def test_means_of_entropies(average):
    rng = np.random.default_rng(1)
    true = rng.integers(9, size=3000)
    pred = np.where(rng.random(3000) < 0.5, true, rng.integers(4, size=3000))
    for name in ("adjusted_mutual_info_score", "normalized_mutual_info_score"):
        theirs = getattr(sklearn_metrics, name)(true, pred, average_method=average)
        assert getattr(metrics, name)(true, pred, average_method=average) == pytest.approx(theirs, rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_accuracy_is_that_of_the_best_matching(pairs):
    true, pred = (np.array(side) for side in zip(*pairs, strict=True))
    best = max(np.mean(np.array(names)[pred] == true) for names in permutations(range(5)))
    assert metrics.clustering_accuracy(true, pred) == pytest.approx(best, rel=1e-15)


def test_expected_information_is_the_mean_over_all_arrangements():
    sizes = [[0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1]]
    table = Contingency.of(*sizes)
    every = [sklearn_metrics.mutual_info_score(sizes[0], arranged) for arranged in permutations(sizes[1])]
    assert expected_mutual_information(table) == pytest.approx(np.mean(every), rel=1e-13)


def _table(counts):
    rows, columns = np.nonzero(counts)
    return Contingency(_Pairs(rows, columns, np.array(counts)[rows, columns].astype(np.int64)))


def test_many_billions_of_rows():
    """Squares of the counts are beyond int64."""
    table = _table([[4_000_000_000, 100_000_000], [300_000_000, 5_000_000_000]])
    n, pairs = table.n_rows, lambda sizes: sum(Fraction(int(s) * (int(s) - 1)) for s in sizes)
    both, a, b = pairs(table.counts), pairs(table.class_sizes), pairs(table.cluster_sizes)
    expected = a * b / (n * (n - 1))
    exact = (both - expected) / ((a + b) / 2 - expected)
    assert EXTERNAL["adjusted_rand"](table) == pytest.approx(float(exact), rel=1e-14)
    assert EXTERNAL["fowlkes_mallows"](table) == pytest.approx(math.sqrt(both * both / (a * b)), rel=1e-14)
    assert EXTERNAL["accuracy"](table) == 90 / 94
    # Chance explains next to nothing here: about 1 / 2 n, the first term of its expansion.
    assert expected_mutual_information(table) == pytest.approx(1 / (2 * n), rel=1e-2)
    assert EXTERNAL["adjusted_mutual_info"](table) == pytest.approx(EXTERNAL["normalized_mutual_info"](table), rel=1e-9)


def test_parameters_and_lengths_are_checked():
    with pytest.raises(DataError, match="labels_true has 2 labels and labels_pred 3"):
        metrics.adjusted_rand_score([0, 1], [0, 1, 2])
    with pytest.raises(ParameterError, match="average_method='mean'"):
        metrics.normalized_mutual_info_score([0, 1], [0, 1], average_method="mean")
    with pytest.raises(ParameterError, match="beta=-1"):
        metrics.homogeneity_completeness_v_measure([0, 1], [0, 1], beta=-1)
    many = np.arange(20_000)
    with pytest.raises(ResourceError, match=r"2\*\*27"):
        metrics.clustering_accuracy(many, many)
    assert metrics.adjusted_rand_score(many, many) == 1.0
