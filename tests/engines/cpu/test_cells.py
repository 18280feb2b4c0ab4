"""Cells on the CPU: columns of any width around a cell show the same neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.cpu import cell_tree
from gpuclust.engines.cpu.cell_tree import plant
from gpuclust.engines.cpu.cells import CpuCells
from gpuclust.engines.neighborhood import METRICS, Neighborhood, make_grid


def grid_of(rows, neighborhood):
    grid = make_grid(neighborhood, rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64))
    assert grid is not None
    return grid


def distances(rows, metric):
    apart = np.abs(rows[:, None].astype(np.float64) - rows[None].astype(np.float64))
    return {"euclidean": np.sqrt((apart**2).sum(-1)), "manhattan": apart.sum(-1), "chebyshev": apart.max(-1)}[metric]


def test_the_tree_of_five_rows_by_hand(monkeypatch):
    # Cells of side 1 (1 - 2**-8), two to a column: columns 0 and 1, the second with two cells at the same height.
    rows = np.array([[3.0, 9.0], [0.0, 0.0], [2.0, 9.0], [1.0, 5.0], [0.1, 0.1]])
    neighborhood = Neighborhood.within(np.sqrt(2), "euclidean")
    order, values, tree = plant(rows, grid_of(rows, neighborhood))
    assert tree.width == 1
    assert order.tolist() == [1, 4, 3, 2, 0]
    np.testing.assert_array_equal(values[:, :5].T, rows[order])
    assert tree.coordinates[tree.levels[0] :][:2].tolist() == [0, 1]
    # A code is the height, then whether the cell is the left or the right one of its column.
    assert tree.coordinates[tree.levels[1] :][:4].tolist() == [0 << 1 | 0, 5 << 1 | 1, 9 << 1 | 0, 9 << 1 | 1]
    assert tree.starts.tolist() == [0, 2, 3, 4, 5]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_columns_of_any_width(d, metric, monkeypatch):
    rng = np.random.default_rng(d)
    for shift in (0.0, 1e5):
        rows = rng.normal(size=(300, d)) + shift
        apart = distances(rows, metric)
        # Between two distances (each is there twice): rounding decides nothing.
        eps = float(np.sort(apart, axis=None)[[9001, 9002]].mean())
        near = apart <= eps
        neighborhood = Neighborhood.within(eps, metric)
        grid = grid_of(rows, neighborhood)
        weights = rng.integers(-9, 9, len(rows))
        core = near.sum(axis=1) >= 30
        for width in range(cell_tree._width(grid) + 1):
            monkeypatch.setattr(cell_tree, "_width", lambda grid, width=width: width)
            cells = CpuCells(rows, grid, neighborhood)
            np.testing.assert_array_equal(cells.cores(30), core)
            np.testing.assert_array_equal(cells.sums(weights), near @ weights)
            monkeypatch.undo()
            nearest = cells.nearest(core.astype(np.uint8))
            candidates = np.where(near & core, apart, np.inf)
            expected = np.where(np.isinf(candidates.min(axis=1)), -1, candidates.argmin(axis=1))
            np.testing.assert_array_equal(nearest, expected)


def test_cells_at_the_edge_of_what_a_grid_holds():
    """Columns a row could just not reach: rows at the corners of neighbouring columns, eps apart and a little more."""
    neighborhood = Neighborhood.within(1.0, "euclidean")
    for step, expected in ((1.0, 2), (1.0 + 1e-9, 1)):
        for axis in range(3):
            rows = np.zeros((2, 3))
            rows[1, axis] = step
            # A third row far away, so that cells are many; it has no neighbours.
            rows = np.concatenate([rows, [[-1e9, -1e9, 1e9]]]) if step == 1.0 else rows
            cells = CpuCells(rows, grid_of(rows, neighborhood), neighborhood)
            assert cells.sums(np.ones(len(rows), np.int64))[:2].tolist() == [expected, expected]
