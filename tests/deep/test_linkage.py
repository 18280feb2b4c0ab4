"""Graph degree linkage: by hand, against the definition, and on graphs whose groups are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from gpuclust.deep.clustering.linkage import linked


def graph_of(edges, n):
    """Directed, of (i, j, weight)."""
    rows, columns, weights = (np.array(values) for values in zip(*edges, strict=True))
    return csr_matrix((weights.astype(np.float32), (rows, columns)), shape=(n, n))


def affinity(weights, a, b):
    """Of two groups of vertices, by definition."""
    there, back = weights[np.ix_(a, b)], weights[np.ix_(b, a)]
    return (there.sum(0) @ back.sum(1)) / len(a) ** 2 + (back.sum(0) @ there.sum(1)) / len(b) ** 2


def test_by_hand():
    """0 and 1 see each other by 0.5: affinity 0.25 + 0.25. 2 sees 1 by 0.9 and is not seen: 0. 3 and 2: 0.4."""
    graph = graph_of([(0, 1, 0.5), (1, 0, 0.5), (2, 1, 0.9), (2, 3, 0.4), (3, 2, 0.5)], 4)
    groups = np.arange(4)
    assert linked(groups, graph, 4).tolist() == [0, 1, 2, 3]
    assert linked(groups, graph, 3).tolist() == [0, 0, 1, 2]
    assert linked(groups, graph, 2).tolist() == [0, 0, 1, 1]
    assert linked(groups, graph, 1).tolist() == [0, 0, 0, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_every_step_joins_the_pair_that_is_linked_best(seed, n_left):
    random = np.random.default_rng(seed)
    weights = random.random((14, 14)) * (random.random((14, 14)) < 0.6) * (1 - np.eye(14))
    groups = np.r_[np.arange(8), random.integers(0, 8, 6)]
    labels = groups.copy()
    while len(names := np.unique(labels)) > n_left:
        pairs = [(a, b) for a in names for b in names if a < b]
        values = [affinity(weights, np.flatnonzero(labels == a), np.flatnonzero(labels == b)) for a, b in pairs]
        a, b = pairs[int(np.argmax(values))]
        labels[labels == b] = a
    found = linked(groups, csr_matrix(weights), n_left)[groups]
    np.testing.assert_array_equal(found, np.unique(labels, return_inverse=True)[1])


@pytest.mark.parametrize("sizes", [(60, 60, 60), (10, 40, 150)])
def test_classes_of_any_size_that_a_few_edges_join(sizes):
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), sizes)
    weights = (random.random((len(truth), len(truth))) < np.where(truth[:, None] == truth, 0.5, 0.02)).astype(float)
    found = linked(np.arange(len(truth)), csr_matrix(weights), 3)
    assert len(set(zip(found, truth, strict=True))) == 3
