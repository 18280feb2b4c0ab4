"""scikit-learn's estimator checks for NearestNeighbors, exact and approximate."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpuclust import NearestNeighbors


@parametrize_with_checks([NearestNeighbors()])
def test_exact(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([NearestNeighbors(index=index) for index in ("ivf_flat", "ivf_pq", "hnsw")])
def test_approximate(estimator, check):
    check(estimator)
