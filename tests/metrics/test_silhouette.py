"""Silhouettes: by hand, equal to scikit-learn's, and right where its distances are not."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.engines.cpu.engine import CpuEngine
from gpuclust.errors import DataError, ParameterError
from gpuclust.metrics import mean_distances as module
from gpuclust.metrics import silhouette_samples, silhouette_score
from gpuclust.metrics.silhouette import sample_rows, silhouette_samples_of
from gpuclust.sources import as_source
from tests.datasets import HARD, hard


def _oracle(X, labels, metric="euclidean"):
    """The definition, with direct differences in float64, scaled so that squares neither overflow nor vanish."""
    X = X.astype(np.float64)
    X = X * 2.0 ** -float(np.frexp(np.abs(X).max() or 1.0)[1])
    out = np.zeros(len(X))
    for i, row in enumerate(X):
        difference = np.abs(X - row)
        distances = np.sqrt((difference**2).sum(axis=1)) if metric == "euclidean" else difference.sum(axis=1)
        own = labels == labels[i]
        if own.sum() == 1:
            continue
        a = distances[own].sum() / (own.sum() - 1)
        b = min(distances[labels == c].mean() for c in np.unique(labels) if c != labels[i])
        out[i] = (b - a) / max(a, b) if max(a, b) > 0 else 0.0
    return out


def _blobs(n, d, k, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    labels[:k] = np.arange(k)
    return (rng.normal(size=(k, d))[labels] * 3 + rng.normal(size=(n, d))).astype(dtype), labels


def _data(engine, X, normalize=False):
    return Dataset(engine, as_source(X), normalize=normalize)


def test_by_hand(engine):
    X = np.array([[0.0], [2.0], [10.0], [13.0], [40.0]])
    labels = np.array([0, 0, 1, 1, 2], np.int32)
    # Row 0: a = 2, b = min((10 + 13) / 2, 40); row 2: a = 3, b = min((10 + 8) / 2, 30); row 4 is alone.
    expected = [1 - 2 / 11.5, 1 - 2 / 9.5, 1 - 3 / 9, 1 - 3 / 12, 0]
    np.testing.assert_allclose(silhouette_samples_of(_data(engine, X), labels), expected, rtol=1e-15)
    simplified = [1 - 1 / 11.5, 1 - 1 / 9.5, 1 - 1.5 / 9, 1 - 1.5 / 12, 0]
    found = silhouette_samples_of(_data(engine, X), labels, form="simplified")
    np.testing.assert_allclose(found, simplified, rtol=1e-15)
    squares = [1 - 4 / (269 / 2), 1 - 4 / (185 / 2), 1 - 9 / (164 / 2), 1 - 9 / (290 / 2), 0]
    found = silhouette_samples_of(_data(engine, X), labels, metric="sqeuclidean")
    np.testing.assert_allclose(found, squares, rtol=1e-15)


def test_a_row_left_out_counts_nowhere(engine):
    X = np.array([[0.0], [2.0], [10.0], [13.0], [1.0], [11.0]])
    labels = np.array([0, 0, 1, 1, -1, -1], np.int32)
    for metric in ("euclidean", "sqeuclidean"):
        found = silhouette_samples_of(_data(engine, X), labels, metric=metric)
        assert np.isnan(found[4:]).all()
        np.testing.assert_array_equal(found[:4], silhouette_samples_of(_data(engine, X[:4]), labels[:4], metric=metric))
        some = silhouette_samples_of(_data(engine, X), labels, metric=metric, rows=np.array([1, 2]))
        np.testing.assert_array_equal(some, found[1:3])


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "sqeuclidean", "cosine"])
@pytest.mark.parametrize(("n", "d", "k"), [(400, 3, 2), (500, 33, 7), (150, 2, 60)])
def test_equal_to_scikit_learn(n, d, k, metric):
    X, labels = _blobs(n, d, k)
    theirs = sklearn_metrics.silhouette_samples(X, labels, metric=metric)
    np.testing.assert_allclose(silhouette_samples(X, labels, metric=metric), theirs, rtol=1e-9, atol=1e-12)
    score = sklearn_metrics.silhouette_score(X, labels, metric=metric)
    assert silhouette_score(X, labels, metric=metric) == pytest.approx(score, rel=1e-9)


@pytest.mark.parametrize(("name", "dtype"), HARD)
def test_right_on_hard_data(name, dtype):
    X = hard(name, dtype).X[:150]
    labels = np.random.default_rng(0).integers(3, size=len(X))
    if len(X) < 4:
        with pytest.raises(DataError, match="number of clusters"):
            silhouette_samples(X, labels)
        return
    # What is left of data of one outlier at 1e9 is seven digits; the oracle has as many.
    np.testing.assert_allclose(silhouette_samples(X, labels), _oracle(X, labels), rtol=1e-9, atol=1e-9)
    if "magnitude" not in name:
        found = silhouette_samples(X, labels, metric="manhattan")
        np.testing.assert_allclose(found, _oracle(X, labels, "manhattan"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [7, 64, 4096])
@pytest.mark.parametrize("runs", [1, 3, 256])
def test_blocks_change_nothing(monkeypatch, rows, runs):
    X, labels = _blobs(300, 4, 9, seed=1, dtype=np.float32)
    expected = silhouette_samples(X, labels)
    monkeypatch.setattr(CpuEngine, "block_rows", rows)
    monkeypatch.setattr(module, "_MOST_RUNS", runs)
    monkeypatch.setattr(module, "_CELLS", 50)
    np.testing.assert_array_equal(silhouette_samples(X, labels), expected)
    some = np.array([0, 3, 4, 100, 299])
    data = _data(get_engine("cpu"), X)
    np.testing.assert_array_equal(silhouette_samples_of(data, labels.astype(np.int32), rows=some), expected[some])


def test_the_same_bits_on_every_engine(engine, sized):
    X, labels = _blobs(sized(2000, 120), 5, 6, seed=2, dtype=np.float32)
    data, cpu = _data(engine, X), _data(get_engine("cpu"), X)
    for metric, form in (
        ("euclidean", "exact"),
        ("manhattan", "exact"),
        ("sqeuclidean", "exact"),
        ("euclidean", "simplified"),
    ):
        found = silhouette_samples_of(data, labels.astype(np.int32), metric=metric, form=form)
        expected = silhouette_samples_of(cpu, labels.astype(np.int32), metric=metric, form=form)
        np.testing.assert_array_equal(found, expected)
    unit, unit_cpu = _data(engine, X, True), _data(get_engine("cpu"), X, True)
    found = silhouette_samples_of(unit, labels.astype(np.int32), metric="cosine")
    np.testing.assert_array_equal(found, silhouette_samples_of(unit_cpu, labels.astype(np.int32), metric="cosine"))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 60), st.integers(1, 4), st.integers(2, 8), st.integers(0, 10**6))
def test_order_of_rows_and_names_of_clusters_do_not_matter(n, d, k, seed):
    X, labels = _blobs(n, d, min(k, n - 2), seed)
    order = np.random.default_rng(seed).permutation(n)
    names = np.array(["c", "a", "h", "b", "g", "e", "f", "d"])[labels]
    found = silhouette_samples(X, labels)
    np.testing.assert_array_equal(silhouette_samples(X[order], labels[order]), found[order])
    np.testing.assert_array_equal(silhouette_samples(X, names), found)
    assert (np.abs(found) <= 1).all()


def test_sampled(tmp_path):
    X, labels = _blobs(5000, 3, 4, seed=3)
    exact = silhouette_score(X, labels)
    found = silhouette_score(X, labels, form="sampled", sample_size=1000, random_state=0)
    assert found != exact
    assert found == pytest.approx(exact, abs=0.03)
    assert found == silhouette_score(X, labels, form="sampled", sample_size=1000, random_state=0)
    assert found != silhouette_score(X, labels, form="sampled", sample_size=1000, random_state=1)
    assert silhouette_score(X, labels, form="sampled", sample_size=9999) == pytest.approx(exact, rel=1e-15)
    # From a file, streamed: the same.
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "labels.npy", labels)
    arguments = tmp_path / "X.npy", tmp_path / "labels.npy"
    assert silhouette_score(*arguments, form="sampled", sample_size=1000, random_state=0, max_memory=100_000) == found
    assert silhouette_score(*arguments, max_memory=100_000) == exact


def test_samples_are_distinct_rows_with_a_cluster():
    labels = np.where(np.arange(1000) % 3 == 0, -1, 0).astype(np.int32)
    rows = sample_rows(labels, 200, seed=5)
    assert len(set(rows)) == 200
    assert (labels[rows] == 0).all()
    assert (np.diff(rows) > 0).all()


def test_noise_is_a_cluster_as_in_scikit_learn_or_left_out():
    X, labels = _blobs(300, 2, 4, seed=6)
    labels[::5] = -1
    assert silhouette_score(X, labels) == pytest.approx(sklearn_metrics.silhouette_score(X, labels), rel=1e-9)
    kept = labels >= 0
    theirs = sklearn_metrics.silhouette_score(X[kept], labels[kept])
    assert silhouette_score(X, labels, noise="ignore") == pytest.approx(theirs, rel=1e-9)
    with pytest.raises(DataError, match="all rows are noise"):
        silhouette_score(X, np.full(300, -1), noise="ignore")


def test_memory_does_not_grow_with_pairs_or_clusters(monkeypatch):
    """No table is larger than blocks allow, be there as many clusters as half the rows."""
    sizes = []
    original = CpuEngine.distance_sums

    def watched(self, a, b, runs_a, runs_b, form):
        found = original(self, a, b, runs_a, runs_b, form)
        sizes.append(max(table.nbytes for table in found))
        return found

    monkeypatch.setattr(CpuEngine, "distance_sums", watched)
    X = np.random.default_rng(7).normal(size=(3000, 2))
    silhouette_score(X, np.arange(3000) // 2)
    assert max(sizes) <= 16 * 256 * 512


@pytest.mark.parametrize("k", [1, 30])
def test_too_few_or_too_many_clusters(k):
    with pytest.raises(DataError, match=f"the number of clusters is {k}"):
        silhouette_score(np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % k)


def test_parameters_are_checked():
    X, labels = _blobs(30, 2, 3)
    for wrong in (
        {"metric": "minkowski"},
        {"form": "quick"},
        {"sample_size": 10},
        {"form": "sampled", "sample_size": 0},
        {"form": "simplified", "metric": "cosine"},
        {"noise": "drop"},
    ):
        with pytest.raises(ParameterError, match=next(iter(wrong.values())) if "noise" in wrong else "="):
            silhouette_score(X, labels, **wrong)
    with pytest.raises(ParameterError, match="form='sampled'"):
        silhouette_samples(X, labels, form="sampled")
    with pytest.raises(DataError, match="29 labels, but X has 30 rows"):
        silhouette_score(X, labels[:-1])


def test_concurrent_calls():
    X, labels = _blobs(600, 3, 4, seed=8)
    expected, found = silhouette_score(X, labels), []
    threads = [threading.Thread(target=lambda: found.append(silhouette_score(X, labels))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
