"""Shapes around every boundary of the kernels: vector lanes, panels of centres, blocks of rows."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.sources import as_source
from tests import reference

ROWS = [1, 2, 31, 64, 500, 4095, 4097]
FEW_ROWS = [1, 2, 31, 64, 500, 127, 257]  # on the emulated device
FEATURES = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 130]
CLUSTERS = [1, 2, 3, 5, 8, 13, 14, 15, 16, 17, 33, 64, 100, 257]


def _spread(rng, n, d):
    return rng.normal(size=(n, d))


def _grid(rng, n, d):
    return rng.integers(-3, 4, size=(n, d)).astype(float)


def _tight(rng, n, d):
    return rng.normal(size=(20, d))[rng.integers(20, size=n)] * 10 + rng.normal(size=(n, d)) * 1e-3


def _low_rank(rng, n, d):
    return rng.normal(size=(n, d)) * 0.5 ** np.arange(d) @ rng.normal(size=(d, d))


def _far(rng, n, d):
    return rng.normal(size=(n, d)) + 1e5


KINDS = [_spread, _grid, _tight, _low_rank, _far]


@pytest.mark.parametrize("number", range(60))
def test_any_shape(engine, sized, number):
    rng = np.random.default_rng(number)
    n, d = int(rng.choice(sized(ROWS, FEW_ROWS))), int(rng.choice(FEATURES))
    k = min(n, int(rng.choice(CLUSTERS)))
    dtype = [np.float32, np.float64][number % 2]
    X = np.ascontiguousarray(KINDS[number % 5](rng, n, d), dtype=dtype)
    start = X[rng.choice(n, k, replace=False)].astype(np.float64)
    results = [
        lloyd.run(Dataset(engine, as_source(X, chunk_rows=chunk)), start, max_iter=4, tol=0.0, screen=screen)
        for screen, chunk in [("full", None), ("sketch", None), ("auto", max(1, n // 3))]
    ]
    np.testing.assert_array_equal(results[0].labels, reference.assign(X, results[0].centers))
    for result in results[1:]:
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_array_equal(result.centers, results[0].centers)
        assert result.inertia == results[0].inertia
