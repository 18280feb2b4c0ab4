"""Components, and cores around other rows: by hand, against all pairs, in any order of threads, without races."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from gpuclust.engines.neighborhood import METRICS
from tests.emulation import Module
from tests.emulation.sanitize import sanitized
from tests.kernels.grids import SCHEDULINGS, SHAPES, THREADS, Sorted, blocks, boxes, cloud, usual_eps

LARGEST = np.int32(2**31 - 1)


class Cores(NamedTuple):
    """The core rows of `Sorted` rows, and the others."""

    rows: np.ndarray
    boxes: np.ndarray
    starts: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, data, core):
        chosen = np.flatnonzero(core[data.order])
        rows, starts = data.rows[chosen], np.searchsorted(chosen, data.starts).astype(np.int32)
        others = np.flatnonzero(core[data.order] == 0).astype(np.int32)
        return cls(rows, boxes(rows), starts, data.order[chosen], data.cells[chosen], others)


def _kernel(data, name, **options):
    return Module("dbscan_link", data.defines, **options).get_function(name)


def _linked(data, cores, **options):
    parent = np.arange(len(data.starts) - 1, dtype=np.int32)
    arguments = (*data.walk, cores.rows, cores.boxes, cores.starts, cores.cells, np.int32(len(cores.rows)), parent)
    _kernel(data, "link_cells", **options)(blocks(len(cores.rows)), (THREADS,), arguments)
    return parent


def _components(data, core, **options):
    cores, out = Cores.of(data, core), np.full(data.m, -1, np.int32)
    parent = _linked(data, cores, **options)
    n, grid = np.int32(len(cores.rows)), blocks(len(cores.rows))
    arguments = (cores.positions, cores.cells, n, parent, np.full(len(parent), LARGEST))
    _kernel(data, "name_components", **options)(grid, (THREADS,), arguments)
    _kernel(data, "label_cores", **options)(grid, (THREADS,), (*arguments, out))
    return out


def _of_others(name, data, core, values, **options):
    cores, out = Cores.of(data, core), np.full(data.m, -7, np.int32)
    _kernel(data, name, **options)(
        blocks(len(cores.others)), (THREADS,),
        (*data.walk, cores.rows, cores.boxes, cores.starts, data.rows, data.order, cores.others,
         np.int32(len(cores.others)), values[cores.positions], out),
    )  # fmt: skip
    return out


def check(data, enough, **options):
    core, others = data.core(enough), data.core(enough) == 0
    labels, everyone = (
        np.random.default_rng(1).integers(0, 5, data.m).astype(np.int32),
        np.arange(data.m, dtype=np.int32),
    )
    np.testing.assert_array_equal(_components(data, core, **options), data.components(core))
    claimed, nearest = (
        _of_others(*of, **options) for of in (("claim", data, core, labels), ("nearest", data, core, everyone))
    )
    np.testing.assert_array_equal(claimed, np.where(others, data.claims(core, labels), -7))
    np.testing.assert_array_equal(nearest, np.where(others, data.nearest(core), -7))


def test_by_hand():
    # Rows 0 to 2 stand in a line, eps apart; 3 is a pair of 4, and 5 lies between the two groups, nearer to row 2.
    data = Sorted(np.array([[0.0], [-1.0], [1.0], [4.0], [4.5], [2.0]]), 2.0)
    core = np.array([1, 1, 1, 1, 1, 0], np.uint8)
    assert _components(data, core).tolist() == [0, 0, 0, 3, 3, -1]
    labels = np.array([8, 8, 8, 3, 3, -1], np.int32)
    assert _of_others("claim", data, core, labels)[5] == 3
    assert _of_others("nearest", data, core, np.arange(6, dtype=np.int32))[5] == 2


def test_the_smallest_root_wins():
    data = Sorted(np.array([[3.0], [0.0], [4.0], [1.0], [9.0], [2.0]]), 1.0)
    assert len(data.starts) == 7
    parent = _linked(data, Cores.of(data, np.ones(6, np.uint8)))
    for _ in range(6):
        parent = parent[parent]
    assert parent.tolist() == [0, 0, 0, 0, 0, 5]


def test_equally_near_cores():
    data = Sorted(np.array([[3.0, 0.0], [0.0, 3.0], [0.0, 0.0], [-3.0, 0.0], [0.0, 3.0]], np.float32), 4.0)
    core = np.array([1, 1, 0, 1, 1], np.uint8)
    assert _of_others("nearest", data, core, np.arange(5, dtype=np.int32))[2] == 0


def test_a_label_of_none_is_the_highest():
    data = Sorted(np.array([[0.0], [1.0], [2.0]]), 1.0)
    core = np.array([1, 0, 1], np.uint8)
    assert _of_others("claim", data, core, np.array([-1, 0, 6], np.int32))[1] == 6
    assert _of_others("claim", data, core, np.array([-1, 0, -1], np.int32))[1] == -1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("d", "dtype"), SHAPES)
def test_all_pairs(d, metric, dtype):
    X = cloud(200, d, dtype, seed=d)
    data = Sorted(X, usual_eps(X, metric), metric)
    assert 0 < data.core(data.usual_enough).sum() < data.m
    check(data, data.usual_enough)


@pytest.mark.parametrize("metric", METRICS)
def test_crowds_that_do_and_do_not_touch(metric):
    """Cells of many cores: two that face each other beyond eps, and one that a single row joins to them."""
    rng = np.random.default_rng(2)
    crowd = rng.uniform(0, 0.3, (100, 2))
    crowds = [crowd + np.array(shift) for shift in ((0, 0), (1.31, 0), (0, 1.31))]
    X = np.concatenate((*crowds, [(0.15, 1.15), (9, 9)]))
    data = Sorted(X.astype(np.float32), 1.0, metric)
    core = data.core(5)
    assert set(data.components(core)) == {-1, 0, 100}
    check(data, 5)


@pytest.mark.parametrize("scheduling", SCHEDULINGS)
def test_any_order_of_threads(scheduling):
    check(Sorted(cloud(300, 2), 0.375), 4, **scheduling)


def comb(**scheduling):
    """Teeth of different lengths, held together at one end: the root of a tooth is hooked from both sides at once."""
    lengths = np.random.default_rng(4).integers(1, 12, 60)
    teeth = [(-0.6 * step, 1.2 * tooth) for tooth, length in enumerate(lengths) for step in range(length)]
    back = [(0.5, 1.2 * tooth + 0.6) for tooth in range(len(lengths) - 1)]
    X = np.random.default_rng(5).permutation(np.array(teeth + back))
    data = Sorted(X, 1.0)
    np.testing.assert_array_equal(_components(data, np.ones(data.m, np.uint8), **scheduling), 0)


@pytest.mark.parametrize("scheduling", SCHEDULINGS)
def test_no_link_is_lost(scheduling):
    comb(**scheduling)


@pytest.mark.parametrize("sanitizer", ["asan", "ubsan"])
def test_clean(sanitizer):
    sanitized(sanitizer, test_any_order_of_threads, scheduling={"order": "random", "seed": 5, "resident": 4})


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, scheduling={"order": "random", "seed": 5, "resident": 4, "yields": 30})
    sanitized("tsan", comb, order="random", seed=6, resident=4, yields=30)
