"""UMAP's fuzzy set: memberships and graphs by hand, their properties, and umap-learn's own as an oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpuclust import NearestNeighbors
from gpuclust.deep.clustering.fuzzy import memberships, union


def test_memberships_by_hand():
    """Two neighbours beside the nearest, equally far: 1 + 2 exp(-1 / s) = 2 gives exp(-1 / s) = 1/2."""
    found = memberships(np.array([[2.0, 3.0, 3.0]]), np.array([2.0]), 2.0)
    np.testing.assert_allclose(found, [[1.0, 0.5, 0.5]], rtol=1e-12)
    # Nothing is subtracted: exp(-1 / s) + exp(-2 / s) = 3/4 has the solution exp(-1 / s) = 1/2.
    np.testing.assert_allclose(memberships(np.array([[1.0, 2.0]]), 0.0, 0.75), [[0.5, 0.25]], rtol=1e-12)


def test_bandwidth_has_a_floor():
    """One neighbour belongs whatever the bandwidth, the others are as good as out of reach."""
    found = memberships(np.array([[1.0, 1.001, 2.0]]), np.array([1.0]), 1.0)
    mean = (1.0 + 1.001 + 2.0) / 3
    np.testing.assert_allclose(found[0, 1], math.exp(-0.001 / (1e-3 * mean)), rtol=1e-9)


@pytest.mark.parametrize("distances", [np.zeros((1, 4)), np.full((1, 4), 5.0)])
def test_equally_near_neighbours_all_belong(distances):
    assert (memberships(distances, distances[:, 0], 1.5) == 1).all()


@given(hnp.arrays(np.float64, (7, 6), elements=st.floats(0.0, 1e3)), st.floats(1.5, 5.0))
def test_memberships_fall_with_distance_and_sum_to_the_total(distances, total):
    distances = np.sort(distances, axis=1) + 0.5
    found = memberships(distances, distances[:, 0], total)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found, axis=1) <= 0).all()
    assert (found[:, 0] == 1).all()
    beyond = distances - distances[:, :1]
    reachable = ((beyond == 0).sum(1) < total) & (found.sum(1) <= total * (1 + 1e-6))  # otherwise at the floor
    np.testing.assert_allclose(found.sum(1)[reachable], total, rtol=1e-6)


def test_rows_do_not_depend_on_each_other():
    distances = np.sort(np.random.default_rng(0).random((20_000, 5)), axis=1)
    whole = memberships(distances, 0.0, 2.0)
    assert np.array_equal(whole[16_000:], memberships(distances[16_000:], 0.0, 2.0))


def test_union_by_hand():
    """0 -> 1 with 1/2, 1 -> 0 with 1/4: together 1/2 + 1/4 - 1/8; 2 -> 0 with 1 counts both ways."""
    graph = union(np.array([[0.5], [0.25], [1.0]]), np.array([[1], [0], [0]])).toarray()
    np.testing.assert_array_equal(graph, [[0, 0.625, 1], [0.625, 0, 0], [1, 0, 0]])
    assert graph.dtype == np.float32


@pytest.mark.slow  # umap-learn compiles its own for some seconds
def test_graph_is_that_of_umap():
    """umap-learn counts a row among its neighbours."""
    umap = pytest.importorskip("umap.umap_")
    rows, k = np.random.default_rng(1).normal(size=(120, 4)), 9
    distances, neighbors = NearestNeighbors(k - 1).fit(rows).kneighbors()
    itself = np.arange(len(rows))[:, None], np.zeros((len(rows), 1))
    expected, _, _ = umap.fuzzy_simplicial_set(
        rows,
        k,
        np.random.RandomState(0),
        "euclidean",
        knn_indices=np.hstack([itself[0], neighbors]),
        knn_dists=np.hstack([itself[1], distances]),
    )
    found = union(memberships(distances, distances[:, 0], math.log2(k)), neighbors)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=2e-4)
