"""On every hard dataset: labels are the canonical argmin of every row, centres and inertia what the oracle says."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms import assignment, lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.sources import as_source
from tests import datasets, reference

pytestmark = pytest.mark.filterwarnings("error")  # nothing overflows or vanishes on the way


def _dataset(engine, X, weights=None, chunk_rows=None):
    return Dataset(engine, as_source(X, chunk_rows=chunk_rows), weights)


@pytest.mark.parametrize(("name", "dtype"), datasets.HARD)
def test_predict_is_the_canonical_argmin(engine, name, dtype):
    X, centers = datasets.hard(name, dtype)
    labels = assignment.predict(_dataset(engine, X), centers.astype(np.float64))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, reference.assign(X, centers))


@pytest.mark.parametrize("screen", ["full", "sketch"])
@pytest.mark.parametrize(("name", "dtype"), datasets.HARD)
def test_labels_and_inertia_after_lloyd(engine, name, dtype, screen):
    """Whatever the iterations did, labels and inertia belong to the centres returned."""
    X, centers = datasets.hard(name, dtype)
    result = lloyd.run(_dataset(engine, X), centers.astype(np.float64), max_iter=6, tol=0.0, screen=screen)
    np.testing.assert_array_equal(result.labels, reference.assign(X, result.centers))
    np.testing.assert_array_equal(result.centers, result.centers.astype(dtype).astype(np.float64))
    assert result.inertia == reference.inertia(X, result.centers, result.labels)
    assert result.n_distinct == len(np.unique(result.labels))


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(("name", "dtype"), datasets.HARD)
def test_one_iteration_gives_the_exact_means(engine, name, dtype, weighted):
    X, centers = datasets.hard(name, dtype)
    weights = datasets.weights(len(X)) if weighted else None
    result = lloyd.run(_dataset(engine, X, weights), centers.astype(np.float64), max_iter=1, tol=0.0)
    expected = reference.lloyd(X, centers, weights, max_iter=1)
    # One rounding to the dtype, and for weights those of the products w * x, which are relative to the column's
    # maximum.
    unit = np.abs(X.astype(np.float64)).max(axis=0)
    smallest = np.finfo(dtype).smallest_subnormal
    slack = np.finfo(dtype).eps * np.abs(expected.centers) + 2.0**-50 * unit + float(smallest)
    assert (np.abs(result.centers - expected.centers) <= slack).all()
    assert result.n_iter == expected.n_iter


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    ("name", "dtype"), [case for case in datasets.HARD if case.values[0] not in {"d_4096", "isotropic"}]
)
def test_lloyd_follows_the_oracle(engine, name, dtype, weighted):
    """The whole loop: relocation of empty clusters, stopping rule, number of iterations."""
    X, centers = datasets.hard(name, dtype)
    weights = datasets.weights(len(X)) if weighted else None
    result = lloyd.run(_dataset(engine, X, weights), centers.astype(np.float64), max_iter=8, tol=1e-4)
    expected = reference.lloyd(X, centers, weights, max_iter=8, tol=1e-4)
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert result.n_iter == expected.n_iter
    # A centre is rounded once to the dtype by the oracle, and up to three times by the engine.
    rounding = len(X) * float(np.abs(X).max() * np.finfo(dtype).eps) ** 2
    assert result.inertia == pytest.approx(expected.inertia, rel=1e-5, abs=rounding)


@pytest.mark.parametrize("dtype", datasets.NARROW, ids=lambda dtype: np.dtype(dtype).name)
def test_narrow_dtypes_are_exact(engine, dtype):
    X, centers = datasets.narrow(dtype)
    data = _dataset(engine, X)
    result = lloyd.run(data, centers.astype(np.float64), max_iter=6, tol=0.0)
    wide = X.astype(data.dtype)
    np.testing.assert_array_equal(wide.astype(X.dtype), X)
    np.testing.assert_array_equal(result.labels, reference.assign(wide, result.centers))
    assert result.inertia == reference.inertia(wide, result.centers, result.labels)


@pytest.mark.parametrize(("name", "dtype"), datasets.HARD)
def test_transform_is_the_root_of_the_canonical_distance(engine, name, dtype):
    X, centers = datasets.hard(name, dtype)
    distances = assignment.transform(_dataset(engine, X), centers.astype(np.float64))
    expected = np.sqrt(reference.distances(X, centers)) / reference.scale(X)
    np.testing.assert_allclose(distances, expected, rtol=4e-16, atol=0)
