"""The bound of what FAISS computes: true of every score, by either of its formulas, and not wider than is useful."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.canonical import make_frame
from gpuclust.neighbors.bounds import LARGEST_COORDINATE, Bound
from gpuclust.neighbors.library import faiss_library
from tests.datasets import HARD, hard
from tests.neighbors.reference import opened

faiss = faiss_library()


@pytest.fixture(params=[1, 1 << 30], ids=["by products", "directly"])
def formula(request):
    """Make FAISS compute distances as |x|**2 + |y|**2 - 2 x.y, or from the differences."""
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = request.param
    yield
    faiss.cvar.distance_compute_blas_threshold = before


@pytest.mark.parametrize(("name", "dtype"), HARD)
def test_no_score_is_above_the_bound(name, dtype, formula):
    X = hard(name, dtype).X[:150]
    data = opened(X)
    frame = data.frame(data.column_max[None])
    rows = data.engine.conditioned(X, frame)
    scores, indices = faiss.knn(rows.values, rows.values, len(X))
    distances = np.take_along_axis(data.engine.pairwise(X, X, frame), indices, axis=1)
    bound = Bound.between(X.shape[1], X.shape[1], frame, frame)
    highest = bound.highest(distances, rows.squares[:, None])
    assert np.isfinite(highest).all()
    assert (scores <= highest).all()


def test_the_bound_is_narrow():
    X = hard("isotropic", np.float32).X
    data = opened(X)
    frame = data.frame(data.column_max[None])
    squares = data.engine.conditioned(X, frame).squares
    bound = Bound.between(24, 24, frame, frame)
    nearest = np.sort(data.engine.pairwise(X, X, frame), axis=1)[:, 1]
    truth = nearest * frame.unit**2
    assert (bound.highest(nearest, squares) < truth * 1.001).all()


def test_units():
    """Distances in one scale, scores in another."""
    search = make_frame(np.zeros(2), np.ones(2), 1.0, 10, 1.0)._replace(unit=8.0)
    canonical = search._replace(scale=search.scale / 4, unit=1.0)
    bound = Bound.between(2, 2, search, canonical)
    assert bound.factor == 32.0**2
    assert bound.highest(np.float64(3.0), np.float64(0.0)) == pytest.approx(3.0 * 32**2, rel=1e-4)


def test_queries_far_out_are_not_certified():
    bound = Bound(1e-6, 0.0, 1.0)
    highest = bound.highest(np.ones(3), np.array([1.0, np.nan, 4 * LARGEST_COORDINATE**2]))
    assert np.isfinite(highest[0])
    assert not np.isfinite(highest[1:]).any()
