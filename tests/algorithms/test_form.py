"""The choice between cells and pairs, and the estimate that it rests on."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.form import occupied_cells, prefers_cells
from gpuclust.engines import get_engine
from gpuclust.engines.neighborhood import Neighborhood, make_grid
from gpuclust.sources import as_source


def _grid(X, eps):
    return make_grid(Neighborhood.within(eps, "euclidean"), X.min(axis=0).astype(float), X.max(axis=0).astype(float))


def _occupied(X, eps):
    grid = _grid(X, eps)
    return len(np.unique(np.floor((X - grid.origin) * grid.inverse_side), axis=0))


def _prefers_cells(X, eps, **options):
    return prefers_cells(Dataset(get_engine("cpu"), as_source(X, **options)), _grid(X, eps))


def test_occupied_cells_by_hand():
    X = np.array([[0.5], [0.6], [3.5], [7.5], [7.6], [9.5]])
    grid = _grid(np.array([[0.0], [10.0]]), 1.0)
    # Four cells, two of them with one row, two with two: 2 * 1 / (2 * 3) of a cell is unseen.
    assert occupied_cells(X, grid, 6) == 4
    assert occupied_cells(X, grid, 10**6) == pytest.approx(4 + 1 / 3)
    assert occupied_cells(X[:5:3], grid, 2) == 2
    assert occupied_cells(np.repeat(X, 3, axis=0), grid, 10**6) == 4


@pytest.mark.parametrize("d", [3, 5])
@pytest.mark.parametrize("kind", ["uniform", "blobs"])
@pytest.mark.parametrize("rows_a_cell", [0.1, 1, 10])
def test_occupied_cells_of_all_rows(kind, d, rows_a_cell):
    rng, n = np.random.default_rng(d), 64_000
    X = rng.uniform(size=(n, d))
    if kind == "blobs":
        X = (8 * rng.normal(size=(5, d)))[rng.integers(5, size=n)] + rng.normal(size=(n, d))
        rows_a_cell *= 4**d
    eps = (rows_a_cell / n) ** (1 / d) * d**0.5
    estimate, true = occupied_cells(X[:4000], _grid(X, eps), n), _occupied(X, eps)
    assert 0.4 * true < estimate < 1.2 * true


@pytest.mark.parametrize("n", [20_000, 50_000])
@pytest.mark.parametrize("d", [4, 5, 6, 8])
def test_dense_rows_prefer_cells_and_sparse_rows_pairs(n, d):
    X = np.random.default_rng(d).uniform(size=(n, d))
    assert _prefers_cells(X, (100 / n) ** (1 / d) * d**0.5)
    assert not _prefers_cells(X, (0.05 / n) ** (1 / d) * d**0.5)


def test_few_features_and_many_rows_prefer_cells():
    X = np.random.default_rng(0).uniform(size=(20_000, 4))
    assert _prefers_cells(X[:, :3], 1e-4)
    assert not _prefers_cells(X, 1e-3)
    many = np.lib.stride_tricks.as_strided(X, (400_000, 4), (0, 8))
    assert _prefers_cells(many, 1e-3)


def test_rows_that_stream_are_chosen_for_by_the_small_sample():
    X = np.random.default_rng(1).uniform(size=(20_000, 4))
    assert _prefers_cells(X, 0.5, chunk_rows=3000)
    assert not _prefers_cells(X, 1e-3, chunk_rows=3000)
