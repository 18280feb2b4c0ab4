"""Heads: from codes to clusters, with any clusterer, to tensors and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.cluster
import torch
from sklearn.metrics import adjusted_rand_score

from gpuclust import DBSCAN, GaussianMixture, KMeans, MiniBatchKMeans, XMeans
from gpuclust.deep.clustering import clusterers
from gpuclust.deep.clustering.heads import HEADS, CenterHead, ClustererHead, ManifoldHead
from gpuclust.deep.clustering.manifold import Manifold
from gpuclust.errors import ModelError, ParameterError
from gpuclust.protocol import InvalidParameter
from tests.deep.helpers import blobs

TRUE = np.arange(90) % 3
CODES = torch.from_numpy(blobs(90, d=2))
OURS = [
    KMeans(3, random_state=0),
    MiniBatchKMeans(3, random_state=0),
    XMeans(random_state=0),
    GaussianMixture(3, random_state=0),
    GaussianMixture(3, covariance_type="diag", random_state=0),
    DBSCAN(eps=0.5),
]


def flat():
    """Codes on a manifold that is known: themselves."""
    return Manifold(CODES, CODES.numpy().copy(), 5)


def heads():
    yield CenterHead(torch.tensor([[0.25, 0.0], [1.0, 1.5]]))
    for clusterer in OURS:
        yield ClustererHead.fit(sklearn.base.clone(clusterer), CODES)[0]
    for clusterer in (GaussianMixture(3, random_state=0), DBSCAN(eps=0.5)):
        yield ManifoldHead.fit(flat(), clusterer, CODES)[0]


@pytest.mark.parametrize(
    "head", list(heads()), ids=lambda head: f"{head.name} {type(getattr(head, 'clusterer', 0)).__name__}"
)
def test_to_tensors_and_back(head):
    """The same bits for codes that are new; tensors that are tensors, settings that JSON knows."""
    new = CODES + 0.03
    settings, tensors = json.loads(json.dumps(head.settings())), head.tensors()
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())
    again = HEADS[head.name].restore(settings, {name: value.clone() for name, value in tensors.items()})
    assert type(again) is type(head)
    assert torch.equal(again.centers, head.centers)
    np.testing.assert_array_equal(again.labels(new), head.labels(new))
    soft = head.soft(new)
    np.testing.assert_array_equal(again.soft(new), soft)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-6)
    assert soft.shape == (90, len(head.centers))
    assert head.labels(new).dtype == np.int32


def test_nearest_centres_by_hand():
    head = CenterHead(torch.tensor([[0.25, 0.0], [2.25, 0.0]]))
    assert head.labels(torch.tensor([[1.2, 0.0], [1.25, 0.0], [1.3, 0.0]])).tolist() == [0, 0, 1]  # ties to the first
    np.testing.assert_allclose(head.soft(torch.tensor([[0.25, 0.0]])), [[5 / 6, 1 / 6]])


@pytest.mark.parametrize("clusterer", OURS, ids=lambda clusterer: type(clusterer).__name__)
def test_labels_of_the_fit_are_those_of_the_codes(clusterer):
    head, labels = ClustererHead.fit(sklearn.base.clone(clusterer), CODES)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(head.labels(CODES), labels)
    means = np.array([CODES.numpy()[labels == k].mean(0) for k in range(labels.max() + 1)])
    np.testing.assert_allclose(head.centers, means, atol=0.1)


@pytest.mark.parametrize("kind", [ClustererHead, ManifoldHead])
def test_a_mixture_is_asked_for_its_probabilities(kind):
    mixture = GaussianMixture(3, random_state=0)
    head, labels = kind.fit(*((flat(), mixture) if kind is ManifoldHead else (mixture,)), CODES)
    np.testing.assert_array_equal(head.soft(CODES), mixture.predict_proba(CODES))
    np.testing.assert_array_equal(head.labels(CODES), labels)


def test_means_by_hand():
    codes = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 8.0], [100.0, 100.0]])
    labels = np.array([0, 0, 2, -1], np.int32)
    found = clusterers.means(codes, labels, 4)
    everything = codes.mean(0).tolist()
    assert found.tolist() == [[2.0, 0.0], everything, [5.0, 8.0], everything]
    assert clusterers.means(codes, np.full(4, -1)).shape == (0, 2)


def test_centres_of_directions_are_means_of_codes():
    """Cosine centres have length one: nothing that could be decoded."""
    codes = torch.tensor([[10.0, 0.0], [20.0, 0.1], [0.0, 30.0], [0.1, 40.0]])
    head, labels = ClustererHead.fit(KMeans(2, metric="cosine", random_state=0), codes)
    assert sorted(head.centers.norm(dim=1).tolist()) == pytest.approx([15, 35], rel=1e-3)
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_noise_stays_noise():
    codes = torch.cat([CODES, torch.tensor([[50.0, 50.0]])])
    head, labels = ClustererHead.fit(DBSCAN(eps=0.5), codes)
    assert labels[-1] == head.labels(codes)[-1] == -1
    assert head.centers.abs().max() < 5  # noise is no part of a centre
    assert head.soft(codes).shape == (91, labels.max() + 1)


def test_ours_get_the_tensor_itself_and_others_an_array():
    seen = []

    class Ours(KMeans):
        def fit_predict(self, X, y=None):
            seen.append(X)
            return super().fit_predict(X)

    class Other(sklearn.cluster.KMeans):
        def fit_predict(self, X, y=None):
            seen.append(X)
            return super().fit_predict(X)

    for kind in (Ours, Other):
        clusterers.fit_predict(kind(3), CODES)
    assert seen[0] is CODES
    assert type(seen[1]) is np.ndarray


def test_what_json_does_not_know_is_left_out():
    """Where clusters begin and who is told concerns fitting; what is stored once is stored again."""
    fitted = KMeans(3, init=CODES[:3].numpy(), tol=0.5, callback=print).fit(CODES)
    settings, tensors = clusterers.stored(fitted)
    assert settings["params"] == {"n_clusters": 3, "tol": 0.5}
    again = clusterers.restore(settings, tensors)
    assert again.init == "k-means++"
    assert again.tol == 0.5
    assert clusterers.stored(again)[0] == settings


def test_scikit_learn_clusters_too():
    head, labels = ClustererHead.fit(sklearn.cluster.KMeans(3, n_init=3, random_state=0), CODES)
    np.testing.assert_array_equal(head.labels(CODES), labels)
    with pytest.raises(ModelError, match=r"KMeans.*cannot be saved without pickle; those that can are \['DBSCAN'"):
        head.tensors()
    head, labels = ClustererHead.fit(sklearn.cluster.AgglomerativeClustering(3), CODES)
    assert adjusted_rand_score(TRUE, labels) > 0.5
    assert head.soft(CODES).shape == (90, 3)
    with pytest.raises(ParameterError, match=r"AgglomerativeClustering.* has no predict"):
        head.labels(CODES)


def test_what_a_clusterer_is_told():
    found = clusterers.prepared(sklearn.cluster.KMeans(8), 3, 7)
    assert (found.n_clusters, found.random_state) == (3, 7)
    found = clusterers.prepared(GaussianMixture(8, tol=0.1), 3, 7)
    assert (found.n_components, found.random_state, found.tol) == (3, 7, 0.1)
    given = sklearn.cluster.AgglomerativeClustering(None, distance_threshold=2.0)
    assert clusterers.prepared(given, 3, 7).n_clusters is None
    assert clusterers.prepared(DBSCAN(eps=0.3), 3, 7).eps == 0.3


@pytest.mark.parametrize("clusterer", [KMeans, "kmeans", sklearn.base.BaseEstimator(), object()])
def test_what_is_no_clusterer(clusterer):
    with pytest.raises(InvalidParameter, match=r"clusterer=.* should be an estimator with fit_predict"):
        clusterers.check_clusterer(clusterer)
