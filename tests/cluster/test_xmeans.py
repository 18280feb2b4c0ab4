"""XMeans: the number it finds, its bounds, and scikit-learn's protocol around it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs

from gpuclust import KMeans, XMeans
from gpuclust.errors import DataError, ParameterError
from gpuclust.jobs.model import load_model, save_model


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(350, 6, centers=7, random_state=0)[0]


def test_finds_the_number(blobs):
    found = XMeans(random_state=0).fit(blobs)
    assert found.n_clusters_ == 7
    assert found.cluster_centers_.shape == (7, 6)
    assert found.n_rounds_ >= 2
    np.testing.assert_array_equal(np.unique(found.labels_), np.arange(7))


def test_what_it_ends_with_is_k_means(blobs):
    """Labels are those of the nearest centres, which KMeans, started there, does not move."""
    found = XMeans(random_state=0, tol=0).fit(blobs)
    again = KMeans(7, init=found.cluster_centers_, tol=0).fit(blobs)
    np.testing.assert_array_equal(again.labels_, found.labels_)
    assert again.inertia_ == found.inertia_
    np.testing.assert_array_equal(found.predict(blobs), found.labels_)
    assert found.transform(blobs).shape == (350, 7)
    assert -found.score(blobs) == found.inertia_
    assert list(found.get_feature_names_out()) == [f"xmeans{i}" for i in range(7)]


def test_bounds_are_kept(blobs):
    assert XMeans(max_clusters=4, random_state=0).fit(blobs).n_clusters_ == 4
    assert XMeans(min_clusters=9, random_state=0).fit(blobs).n_clusters_ >= 9
    assert XMeans(min_clusters=5, max_clusters=5, random_state=0).fit(blobs).n_rounds_ == 0
    assert XMeans(min_clusters=1, random_state=0).fit(blobs[:50] * 0 + 1).n_clusters_ == 1


def test_streamed_and_from_memory_are_the_same(blobs, tmp_path):
    np.save(tmp_path / "x.npy", blobs.astype(np.float32))
    memory = XMeans(random_state=3).fit(blobs.astype(np.float32))
    streamed = XMeans(random_state=3, max_memory="16KB").fit(tmp_path / "x.npy")
    np.testing.assert_array_equal(streamed.cluster_centers_, memory.cluster_centers_)
    np.testing.assert_array_equal(streamed.labels_, memory.labels_)
    assert memory.cluster_centers_.dtype == np.float32


def test_seeds(blobs):
    one, other = (XMeans(random_state=0).fit(blobs) for _ in range(2))
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    assert clone(XMeans(min_clusters=3)).get_params()["min_clusters"] == 3
    assert pickle.loads(pickle.dumps(one)).n_clusters_ == 7


def test_a_model_on_disk(blobs, tmp_path):
    found = XMeans(random_state=0).fit(blobs)
    save_model(found, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert (loaded.n_clusters_, loaded.n_rounds_) == (7, found.n_rounds_)
    np.testing.assert_array_equal(loaded.predict(blobs), found.labels_)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_clusters": 0}, "min_clusters"),
        ({"max_clusters": 1.5}, "max_clusters"),
        ({"min_clusters": 5, "max_clusters": 4}, "max_clusters=4 should be >= min_clusters=5"),
        ({"init": "best"}, "init"),
        ({"init": [[0.0]]}, "init"),
    ],
)
def test_wrong_parameters(blobs, options, words):
    with pytest.raises(ParameterError, match=words):
        XMeans(**options).fit(blobs)


def test_too_few_rows():
    with pytest.raises(DataError, match="n_samples=2 should be >= min_clusters=3"):
        XMeans(min_clusters=3).fit([[0.0], [1.0]])
    with pytest.raises(DataError, match="expecting 2 features"):
        XMeans(random_state=0).fit(np.arange(12.0).reshape(6, 2)).predict([[1.0]])


def test_callback_sees_every_run(blobs):
    seen = []
    found = XMeans(random_state=0, callback=lambda iteration, n_changed, shift: seen.append(iteration)).fit(blobs)
    assert seen.count(1) >= found.n_rounds_
    assert seen[-1] == found.n_iter_
