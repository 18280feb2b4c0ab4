"""KMeans(n_clusters="auto") and DBSCAN(eps="auto"): what they choose, keep and refuse."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpuclust import DBSCAN, KMeans, suggest_eps, suggest_k
from gpuclust.errors import DataError, ParameterError
from gpuclust.jobs.model import load_model, save_model
from gpuclust.select.choose_k import AUTOMATIC


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(60, 3, centers=3, random_state=0)[0]


@pytest.fixture(scope="module")
def moons():
    return make_moons(600, noise=0.05, random_state=0)


@pytest.fixture(scope="module")
def automatic(blobs):
    return KMeans("auto", random_state=0).fit(blobs)


def test_the_fit_is_that_of_the_number(blobs, automatic):
    assert (automatic.n_clusters, automatic.n_clusters_) == ("auto", 3)
    plain = KMeans(3, random_state=0).fit(blobs)
    np.testing.assert_array_equal(automatic.labels_, plain.labels_)
    np.testing.assert_array_equal(automatic.cluster_centers_, plain.cluster_centers_)
    assert plain.n_clusters_ == 3
    assert not hasattr(plain, "selection_")


def test_the_choice_is_that_of_suggest_k(blobs, automatic):
    expected = suggest_k(blobs, criteria=AUTOMATIC, random_state=0)
    assert automatic.selection_.to_dict() == expected.to_dict()
    assert automatic.selection_.value == 3


def test_weights_do_not_change_the_choice_but_the_fit(blobs, automatic):
    weights = np.where(np.arange(60) % 2, 1.0, 50.0)
    found = KMeans("auto", random_state=0).fit(blobs, sample_weight=weights)
    assert found.selection_.to_dict() == automatic.selection_.to_dict()
    plain = KMeans(3, random_state=0).fit(blobs, sample_weight=weights)
    np.testing.assert_array_equal(found.cluster_centers_, plain.cluster_centers_)


def test_cosine(blobs):
    X = np.concatenate([np.outer(np.arange(1, 21), direction) for direction in ([1, 0.1], [0.1, 1])]) + 0.01
    found = KMeans("auto", metric="cosine", random_state=0).fit(X)
    assert found.n_clusters_ == len(found.cluster_centers_)
    np.testing.assert_allclose(np.linalg.norm(found.cluster_centers_, axis=1), 1)
    assert found.selection_.table["inertia"].max() < 40


def test_everything_after_fit(blobs, automatic, tmp_path):
    np.testing.assert_array_equal(automatic.predict(blobs[:1]), automatic.labels_[:1])
    assert clone(automatic).n_clusters == "auto"
    save_model(automatic, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert (loaded.n_clusters, loaded.n_clusters_) == ("auto", 3)
    np.testing.assert_array_equal(loaded.predict(blobs), automatic.labels_)


def test_nothing_to_choose():
    for X, words in ((np.ones((20, 2)), "All 20 rows of X are equal"), ([[0.0], [1.0]], "n_samples=2 should be >= 3")):
        with pytest.raises(DataError, match=words):
            KMeans("auto").fit(X)
    with pytest.raises(ParameterError, match="n_clusters"):
        KMeans("many").fit(np.eye(5))


def test_eps_is_that_of_suggest_eps(moons):
    X, truth = moons
    found = DBSCAN("auto").fit(X)
    expected = suggest_eps(X, min_samples=5)
    assert found.selection_.to_dict() == expected.to_dict()
    assert (found.eps, found.eps_) == ("auto", expected.value)
    plain = DBSCAN(expected.value).fit(X)
    np.testing.assert_array_equal(found.labels_, plain.labels_)
    assert (plain.eps_, hasattr(plain, "selection_")) == (expected.value, False)
    assert adjusted_rand_score(truth, found.labels_) > 0.95


@pytest.mark.parametrize("metric", ["cosine", "haversine"])
def test_eps_in_the_units_of_the_metric(moons, metric):
    X = moons[0] / 10 + 0.3
    found = DBSCAN("auto", metric=metric).fit(X)
    np.testing.assert_array_equal(found.labels_, DBSCAN(found.eps_, metric=metric).fit(X).labels_)
    assert 0 < found.eps_ < 0.5
    assert found.selection_.metric == metric


def test_weights_do_not_change_eps(moons):
    X, _ = moons
    weighted = DBSCAN("auto").fit(X, sample_weight=np.full(600, 2.0))
    assert weighted.eps_ == DBSCAN("auto").fit(X).eps_


def test_dbscan_after_fit(moons, tmp_path):
    found = DBSCAN("auto").fit(moons[0])
    cores = found.core_sample_indices_
    np.testing.assert_array_equal(found.predict(moons[0])[cores], found.labels_[cores])
    save_model(found, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.eps_ == found.eps_
    np.testing.assert_array_equal(loaded.predict(moons[0]), found.predict(moons[0]))
    assert clone(found).eps == "auto"


def test_what_eps_cannot_be_chosen_for():
    for metric in ("manhattan", "chebyshev", "precomputed"):
        with pytest.raises(ParameterError, match=f"metric='{metric}': eps can be suggested for"):
            DBSCAN("auto", metric=metric).fit(np.zeros((20, 20)))
    with pytest.raises(ParameterError, match="eps"):
        DBSCAN("knee").fit(np.eye(5))


COUNTED_ONCE = {
    f"check_sample_weight_equivalence_on_{kind}_data": "a weight is no row when k or eps is chosen"
    for kind in ("dense", "sparse")
}


@pytest.mark.slow
@parametrize_with_checks(
    [KMeans("auto", max_iter=5), DBSCAN("auto")], expected_failed_checks=lambda estimator: COUNTED_ONCE
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
