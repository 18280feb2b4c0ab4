"""Stability across seeds: by hand, for our estimators and others'."""

from __future__ import annotations

import json
from itertools import cycle

import numpy as np
import pytest
import sklearn.cluster
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpuclust
from gpuclust import DBSCAN, GaussianMixture, KMeans, stability
from gpuclust.errors import ParameterError

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3)) + 8 * RANDOM.normal(size=(3, 3))[np.arange(120) % 3]


class Scripted(ClusterMixin, BaseEstimator):
    """Gives away, run by run, what stands in a script."""

    script = cycle([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.labels_ = np.array(next(self.script))
        return self


def test_by_hand():
    """The first two are one clustering by other names; the third halves each cluster: an index of -1/2."""
    seen = []
    found = stability(Scripted(), X[:4], n_runs=3, random_state=0, callback=lambda *done: seen.append(done))
    np.testing.assert_allclose(found.agreement, [[1, 1, -0.5], [1, 1, -0.5], [-0.5, -0.5, 1]])
    assert found.mean == pytest.approx(0)
    assert found.standard_deviation == pytest.approx(np.std([1, -0.5, -0.5]))
    assert str(found) == "adjusted Rand index of 3 pairs of 3 runs: 0.000 +- 0.707"
    assert [list(labels) for labels in found.labels] == [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert json.loads(json.dumps(found.to_dict()))["seeds"] == list(found.seeds)
    assert len(set(found.seeds)) == 3


@pytest.mark.parametrize(
    "estimator",
    [
        KMeans(3),
        GaussianMixture(3),
        sklearn.cluster.KMeans(3, n_init=5),
        make_pipeline(StandardScaler(), KMeans(3)),
    ],
    ids=["ours", "mixture", "sklearn", "pipeline"],
)
def test_clear_clusters_are_found_from_every_seed(estimator):
    found = stability(estimator, X, random_state=0)
    assert found.mean > 0.99
    assert len(found.labels) == 5
    assert not hasattr(estimator, "labels_")


def test_seeds_reach_the_estimator():
    rows = torch.from_numpy(RANDOM.normal(size=(200, 2)))
    found = stability(KMeans(7, init="random", n_init=1), rows, n_runs=4, random_state=1)
    assert found.mean < 0.99
    for seed, labels in zip(found.seeds, found.labels, strict=True):
        expected = KMeans(7, init="random", n_init=1, random_state=seed).fit(rows).labels_
        np.testing.assert_array_equal(labels, expected)
    again = stability(KMeans(7, init="random", n_init=1), rows, n_runs=4, random_state=1)
    np.testing.assert_array_equal(again.agreement, found.agreement)


@pytest.mark.parametrize(
    ("estimator", "options", "said"),
    [
        (DBSCAN(), {}, r"DBSCAN\(\) has no random_state"),
        (StandardScaler(), {}, "should be an estimator with fit_predict"),
        (KMeans, {}, "should be an estimator with fit_predict"),
        (KMeans(3), {"n_runs": 1}, "n_runs=1 should be >= 2"),
    ],
)
def test_what_cannot_be_compared(estimator, options, said):
    with pytest.raises(ParameterError, match=said):
        stability(estimator, X, **options)


def test_it_is_public():
    assert gpuclust.stability is stability
