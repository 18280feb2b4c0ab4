"""The nearest core row of new rows, on every engine, by cells, as centres, and by all distances."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import nearest_core
from gpuclust.engines.neighborhood import METRICS, Neighborhood
from gpuclust.sources import as_source
from tests import dbscan_reference as reference

# Of few features, by cells; of many, as centres (euclidean) or by all distances.
FEATURES = pytest.mark.parametrize("d", [2, 5, 12])
EVERY_METRIC = pytest.mark.parametrize("metric", METRICS)


def _assert_nearest(engine, queries, cores, eps, metric, chunk_rows=None):
    data = Dataset(engine, as_source(queries, chunk_rows=chunk_rows))
    found = nearest_core(data, cores, Neighborhood.within(eps, metric))
    expected = reference.predict(queries, cores, np.arange(len(cores), dtype=np.int32), eps, metric)
    np.testing.assert_array_equal(found, expected)
    return found


@FEATURES
@EVERY_METRIC
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest(engine, d, metric, dtype):
    rng = np.random.default_rng(d)
    cores, queries = (rng.normal(size=(n, d)).astype(dtype) for n in (90, 150))
    queries[:20], cores[70:] = cores[:20], cores[:20]  # the first of equals
    closest = np.median(reference.distances(queries[20:], cores, 1.0, metric).min(axis=1))
    eps = float(closest**0.5 if metric == "euclidean" else closest) / reference.scale(1.0)
    found = _assert_nearest(engine, queries, cores, eps, metric)
    np.testing.assert_array_equal(found[:20], np.arange(20))
    assert (found < 0).any()
    assert len(np.unique(found)) > 30
    _assert_nearest(engine, queries, cores, eps, metric, chunk_rows=64)


@FEATURES
@EVERY_METRIC
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-22, 1e-24, 1e-30])
def test_distances_whose_squares_float32_does_not_hold(engine, d, metric, dtype, size):
    """Core rows and queries in a heap so small that its distances vanish beside eps, and others at all distances."""
    rng = np.random.default_rng(d)
    heap, far = rng.normal(size=(60, d)) * size, rng.normal(size=(30, d)) * np.geomspace(size, 1, 30)[:, None]
    cores = np.concatenate([heap[:40], far[:15]])[rng.permutation(55)].astype(dtype)
    queries = np.concatenate([heap[40:], far[15:], cores[:10] * dtype(1 + 2**-20)]).astype(dtype)
    found = _assert_nearest(engine, queries, cores, 1.0, metric)
    assert len(np.unique(found[:20])) > 5


@pytest.mark.parametrize("d", [2, 12])
@EVERY_METRIC
def test_no_core_row_within_reach(engine, d, metric):
    cores = np.ones((3, d))
    assert _assert_nearest(engine, cores + 50, cores, 1.0, metric).tolist() == [-1] * 3
    assert (
        nearest_core(Dataset(engine, as_source(cores)), cores[:0], Neighborhood.within(1.0, metric)).tolist()
        == [-1] * 3
    )
