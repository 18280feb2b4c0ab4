"""Exact neighbours: by hand, on the hard sets, and whatever FAISS says."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.errors import FallbackWarning, ParameterError
from gpuclust.neighbors import flat, k_distances, search
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.searchers import HostSearcher
from tests.datasets import HARD, hard
from tests.neighbors.reference import brute_force, opened, own

pytestmark = pytest.mark.filterwarnings(f"ignore::{FallbackWarning.__module__}.{FallbackWarning.__name__}")


def _nearest(data, queries, k, itself=None):
    index = FlatIndex(data)
    found = index.nearest(queries, k, itself)
    return np.sqrt(found.distances) / index.canonical(queries).scale, found.indices


# A row alone has no neighbours.
SEVERAL = [case for case in HARD if len(hard(*case.values).X) > 1]


def _check(X, k, found, queries=None):
    distances, indices = brute_force(X, k, queries)
    np.testing.assert_array_equal(found[1], indices)
    np.testing.assert_array_equal(found[0], distances)


def test_by_hand(engine):
    """Equally near rows by index; a row is not its own neighbour, an equal one is."""
    data = opened(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [-3.0, 4.0], [0.0, 6.0]], np.float32), engine)
    distances, indices = _nearest(data, data, 3, own(data.sample))
    assert indices.tolist() == [[2, 1, 3], [4, 0, 2], [0, 1, 3], [4, 0, 2], [1, 3, 0]]
    assert distances.tolist()[:2] == [[0, 5, 5], [13**0.5, 5, 5]]
    queries = opened(np.array([[0.0, 8.0]]), engine)
    distances, indices = _nearest(data, queries, 5)
    assert indices.tolist() == [[4, 1, 3, 0, 2]]
    assert distances.tolist() == [[2, 5, 5, 8, 8]]


@pytest.mark.parametrize(("name", "dtype"), SEVERAL)
def test_hard_sets(name, dtype, engine, sized):
    X = hard(name, dtype).X[: sized(160, 60)]
    data = opened(X, engine)
    k = min(6, len(X) - 1)
    _check(X, k, _nearest(data, data, k, own(X)))


@pytest.mark.parametrize(("name", "dtype"), [("two_blocks_1e4", np.float64), ("outlier_1e9", np.float32)])
def test_queries_that_are_no_rows(name, dtype, engine):
    X = hard(name, dtype).X[:100]
    queries = np.concatenate([X[:20].astype(np.float64) * 1.5 + 0.25, [[1e300] * X.shape[1]], -X[3:5]])
    _check(X, 9, _nearest(opened(X, engine), opened(queries, engine), 9), queries)


@pytest.mark.parametrize("far", [1e12, 1e30, 1e300])
def test_many_queries_far_out(far):
    """FAISS, which ends the process on values from 1e19 on, must not see them, nor rows shifted by them."""
    X = hard("shift_0", np.float64).X[:100]
    queries = X[:80] * far
    _check(X, 4, _nearest(opened(X), opened(queries), 4), queries)


def test_many_equal_rows(engine):
    """More of them than candidates are ever asked for: the first ones."""
    X = np.repeat(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.5]]), 300, axis=0)
    data = opened(X, engine)
    _check(X, 5, _nearest(data, data, 5, own(X)))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=2, max_size=40),
    st.integers(1, 39),
    st.sampled_from([0.0, 1e4, -1e7]),
)
def test_lattices(points, k, shift):
    X = np.array(points, np.float64) + shift
    data, k = opened(X), min(k, len(X) - 1)
    _check(X, k, _nearest(data, data, k, own(X)))


@pytest.mark.parametrize("chunks", [(7, None), (None, 13), (50, 50), (5, 160)])
def test_chunks_do_not_change_a_bit(chunks, engine):
    X = hard("almost_ties", np.float64).X[:160]
    data, queries = (opened(X, engine, chunk) for chunk in chunks)
    _check(X, 8, _nearest(data, queries, 8, own(X)))


def test_every_chunk_must_be_settled():
    """Rows of the first chunk are too close to call, those of the second are far away."""
    rng = np.random.default_rng(0)
    X = np.concatenate([1 + rng.normal(size=(60, 3)) * 1e-8, rng.normal(size=(100, 3)) * 0.01 - 5])
    data, queries = opened(X, None, 60), opened(X[:60])
    found = _nearest(data, queries, 5, own(X)[:60])
    np.testing.assert_array_equal(found[1], brute_force(X, 5)[1][:60])


def test_memory_does_not_change_a_bit(engine):
    X = hard("shift_1e4", np.float32).X[:200]
    data = opened(X, engine)
    index = FlatIndex(data, memory=1)
    np.testing.assert_array_equal(index.nearest(data, 4, own(X)).indices, brute_force(X, 4)[1])


def test_threads_do_not_change_a_bit():
    X = hard("almost_ties", np.float32).X
    data, before = opened(X), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = _nearest(data, data, 7, own(X))
    finally:
        numba.set_num_threads(before)
    for first, second in zip(one, _nearest(data, data, 7, own(X)), strict=True):
        np.testing.assert_array_equal(first, second)


class _Imprecise(HostSearcher):
    """Computes with fewer digits than float32 has, as TF32 does (10 bits; these are 4)."""

    def search(self, queries, k):
        rounded = (queries.values.view(np.int32) & np.int32(-1 << 19)).view(np.float32)
        return super().search(queries._replace(values=rounded), k)


class _Lost(HostSearcher):
    """Found nothing for some queries, as FAISS says it: no index, and an infinite score, or NaN."""

    def search(self, queries, k):
        scores, indices = super().search(queries, k)
        scores[::3], scores[1::3], indices.reshape(scores.shape)[::3] = np.inf, np.nan, -1
        return scores, indices


@pytest.mark.parametrize("searcher", [_Imprecise, _Lost])
def test_a_search_that_breaks_its_bound_is_not_believed(searcher, monkeypatch):
    monkeypatch.setattr(flat, "make_searcher", searcher.flat)
    X = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    _check(X, 5, _nearest(opened(X), opened(X[:90] + np.float32(0.01)), 5), X[:90] + np.float32(0.01))


def test_plain_data_is_settled_by_the_first_search(monkeypatch):
    """The certificate must not send everything to the slow path."""
    monkeypatch.setattr(search.Search, "_again", None)
    monkeypatch.setattr(search.Search, "scan", None)
    for name in ("shift_0", "shift_1e6", "isotropic", "magnitude_1e30"):
        X = hard(name, np.float32).X
        data = opened(X)
        _check(X[:], 5, _nearest(data, data, 5, own(X)))


def test_groups_far_apart_are_settled_from_an_origin_amid_each(monkeypatch):
    monkeypatch.setattr(search.Search, "scan", None)
    X = hard("two_blocks_1e4", np.float64).X
    X = np.concatenate([X, X[:200] + 3e4])
    data = opened(X)
    _check(X, 5, _nearest(data, data, 5, own(X)))


def test_an_origin_is_moved_into_the_range_of_the_rows():
    data = opened(np.array([[1.0, -2.0], [-3.0, 0.5]]))
    index = FlatIndex(data, origin=np.array([1e300, -1.0]))
    assert index.frame.origin.tolist() == [3.0, -1.0]
    assert index.nearest(data, 1, own(data.sample)).indices.tolist() == [[1], [0]]


def test_progress():
    told = []
    X = np.ones((300, 2))
    data = opened(X)
    FlatIndex(data, 1 << 16).nearest(data, 3, own(X), lambda *event: told.append(event))
    assert {stage for stage, *_ in told} == {"search", "scan"}
    for stage in ("search", "scan"):
        done = [event for event in told if event[0] == stage]
        assert done[-1][1] == done[-1][2] > 0
    assert len(told) > 5


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev"])
def test_other_metrics_by_hand(metric):
    data = opened(np.array([[0.0, 0.0], [2.0, 2.0], [3.0, 0.0], [-3.0, 0.0]]))
    index = FlatIndex(data, metric=metric)
    found = index.nearest(data, 2, own(data.sample))
    expected = {"manhattan": [[2, 3], [2, 0], [0, 1], [0, 2]], "chebyshev": [[1, 2], [0, 2], [1, 0], [0, 1]]}
    assert found.indices.tolist() == expected[metric]
    assert found.distances[0].tolist() == [
        value * index.frame.scale for value in {"manhattan": [3, 3], "chebyshev": [2, 3]}[metric]
    ]


# -- k_distances -------------------------------------------------------------------------------------------------------


def test_k_distances(engine):
    X = np.array([[0.0], [1.0], [3.0], [3.0], [7.0]])
    data = opened(X, engine)
    assert k_distances(data, 1).tolist() == [1, 1, 0, 0, 4]
    assert k_distances(data, 2).tolist() == [3, 2, 2, 2, 4]
    assert k_distances(data, 4, rows=np.array([4, 0])).tolist() == [7, 7]
    for k in (0, 5):
        with pytest.raises(ParameterError, match=f"k={k} should be at least 1 and less than n_samples=5"):
            k_distances(data, k)


def test_k_distances_of_some_rows_are_those_of_all():
    X = hard("outlier_1e9", np.float32).X
    data, rows = opened(X), np.array([17, 3, 599, 3])
    everything = k_distances(data, 4)
    np.testing.assert_array_equal(everything, brute_force(X, 4)[0][:, -1])
    np.testing.assert_array_equal(k_distances(data, 4, rows=rows), everything[rows])
