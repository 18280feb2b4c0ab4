"""The cells of a grid on a device: sorting, keys of any width, memory; all operations against all pairs of rows."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.cuda import cells as cells_module
from gpuclust.engines.cuda.cells import CudaCells
from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.survey import extent
from gpuclust.engines.neighborhood import METRICS, make_grid
from tests.emulation import EmulatedCuPy
from tests.emulation.sanitize import sanitized
from tests.kernels.grids import SCHEDULINGS, Neighbors, cloud, usual_eps


def cells_of(xp, data):
    """The rows in cells, on the device of ``xp``."""
    kernels = Kernels(Device(0, xp))
    rows = PlacedRows(kernels, xp.asarray(data.X))
    low, high = extent(kernels, rows)
    np.testing.assert_array_equal(low, data.X.min(axis=0))
    np.testing.assert_array_equal(high, data.X.max(axis=0))
    grid = make_grid(data.neighborhood, low, high)
    assert grid is not None
    return CudaCells(kernels, rows, grid, data.neighborhood)


def check(xp, data, enough=None):
    cells, enough = cells_of(xp, data), enough or data.usual_enough
    core = data.core(enough)
    np.testing.assert_array_equal(cells.cores(enough).get(), core)
    rng = np.random.default_rng(0)
    values, labels = rng.integers(-(2**62), 2**62, data.m), np.where(core, rng.integers(0, 9, data.m), -1)
    labels, on_device = labels.astype(np.int32), xp.asarray(core)
    np.testing.assert_array_equal(cells.sums(xp.asarray(values)).get(), (data.adjacent * values).sum(axis=1))
    np.testing.assert_array_equal(cells.components(on_device).get(), data.components(core))
    np.testing.assert_array_equal(cells.claim(on_device, xp.asarray(labels)).get(), data.claims(core, labels))
    np.testing.assert_array_equal(cells.nearest(on_device).get(), data.nearest(core))
    return cells


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 2, 3, 4, 8])
def test_all_pairs(cupy, d, metric):
    X = cloud(200, d, seed=d)
    check(cupy, Neighbors(X, usual_eps(X, metric), metric))


def test_float64(cupy):
    check(cupy, Neighbors(cloud(200, 2, np.float64), 0.375))


@pytest.mark.parametrize("d", [2, 3, 5])
def test_coordinates_of_many_bits(cupy, d):
    """Places up to 5e8 apart, 2**39 cells: single coordinates, and keys of several, do not fit 63 bits."""
    rng = np.random.default_rng(d)
    places = rng.integers(-(2**28), 2**28, (12, d))
    X = places[rng.integers(0, 12, 200)] + rng.integers(-16, 17, (200, d)) * 2.0**-13
    data = Neighbors(X, 2.0**-10 * np.sqrt(d))
    assert 0.01 < data.adjacent.mean() < 0.5
    cells = check(cupy, data)
    told = cells._tree
    assert len(told.starts) - 1 > 12
    assert told.coordinates.get().max() > 2**36


def test_many_features_of_some_bits(cupy):
    """None is too wide, all together are."""
    rng = np.random.default_rng(8)
    X = (rng.integers(-300, 300, (10, 8))[rng.integers(0, 10, 200)] + rng.normal(size=(200, 8)) * 0.3).astype(
        np.float32
    )
    check(cupy, Neighbors(X, 1.0))


def test_keys_keep_to_their_bits(cupy, monkeypatch):
    """As if integers had 20 bits: then ranks are needed of single coordinates and of leading ones."""
    data = Neighbors(np.random.default_rng(3).uniform(0, 3000, (200, 4)), 1.0)
    cells = cells_of(cupy, data)
    expected = cells._order.get()
    monkeypatch.setattr(cells_module, "_KEY_BITS", 20)
    monkeypatch.setattr(cells_module, "_RANK_BITS", 10)
    grid = make_grid(data.neighborhood, data.X.min(axis=0), data.X.max(axis=0))
    assert (grid.n_cells > 2**12).all()
    keys = cells._keys(cupy.asarray(data.X), grid).get()
    assert keys.max() < 2**20
    np.testing.assert_array_equal(np.argsort(keys), expected)


def test_the_tree_by_hand(cupy):
    # With this eps cells have a side just below 1 and rows of a line are in cells 0, 0, 2 and 5.
    X = np.array([[0.0, 8.0], [0.5, 8.5], [2.5, 8.0], [5.5, 8.0], [5.5, 0.0]])
    cells = cells_of(cupy, Neighbors(X, np.sqrt(2)))
    order, tree = cells._order.get().tolist(), cells._tree
    assert [sorted(order[:2]), order[2:]] == [[0, 1], [2, 4, 3]]
    assert tree.levels == [0, 4]
    assert tree.n_roots == 3
    assert tree.coordinates.get().tolist() == [0, 2, 5, 0, 8, 8, 0, 8, 0]
    assert tree.children.get().tolist() == [0, 1, 2, 4]
    assert tree.cells.get().tolist() == [0, 0, 1, 2, 3]
    assert tree.starts.get().tolist() == [0, 2, 3, 4, 5]


def test_one_row(cupy):
    check(cupy, Neighbors(np.array([[1.5, -2.0, 4.0]], np.float32), 1.0), enough=1)


def test_one_place(cupy):
    check(cupy, Neighbors(np.full((150, 2), 3.25, np.float32), 1e-3), enough=100)


def test_all_core_and_none(cupy):
    data = Neighbors(cloud(120, 2), 0.5)
    check(cupy, data, enough=1)
    check(cupy, data, enough=121)
    assert not cells_of(cupy, data).cores(2**40).get().any()


def test_denormal_rows(cupy):
    """A float32 that a device would flush to zero still has its cell."""
    X = np.rint(cloud(150, 2, np.float64) * 8) * 2.0**-149
    check(cupy, Neighbors(X.astype(np.float32), 5 * 2.0**-149))


@pytest.mark.emulated
@pytest.mark.parametrize("scheduling", SCHEDULINGS)
def test_any_order_of_threads(scheduling):
    check(EmulatedCuPy(asynchronous=True, **scheduling), Neighbors(cloud(200, 3), 0.625))


@pytest.mark.emulated
def test_memory():
    """What the docstring says, all rows in cells of their own."""
    m = 8192
    X = np.random.default_rng(0).permutation(np.arange(3 * m)).reshape(m, 3).astype(np.float32)
    data = Neighbors(X, 0.5)
    xp = EmulatedCuPy()
    cells = cells_of(xp, data)
    assert len(cells._tree.starts) == m + 1
    assert xp.machine.used[0] < (12 + 58) * m
    assert xp.machine.peak[0] < (12 + 58 + 50) * m


@pytest.mark.emulated
@pytest.mark.parametrize("sanitizer", ["asan", "tsan"])
def test_clean(sanitizer):
    sanitized(
        sanitizer, test_any_order_of_threads, scheduling={"order": "random", "seed": 7, "resident": 4, "yields": 30}
    )
