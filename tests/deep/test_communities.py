"""Where a mixture of places begins: groups merged by modularity, by hand and on graphs that are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpuclust import GaussianMixture, KMeans
from gpuclust.deep.clustering.communities import begun, merged
from gpuclust.deep.clustering.manifold import Manifold


def graph_of(edges, n):
    """Undirected, of (i, j, weight)."""
    rows, columns, weights = (np.array(values) for values in zip(*edges, strict=True))
    graph = scipy.sparse.coo_matrix((weights.astype(np.float32), (rows, columns)), shape=(n, n))
    return (graph + graph.T).tocsr()


def modularity(labels, graph):
    weights = graph.toarray().astype(np.float64)
    degrees = weights.sum(1)
    same = labels[:, None] == labels[None]
    return float(((weights - np.outer(degrees, degrees) / degrees.sum()) * same).sum() / degrees.sum())


def test_merged_by_hand():
    """A path of weights 3, 1, 3: degrees 3, 4, 4, 3 of 14, so that gains are 3 - 12/14, 1 - 16/14 and 3 - 12/14."""
    graph = graph_of([(0, 1, 3), (1, 2, 1), (2, 3, 3)], 4)
    groups = np.arange(4, dtype=np.int32)
    assert merged(groups, graph, 4).tolist() == [0, 1, 2, 3]
    assert merged(groups, graph, 3).tolist() == [0, 0, 1, 2]  # of equal gains, the first
    assert merged(groups, graph, 2).tolist() == [0, 0, 1, 1]
    assert merged(groups, graph, 1).tolist() == [0, 0, 0, 0]


def test_many_edges_count_less_than_more_than_expected():
    """0 and 1 have an edge of weight 4 but 20 others each; 2 and 3 one of weight 3, and no other."""
    graph = graph_of([(0, 1, 4), (2, 3, 3), (0, 4, 20), (1, 5, 20)], 6)
    assert merged(np.array([0, 1, 2, 3, 0, 1], np.int32), graph, 3).tolist() == [0, 1, 2, 2]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_every_merge_is_the_best_one(seed, n_communities):
    """Against all pairs, tried one after the other."""
    random = np.random.default_rng(seed)
    upper = np.triu(random.random((12, 12)) * (random.random((12, 12)) < 0.5), 1)
    graph = scipy.sparse.csr_matrix((upper + upper.T + 1e-3 * (1 - np.eye(12))).astype(np.float32))
    groups = np.r_[np.arange(7), random.integers(0, 7, 5)].astype(np.int32)
    labels = groups.copy()
    while len(np.unique(labels)) > n_communities:
        names = np.unique(labels)
        tried = [np.where(labels == b, a, labels) for a in names for b in names if a < b]
        labels = tried[int(np.argmax([modularity(one, graph) for one in tried]))]
    found = merged(groups, graph, n_communities)
    assert sorted(set(found)) == list(range(n_communities))
    assert modularity(found[groups], graph) == pytest.approx(modularity(labels, graph), abs=1e-9)


def islands(community, n=30, seed=0):
    """Places around points of a line, and the community of each: that of its island."""
    random = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(community)), n)
    places = (20 * which[:, None] * [1, 0, 0] + random.normal(size=(len(which), 3))).astype(np.float32)
    found = np.asarray(community)[which]
    weights = np.where(found[:, None] == found, 1.0, 0.001) * (1 - np.eye(len(which)))
    graph = scipy.sparse.csr_matrix(weights.astype(np.float32))
    return Manifold(torch.from_numpy(places), places, 5, None, graph, np.arange(len(places))), found


def test_mixture_begins_with_communities():
    """Six islands, two of which the graph joins: one component has both."""
    manifold, community = islands([0, 1, 2, 2, 3, 4])
    labels = begun(GaussianMixture(5, random_state=0), manifold).fit_predict(manifold.embedding)
    assert [np.unique(labels[community == one]).size for one in range(5)] == [1] * 5
    assert np.unique(labels).size == 5


def test_start_is_made_of_moments():
    manifold, community = islands([0, 1])
    mixture = begun(GaussianMixture(2, random_state=0), manifold)
    order = np.argsort(mixture.means_init[:, 0])
    for label, at in zip((0, 1), order, strict=True):
        members = manifold.embedding[community == label].astype(np.float64)
        assert mixture.weights_init[at] == 0.5
        np.testing.assert_allclose(mixture.means_init[at], members.mean(0), rtol=1e-12)
        covariance = np.cov(members.T, bias=True) + 1e-6 * np.eye(3)
        np.testing.assert_allclose(mixture.precisions_init[at], np.linalg.inv(covariance), rtol=1e-9)


def test_repeated_codes_count_as_often_as_they_come():
    """Vertices of the graph are distinct codes; weights and means are of all rows."""
    once, community = islands([0, 1])
    repeated = np.concatenate([once.embedding, once.embedding[community == 0]])
    manifold = Manifold(torch.from_numpy(repeated), repeated, 5, None, once.affinity, once.vertices)
    weights = begun(GaussianMixture(2, random_state=0), manifold).weights_init
    np.testing.assert_allclose(np.sort(weights), [1 / 3, 2 / 3])


@pytest.mark.parametrize(
    "clusterer",
    [
        KMeans(2),
        GaussianMixture(2, n_init=2),
        GaussianMixture(2, means_init=[[0, 0, 0], [1, 1, 1]]),
        GaussianMixture(2, covariance_type="diag"),
        GaussianMixture(2, init_params="random"),
        GaussianMixture(1),
        GaussianMixture(60),
    ],
)
def test_what_is_left_alone(clusterer):
    before = repr(clusterer.get_params())
    assert begun(clusterer, islands([0, 1])[0]) is clusterer
    assert repr(clusterer.get_params()) == before


def test_a_restored_manifold_has_no_communities():
    manifold, _ = islands([0, 1])
    mixture = GaussianMixture(2)
    assert begun(mixture, Manifold.restore(manifold.settings(), manifold.tensors())) is mixture
    assert mixture.means_init is None
