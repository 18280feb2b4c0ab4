"""Operations on fixed centres against the oracle, for every chunking."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms import assignment
from gpuclust.algorithms.dataset import Dataset
from gpuclust.sources import as_source
from tests import reference

CHUNKINGS = [None, 1, 64, 1000]


def _data(engine, X, weights=None, chunk_rows=None):
    return Dataset(engine, as_source(X, chunk_rows=chunk_rows), weights)


def _case(dtype, d=13):
    rng = np.random.default_rng(d)
    X = np.ascontiguousarray(rng.normal(size=(200, d)) * 100, dtype=dtype)
    return X, X[::20].astype(np.float64) + 0.25, rng.uniform(0, 3, size=200)


@pytest.mark.parametrize("chunk_rows", CHUNKINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transform_is_the_oracle_s_distance(engine, dtype, chunk_rows):
    X, centers, _ = _case(dtype)
    found = assignment.transform(_data(engine, X, chunk_rows=chunk_rows), centers)
    assert found.shape == (200, 10)
    assert found.dtype == np.float64
    # The same canonical squares to the bit, one root each; centres farther out than the rows share their scale.
    scale = reference.scale(np.concatenate([X.astype(np.float64), centers]))
    np.testing.assert_array_equal(found, np.sqrt(reference.distances(X, centers, scale)) / scale)
    wide = np.linalg.norm(X.astype(np.longdouble)[:, None] - centers, axis=2)
    np.testing.assert_allclose(found, wide.astype(np.float64), rtol=1e-14)


@pytest.mark.parametrize("chunk_rows", CHUNKINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict_and_inertia(engine, dtype, chunk_rows):
    X, centers, weights = _case(dtype)
    centers = centers - 0.25
    labels = assignment.predict(_data(engine, X, chunk_rows=chunk_rows), centers)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, reference.assign(X, centers))
    for w in (None, weights):
        found = assignment.inertia(_data(engine, X, w, chunk_rows), centers, labels)
        assert found == reference.inertia(X, centers, labels, w)


def test_labels_that_are_not_the_nearest(engine):
    """Inertia is of the labels given."""
    X, _, _ = _case(np.float64, 3)
    centers, labels = X[:10], (np.arange(200) % 10).astype(np.int32)
    assert assignment.inertia(_data(engine, X), centers, labels) == reference.inertia(X, centers, labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["F", "strided"])
def test_centres_in_any_memory_layout(engine, dtype, layout):
    """Kernels read rows by address: what is not C-contiguous must be copied on the way."""
    X, centers, _ = _case(dtype)
    centers = centers - 0.25
    other = np.asfortranarray(centers) if layout == "F" else np.repeat(centers, 2, axis=0)[::2]
    assert not other.flags.c_contiguous
    data, labels = _data(engine, X), reference.assign(X, centers)
    np.testing.assert_array_equal(assignment.predict(data, other), labels)
    np.testing.assert_array_equal(assignment.transform(data, other), assignment.transform(data, centers))
    assert assignment.inertia(data, other, labels) == assignment.inertia(data, centers, labels)


def test_equal_centres_tie_to_the_lowest_index(engine):
    X = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    centers = np.repeat(X[:1], 40, axis=0).astype(np.float64)
    np.testing.assert_array_equal(assignment.predict(_data(engine, X), centers), np.zeros(100))
    centers[5:] = X[1]
    assert set(assignment.predict(_data(engine, X), centers)) <= {0, 5}


def test_fast_labels_are_the_screen_s(engine):
    X, centers, _ = _case(np.float32)
    exact, fast = (assignment.predict(_data(engine, X), centers, precision) for precision in ("exact", "fast"))
    np.testing.assert_array_equal(exact, fast)  # well separated: the screen has no doubt
