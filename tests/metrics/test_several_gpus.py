"""Scores on several GPUs at once: the CPU's bits."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.engines.cuda import split, stripes
from gpuclust.metrics.internal import (
    calinski_harabasz_of,
    davies_bouldin_of,
    dbcv_of,
    inertia_of,
    silhouette_of,
    silhouette_samples_of,
)
from gpuclust.sources import as_source
from tests.emulation import EmulatedCuPy

pytestmark = [pytest.mark.emulated, pytest.mark.slow]


def test_every_score(monkeypatch):
    monkeypatch.setattr(stripes, "STRIPE", 64)
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, size=150).astype(np.int32)
    X = (rng.normal(size=(4, 3))[labels] * 4 + rng.normal(size=(150, 3))).astype(np.float32)
    engines = split.SplitCudaEngine([0, 1], EmulatedCuPy(asynchronous=True, n_devices=2)), get_engine("cpu")
    several, one = (Dataset(engine, as_source(X)) for engine in engines)
    for score in (silhouette_of, davies_bouldin_of, calinski_harabasz_of, inertia_of, dbcv_of):
        assert score(several, labels) == score(one, labels), score.__name__
    for options in ({"form": "simplified"}, {"metric": "sqeuclidean"}, {"rows": np.array([3, 70, 149])}):
        found, expected = (silhouette_samples_of(data, labels, **options) for data in (several, one))
        np.testing.assert_array_equal(found, expected)
