"""Approximate indexes: exact distances of what they find, recall as measured, parameters."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust import NearestNeighbors
from gpuclust.errors import DataError, ParameterError
from gpuclust.neighbors import approximate
from gpuclust.neighbors.approximate import checked_parameters
from tests.neighbors.reference import brute_force

KINDS = ["ivf_flat", "ivf_pq", "hnsw"]
QUICK = {"ivf_pq": {"nbits": 5}}  # codebooks of 32 are trained faster than of 256


@pytest.fixture(scope="module")
def X():
    """Return 1500 rows in 12 blobs, with 20 equal ones."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 16))[rng.integers(12, size=1500)] * 3 + rng.normal(size=(1500, 16))
    rows[700:720] = rows[3]
    return rows.astype(np.float32) + np.float32(1000)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_has_exact_distances_in_order(X, kind):
    fitted = NearestNeighbors(6, index=kind, index_params=QUICK.get(kind)).fit(X)
    distances, indices = fitted.kneighbors()
    exact = brute_force(X, 1499)
    lookup = np.empty((1500, 1500))
    np.put_along_axis(lookup, exact[1], exact[0], axis=1)
    np.testing.assert_array_equal(distances, np.take_along_axis(lookup, indices, axis=1))
    assert (indices != np.arange(1500)[:, None]).all()
    steps = np.diff(distances, axis=1), np.diff(indices, axis=1)
    assert ((steps[0] > 0) | ((steps[0] == 0) & (steps[1] > 0))).all()

    recall = (distances <= exact[0][:, 5:6]).mean()
    assert 0.7 < recall <= 1
    assert fitted.recall_ == pytest.approx(recall, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_at_every_run_and_from_a_file(X, kind, tmp_path):
    np.save(tmp_path / "x.npy", X)
    first = NearestNeighbors(index=kind, index_params=QUICK.get(kind)).fit(X).kneighbors(X[:200])
    for rows, memory in ((X, None), (tmp_path / "x.npy", "100KB")):
        again = (
            NearestNeighbors(index=kind, index_params=QUICK.get(kind), max_memory=memory).fit(rows).kneighbors(X[:200])
        )
        for found, wanted in zip(again, first, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_graphs_are_built_by_one_thread(X, monkeypatch):
    works, searching = [], approximate.searching
    monkeypatch.setattr(approximate, "searching", lambda work: works.append(work) or searching(work))
    NearestNeighbors(index="hnsw").fit(X)
    assert works == [0]
    NearestNeighbors(index="ivf_flat").fit(X)
    assert works[1] > 0


def test_more_work_finds_more(X):
    recalls = [
        NearestNeighbors(index="ivf_flat", index_params={"nlist": 60, "nprobe": n}).fit(X).recall_ for n in (1, 60)
    ]
    assert recalls[0] < 0.95
    assert recalls[1] == 1.0


def test_rows_for_which_too_few_are_found_are_searched_exactly(X):
    """One cell of 150 holds about 10 rows."""
    fitted = NearestNeighbors(40, index="ivf_flat", index_params={"nlist": 150, "nprobe": 1}).fit(X)
    distances, indices = fitted.kneighbors(X[:50])
    assert (indices >= 0).all()
    assert np.isfinite(distances).all()
    exact = brute_force(X, 40, X[:50])[1]
    assert (indices == exact).all(axis=1).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_radius_search_is_exact(X, kind):
    found = (
        NearestNeighbors(index=kind, index_params=QUICK.get(kind))
        .fit(X)
        .radius_neighbors(X[:20], 4.0, return_distance=False)
    )
    for got, wanted in zip(found, NearestNeighbors().fit(X).radius_neighbors(X[:20], 4.0)[1], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_cosine(X):
    rows = X[:600] - 1000
    fitted = NearestNeighbors(3, index="hnsw", metric="cosine").fit(rows)
    expected = NearestNeighbors(3, metric="cosine").fit(rows).kneighbors(rows[:9])
    for found, wanted in zip(fitted.kneighbors(rows[:9]), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_rows(kind, n):
    rows = np.arange(n * 3.0).reshape(n, 3)
    if (n, kind) == (1, "ivf_pq"):
        with pytest.raises(DataError, match="n_samples=1: index='ivf_pq' needs 2 rows"):
            NearestNeighbors(index=kind).fit(rows)
        return
    fitted = NearestNeighbors(1, index=kind).fit(rows)
    assert fitted.kneighbors(rows, n)[1].tolist() == brute_force(rows, n, rows)[1].tolist()


def test_defaults():
    assert checked_parameters("ivf_flat", None, 1_000_000, 96) == {"nlist": 4000, "nprobe": 250}
    assert checked_parameters("ivf_flat", {"nlist": 10}, 1000, 96) == {"nlist": 10, "nprobe": 8}
    pq = checked_parameters("ivf_pq", None, 100, 31)
    assert (pq["m"], pq["nbits"], pq["nlist"]) == (1, 6, 2)
    assert checked_parameters("ivf_pq", None, 10_000, 96)["m"] == 24
    assert checked_parameters("hnsw", {"M": 8}, 10, 3) == {"M": 8, "efConstruction": 64, "efSearch": 64}
    assert checked_parameters("flat", None, 10, 3) == {}


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("hnsw", {"nlist": 4}, "'nlist', which index='hnsw' does not take: M, efConstruction, efSearch"),
        ("ivf_flat", {"nlist": 0}, "nlist=0 should be an int >= 1"),
        ("ivf_flat", {"nlist": 2.0}, "nlist=2.0 should be an int >= 1"),
        ("ivf_flat", {"nlist": 101}, "nlist=101 should be at most n_samples=100"),
        ("ivf_flat", {"nlist": 4, "nprobe": 5}, "nprobe=5 should be at most nlist=4"),
        ("ivf_pq", {"m": 5}, "m=5 should divide n_features=8"),
        ("ivf_pq", {"m": 16}, "m=16 should be at most n_features=8"),
        ("ivf_pq", {"nbits": 7}, "nbits=7 should be at most 8, and 2\\*\\*nbits at most n_samples=100"),
    ],
)
def test_parameters_that_break_their_rule(kind, params, message):
    with pytest.raises(ParameterError, match=message):
        NearestNeighbors(index=kind, index_params=params).fit(np.random.default_rng(0).normal(size=(100, 8)))
