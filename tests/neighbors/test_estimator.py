"""NearestNeighbors: scikit-learn's answers, kinds of input and output, and errors that say what to do."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors as Reference

from gpuclust import NearestNeighbors
from gpuclust.errors import DataError, DataTypeError, MissingDependencyError, ParameterError
from tests.neighbors.reference import brute_force

RADII = {"euclidean": 3.0, "cosine": 0.4, "manhattan": 7.0, "chebyshev": 1.5}


@pytest.fixture(scope="module")
def X():
    """Return 400 rows, no two pairs of which are equally far apart, and some queries as its last 50."""
    return np.random.default_rng(0).normal(size=(450, 8))


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("metric", RADII)
def test_answers_are_scikit_learn_s(X, metric, own):
    rows, queries = X[:400], None if own else X[400:]
    ours = NearestNeighbors(7, radius=RADII[metric], metric=metric).fit(rows)
    theirs = Reference(n_neighbors=7, radius=RADII[metric], metric=metric, algorithm="brute").fit(rows)
    distances, indices = ours.kneighbors(queries)
    expected = theirs.kneighbors(queries)
    assert (distances.dtype, indices.dtype) == (np.float64, np.int64)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(ours.kneighbors(queries, 3, return_distance=False), expected[1][:, :3])

    distances, indices = ours.radius_neighbors(queries, sort_results=True)
    expected = theirs.radius_neighbors(queries, sort_results=True)
    assert sum(map(len, indices)) > 100
    for found, wanted in zip([*distances, *indices], [*expected[0], *expected[1]], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)
    for found, wanted in zip(ours.radius_neighbors(queries, return_distance=False), indices, strict=True):
        np.testing.assert_array_equal(found, np.sort(wanted))

    for mode in ("connectivity", "distance"):
        for name in ("kneighbors_graph", "radius_neighbors_graph"):
            graph, wanted = (getattr(each, name)(queries, mode=mode) for each in (ours, theirs))
            assert graph.shape == wanted.shape
            assert abs(graph - wanted).max() < 1e-12


def test_equally_near_rows_come_in_order():
    X = np.array([[1.0], [-1.0], [1.0], [0.0], [-1.0]])
    neighbors = NearestNeighbors(4).fit(X)
    assert neighbors.kneighbors([[0.0]], return_distance=False).tolist() == [[3, 0, 1, 2]]
    assert neighbors.kneighbors(n_neighbors=1, return_distance=False).ravel().tolist() == [2, 4, 0, 0, 1]
    distances, indices = neighbors.radius_neighbors([[0.0]], 1, sort_results=True)
    assert (distances[0].tolist(), indices[0].tolist()) == ([0, 1, 1, 1, 1], [3, 0, 1, 2, 4])


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32), (np.float16, np.int8)])
def test_rows_and_queries_of_different_dtypes(X, dtypes):
    rows, queries = (X[:200] * 40).astype(dtypes[0]), (X[400:] * 40).astype(dtypes[1])
    distances, indices = NearestNeighbors(4).fit(rows).kneighbors(queries)
    expected = brute_force(rows, 4, queries)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_kinds_of_rows(X, tmp_path):
    pandas, polars, torch = (pytest.importorskip(name) for name in ("pandas", "polars", "torch"))
    rows = X.astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    expected = NearestNeighbors().fit(rows).kneighbors()
    names = [f"c{i}" for i in range(8)]
    frame = pandas.DataFrame(rows, columns=names)
    kinds = [tmp_path / "rows.npy", np.load(tmp_path / "rows.npy", mmap_mode="r"), frame, polars.DataFrame(rows)]
    for kind in [*kinds, torch.from_numpy(rows), rows.tolist(), np.asfortranarray(rows)]:
        for memory in (None, "40KB"):
            found = NearestNeighbors(max_memory=memory).fit(kind)
            for values, wanted in zip([*found.kneighbors(), *found.kneighbors(rows[:3])], [*expected] * 2, strict=True):
                if len(values) == len(rows):
                    np.testing.assert_array_equal(values, wanted)
    assert NearestNeighbors().fit(frame).feature_names_in_.tolist() == names
    with pytest.raises(DataError, match="feature names"):
        NearestNeighbors().fit(frame).kneighbors(frame[names[::-1]])


def test_results_are_of_the_queries_kind(X):
    torch = pytest.importorskip("torch")
    fitted = NearestNeighbors(3).fit(X)
    distances, indices = fitted.kneighbors(torch.from_numpy(X[:5]))
    assert isinstance(distances, torch.Tensor)
    assert indices.dtype == torch.int64
    assert isinstance(fitted.kneighbors(torch.from_numpy(X[:5]), return_distance=False), torch.Tensor)
    assert isinstance(fitted.kneighbors()[0], np.ndarray)


def test_attributes(X):
    fitted = NearestNeighbors(metric="l1").fit(X)
    assert (fitted.n_samples_fit_, fitted.n_features_in_, fitted.effective_metric_) == (450, 8, "manhattan")
    assert (fitted.recall_, fitted.index_params_) == (1.0, {})
    for p, metric in ((1, "manhattan"), (None, "euclidean"), (np.inf, "chebyshev")):
        assert NearestNeighbors(metric="minkowski", p=p).fit(X).effective_metric_ == metric
    assert NearestNeighbors(metric="minkowski", metric_params={"p": 1}).fit(X).effective_metric_ == "manhattan"


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_copies_answer_the_same(X, index):
    fitted = NearestNeighbors(index=index).fit(X)
    expected = fitted.kneighbors()
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted), clone(fitted).fit(X)):
        for found, wanted in zip(again.kneighbors(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_fitting_anew_forgets(X):
    fitted = NearestNeighbors().fit(X)
    fitted.kneighbors()
    assert fitted.fit(X[:20, :3]).kneighbors(X[:2, :3], 20)[1].max() == 19


def test_callback(X):
    told = []
    NearestNeighbors(callback=lambda *event: told.append(event)).fit(X).kneighbors()
    assert told == [("search", 450 * 450, 450 * 450)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"radius": -1.0}, "radius"),
        ({"index": "annoy"}, "index"),
        ({"metric": "haversine"}, "metric"),
        ({"metric": print}, "callable"),
        ({"metric": "minkowski", "p": 3}, "p=3 should be 1, 2 or infinity"),
        ({"metric_params": {"p": 1}}, "metric_params"),
        ({"index": "hnsw", "metric": "manhattan"}, "index='hnsw' is for euclidean and cosine"),
        ({"index_params": {"nlist": 4}}, "index='flat' does not take"),
        ({"device": "cuda:0,1"}, "several GPUs"),
        ({"device": "tpu"}, "device"),
        ({"max_memory": "lots"}, "max_memory"),
    ],
)
def test_parameters_that_break_their_rule(X, parameters, message):
    with pytest.raises(ParameterError, match=message):
        NearestNeighbors(**parameters).fit(X)


def test_too_many_neighbors(X):
    fitted = NearestNeighbors(10).fit(X[:10])
    with pytest.raises(ParameterError, match=r"n_neighbors < n_samples_fit, but n_neighbors = 10, n_samples_fit = 10"):
        fitted.kneighbors()
    with pytest.raises(ParameterError, match=r"n_neighbors <= n_samples_fit, but n_neighbors = 11"):
        fitted.kneighbors(X[:3], 11)
    assert fitted.kneighbors(X[:3])[1].shape == (3, 10)
    for wrong in (0, -2):
        with pytest.raises(ParameterError, match=f"Expected n_neighbors > 0. Got {wrong}"):
            fitted.kneighbors(X[:3], wrong)
    for kind in (1.5, True, "3"):
        with pytest.raises(TypeError, match="enter integer value"):
            fitted.kneighbors(X[:3], kind)


def test_one_row():
    fitted = NearestNeighbors(1).fit([[1.0, 2.0]])
    assert fitted.kneighbors([[1.0, 4.0]]) == (np.array([[2.0]]), np.array([[0]]))
    assert fitted.radius_neighbors()[1][0].size == 0


def test_bad_input(X):
    fitted = NearestNeighbors().fit(X)
    bad = X[:5].copy()
    bad[3, 2] = np.nan
    for call in (fitted.fit, fitted.kneighbors, fitted.radius_neighbors, fitted.kneighbors_graph):
        with pytest.raises(DataError, match="NaN: first at row 3, column 2"):
            call(bad)
    fitted = NearestNeighbors().fit(X)
    with pytest.raises(DataError, match="X has 3 features, but NearestNeighbors is expecting 8"):
        fitted.kneighbors(X[:, :3])
    with pytest.raises(DataError, match="0 feature"):
        fitted.fit(np.empty((4, 0)))
    with pytest.raises(DataTypeError):
        NearestNeighbors().fit([["a", "b"]])
    with pytest.raises(DataError, match="row 1 of X is zero and has no direction"):
        NearestNeighbors(metric="cosine").fit([[1.0, 0.0], [0.0, 0.0]])
    fitted = NearestNeighbors().fit(X)
    for radius in (-1, np.nan, "3", True):
        with pytest.raises(ParameterError, match="radius"):
            fitted.radius_neighbors(X[:2], radius)
    with pytest.raises(ParameterError, match="return_distance must be True"):
        fitted.radius_neighbors(return_distance=False, sort_results=True)
    with pytest.raises(ParameterError, match="Unsupported mode"):
        fitted.kneighbors_graph(mode="weights")
    with pytest.raises(AttributeError, match="not fitted"):
        NearestNeighbors().kneighbors(X)


def test_without_faiss_the_error_names_the_extras(X, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"gpuclust\[cpu\].*gpuclust\[cuda12\]"):
        NearestNeighbors().fit(X)
    NearestNeighbors(metric="manhattan").fit(X).kneighbors()  # needs none
