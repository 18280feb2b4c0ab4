"""Rows within a radius: by hand, at the very edge of it, and on the hard sets."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.errors import FallbackWarning
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.radius import within
from tests import reference
from tests.datasets import HARD, hard
from tests.neighbors.reference import opened, own

pytestmark = pytest.mark.filterwarnings(f"ignore::{FallbackWarning.__module__}.{FallbackWarning.__name__}")


def _check(X, queries, limit, found, s, itself=None):
    squares = reference.distances(queries, X, s)
    if itself is not None:
        squares[own(X), own(X)] = np.inf
    which, indices = np.nonzero(squares <= limit)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(np.diff(found.starts), np.bincount(which, minlength=len(queries)))
    np.testing.assert_array_equal(found.distances, squares[which, indices])


def test_by_hand(engine):
    """A row exactly on the edge is within."""
    data = opened(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [9.0, 9.0]], np.float32), engine)
    index = FlatIndex(data)
    s = index.frame.scale
    found = within(index, data, (5.0 * s) ** 2, own(data.sample))
    assert found.starts.tolist() == [0, 2, 4, 6, 6]
    assert found.indices.tolist() == [1, 2, 0, 2, 0, 1]
    assert (np.sqrt(found.distances) / s).tolist() == [5, 0, 5, 5, 0, 5]
    assert within(index, data, (np.nextafter(5.0, 0) * s) ** 2).indices.tolist() == [0, 2, 1, 0, 2, 3]
    assert len(within(index, data, 0.0).indices) == 6
    assert len(within(index, data, np.inf).indices) == 16


@pytest.mark.parametrize(("name", "dtype"), HARD)
def test_hard_sets(name, dtype, engine, sized):
    """The radius is a distance that occurs: many rows are on its edge, or next to it."""
    X = hard(name, dtype).X[: sized(160, 50)]
    data = opened(X, engine)
    s = reference.scale(X)
    squares = reference.distances(X[:1], X, s)[0]
    for limit in np.quantile(squares, [0.1, 0.5], method="nearest"):
        _check(X, X, limit, within(FlatIndex(data), data, limit, own(X)), s, own(X))


@pytest.mark.parametrize("chunks", [(7, None), (None, 13), (50, 50)])
def test_chunks_and_memory_do_not_change_a_bit(chunks):
    X = hard("ties", np.float64).X
    data, queries = (opened(X, None, chunk) for chunk in chunks)
    index = FlatIndex(data, memory=20_000)
    s = reference.scale(X)
    _check(X, X, 5 * s * s, within(index, queries, 5 * s * s), s)


def test_a_query_far_out_does_not_widen_the_search_of_the_others(monkeypatch):
    X = hard("isotropic", np.float32).X
    queries = np.concatenate([X[:50], np.full((1, 24), 1e9, np.float32)]).astype(np.float64)
    data, asked = opened(X), opened(queries)
    index = FlatIndex(data)
    _, searcher = index._kept[0]
    limits = []
    search = type(searcher).within
    monkeypatch.setattr(type(searcher), "within", lambda self, *args: limits.append(args[-1]) or search(self, *args))
    s = index.canonical(asked).scale
    found = within(index, asked, (4.0 * s) ** 2)
    _check(X, queries, (4.0 * s) ** 2, found, s)
    assert limits[0] < 1.01 * (4.0 * index.frame.scale * index.frame.unit) ** 2


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev"])
def test_other_metrics(metric):
    data = opened(np.array([[0.0, 0.0], [2.0, 2.0], [3.0, 0.0], [-3.0, 0.0]]))
    index = FlatIndex(data, metric=metric)
    found = within(index, data, 3 * index.frame.scale, own(data.sample))
    rows = {"manhattan": [[2, 3], [2], [0, 1], [0]], "chebyshev": [[1, 2, 3], [0, 2], [0, 1], [0]]}[metric]
    assert [part.tolist() for part in np.split(found.indices, found.starts[1:-1])] == rows


def test_progress():
    told = []
    X = hard("shift_0", np.float32).X
    data = opened(X)
    within(FlatIndex(data, 1 << 16), data, 1e-3, None, lambda *event: told.append(event))
    assert told[-1] == ("search", 600 * 600, 600 * 600)
    assert len(told) > 3
