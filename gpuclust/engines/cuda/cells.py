"""Rows sorted into the cells of a grid on a device, and what their neighbours say: for few features.

A sorted row takes its own bytes once more and 8, a cell that holds rows 12, and as much each different leading part of
a cell's coordinates: for three features in float32 some 35 bytes a row, 57 at most. Operations on core rows copy those,
and take some 20 bytes a row besides; sorting takes some 50 bytes a row, for a moment.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.cuda.device import on_device
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.variants import Variant
from gpuclust.engines.neighborhood import METRICS, MOST_FEATURES, Grid, Neighborhood

__all__ = ["DEPTHS", "CudaCells"]

DEPTHS = (2, 3, MOST_FEATURES)
"""Levels of the trees that kernels are compiled for: the walk is a loop within a loop for each of them."""

_THREADS, _GRID_THREADS = 128, 256
_BOXED = 32  # rows to a box
_KEY_BITS, _RANK_BITS = 63, 31
_LARGEST = np.iinfo(np.int32).max
# `Grid` of kernels/grid.cuh.
_DESCRIPTION = np.dtype(
    [
        ("origin", np.float64, MOST_FEATURES), ("level", np.int64, MOST_FEATURES), ("feature", np.int32, MOST_FEATURES),
        ("inverse_side", np.float64), ("scale", np.float64), ("limit", np.float64),
        ("surely", np.float32), ("hopeless", np.float32),
        ("d", np.int32), ("metric", np.int32), ("budget", np.int32), ("n_roots", np.int32),
    ]
)  # fmt: skip


class _Tree(NamedTuple):
    """The cells that hold rows, as `kernels/grid.cuh` describes them; the levels' parts one after the other.

    Each part of ``coordinates`` (int64) and ``children`` (int32) ends with one more element; the last level has no
    children. ``cells`` (m,) and ``starts`` (cells + 1,) int32: the cell of each row, and the first row of each cell.
    """

    levels: list[int]
    n_roots: int
    coordinates: Any
    children: Any
    cells: Any
    starts: Any


class _Cores(NamedTuple):
    """The core rows, as `_Tree` and `CudaCells` have all rows."""

    rows: Any
    boxes: Any
    positions: Any
    cells: Any
    starts: Any

    def __len__(self) -> int:
        return int(self.rows.shape[0])


class CudaCells:
    """See `gpuclust.engines.neighborhood.Cells`."""

    def __init__(self, kernels: Kernels, rows: PlacedRows, grid: Grid, neighborhood: Neighborhood) -> None:
        self.device, self._kernels = kernels.device, kernels
        depth = next(depth for depth in DEPTHS if depth >= rows.n_features)
        self._grid_variant = Variant("dbscan_grid", rows.macros)
        macros = (*rows.macros, ("DEPTH", str(depth)))
        self._count_variant, self._link_variant = Variant("dbscan_count", macros), Variant("dbscan_link", macros)
        self._order = kernels.xp.argsort(self._keys(rows.values, grid)).astype(np.int32)
        self._rows = rows.values[self._order]
        self._boxes = self._boxes_of(self._rows)
        self._tree = self._tree_of(self._rows, grid, depth)
        self._walk = (self._description(grid, neighborhood), self._tree.coordinates, self._tree.children)

    @on_device
    def cores(self, enough: int) -> Any:
        """See `Cells`."""
        m, tree = len(self._order), self._tree
        core = self._kernels.xp.empty(m, np.uint8)
        self._kernels.launch(
            self._count_variant, "count_neighbors", -(-m // _THREADS), _THREADS,
            *self._walk, self._rows, self._boxes, tree.starts, tree.cells, self._order, np.int32(m),
            np.int32(min(enough, _LARGEST)), core,
        )  # fmt: skip
        return core

    @on_device
    def sums(self, values: Any) -> Any:
        """See `Cells`."""
        xp, m, tree = self._kernels.xp, len(self._order), self._tree
        totals, sums = xp.zeros(m + 1, np.int64), xp.empty(m, np.int64)
        totals[1:] = xp.cumsum(values[self._order])
        self._kernels.launch(
            self._count_variant, "sum_neighbors", -(-m // _THREADS), _THREADS,
            *self._walk, self._rows, self._boxes, tree.starts, tree.cells, self._order, np.int32(m),
            totals, sums,
        )  # fmt: skip
        return sums

    @on_device
    def components(self, core: Any) -> Any:
        """See `Cells`."""
        xp, cores = self._kernels.xp, self._cores(core)
        out = xp.full(len(self._order), -1, np.int32)
        n, n_cells = len(cores), len(self._tree.starts) - 1
        if n == 0:
            return out
        parent, smallest = xp.arange(n_cells, dtype=np.int32), xp.full(n_cells, _LARGEST, np.int32)
        self._kernels.launch(
            self._link_variant, "link_cells", -(-n // _THREADS), _THREADS,
            *self._walk, cores.rows, cores.boxes, cores.starts, cores.cells, np.int32(n), parent,
        )  # fmt: skip
        self._kernels.launch(
            self._link_variant, "name_components", -(-n // _THREADS), _THREADS,
            cores.positions, cores.cells, np.int32(n), parent, smallest,
        )  # fmt: skip
        self._kernels.launch(
            self._link_variant, "label_cores", -(-n // _THREADS), _THREADS,
            cores.positions, cores.cells, np.int32(n), parent, smallest, out,
        )  # fmt: skip
        return out

    @on_device
    def claim(self, core: Any, labels: Any) -> Any:
        """See `Cells`."""
        cores, others = self._cores(core), self._others(core)
        out = self._kernels.xp.where(core != 0, labels, np.int32(-1))
        if len(cores) and len(others):
            self._kernels.launch(
                self._link_variant, "claim", -(-len(others) // _THREADS), _THREADS,
                *self._walk, cores.rows, cores.boxes, cores.starts, self._rows, self._order, others,
                np.int32(len(others)), labels[cores.positions], out,
            )  # fmt: skip
        return out

    @on_device
    def nearest(self, core: Any) -> Any:
        """See `Cells`."""
        xp, cores, others = self._kernels.xp, self._cores(core), self._others(core)
        out = xp.where(core != 0, xp.arange(len(core), dtype=np.int32), np.int32(-1))
        if len(cores) and len(others):
            self._kernels.launch(
                self._link_variant, "nearest", -(-len(others) // _THREADS), _THREADS,
                *self._walk, cores.rows, cores.boxes, cores.starts, self._rows, self._order, others,
                np.int32(len(others)), cores.positions, out,
            )  # fmt: skip
        return out

    # -- sorting -----------------------------------------------------------------------------------------------------

    def _coordinates(self, rows: Any, feature: int, grid: Grid) -> Any:
        """The coordinates (m,) int64 of the rows' cells along a feature."""
        m, d = rows.shape
        out = self._kernels.xp.empty(m, np.int64)
        self._kernels.launch(
            self._grid_variant, "coordinates", self._kernels.blocks(-(-m // _GRID_THREADS), 8), _GRID_THREADS,
            rows, np.int32(m), np.int32(d), np.int32(feature), np.float64(grid.origin[feature]),
            np.float64(grid.inverse_side), out,
        )  # fmt: skip
        return out

    def _keys(self, rows: Any, grid: Grid) -> Any:
        """An int64 for each row, ordered as the coordinates of cells are.

        Where coordinates take too many bits, their ranks take their place: there are no more of them than rows.
        """
        xp, keys, width = self._kernels.xp, None, 0
        for feature in map(int, grid.order):
            column, bits = self._coordinates(rows, feature, grid), int(grid.n_cells[feature] - 1).bit_length()
            if bits > _RANK_BITS:
                column, bits = _ranks(xp, column), _RANK_BITS
            if keys is None:
                keys, width = column, bits
                continue
            if width + bits > _KEY_BITS:
                keys, width = _ranks(xp, keys), _RANK_BITS
            keys <<= bits
            keys |= column
            width += bits
        return keys

    def _tree_of(self, rows: Any, grid: Grid, depth: int) -> _Tree:
        """The tree of the cells of sorted rows."""
        xp, m = self._kernels.xp, len(rows)
        padding = depth - len(grid.order)
        # A level's nodes begin where a row differs from the one before it in this coordinate or one of the former.
        differs = xp.zeros(m, np.bool_)
        differs[:1] = True
        end, parents = xp.zeros(1, np.int64), xp.zeros(1, np.int64)
        coordinates, children, levels = [xp.zeros(2, np.int64)] * padding, [], list(range(0, 2 * padding, 2))
        children = [xp.arange(2, dtype=np.int32)] * max(padding - 1, 0)
        for level, feature in enumerate(map(int, grid.order), start=padding):
            column = self._coordinates(rows, feature, grid)
            differs[1:] |= column[1:] != column[:-1]
            numbers = xp.cumsum(differs, dtype=np.int32)
            numbers -= 1
            starts = xp.nonzero(differs)[0]
            if level > 0:
                children.append(xp.concatenate((numbers[parents], xp.full(1, len(starts), np.int32))))
            levels.append(sum(map(len, coordinates)))
            coordinates.append(xp.concatenate((column[starts], end)))
            parents = starts
        n_roots = len(coordinates[0]) - 1
        starts = xp.concatenate((parents, xp.full(1, m, np.int64))).astype(np.int32)
        return _Tree(levels, n_roots, xp.concatenate(coordinates), xp.concatenate(children), numbers, starts)

    def _description(self, grid: Grid, neighborhood: Neighborhood) -> Any:
        """What kernels are told of the grid and of the test for neighbours: `Grid` of `kernels/grid.cuh`, as bytes."""
        told = np.zeros(1, _DESCRIPTION)
        padding = len(self._tree.levels) - len(grid.order)
        told["level"][0, : len(self._tree.levels)] = self._tree.levels
        told["feature"] = -1
        told["feature"][0, padding : len(self._tree.levels)] = grid.order
        told["origin"][0, padding : len(self._tree.levels)] = grid.origin[grid.order]
        told["surely"], told["hopeless"] = _screen_limits(neighborhood, len(grid.order))
        told["d"], told["metric"] = len(grid.order), METRICS.index(neighborhood.metric)
        told["inverse_side"], told["budget"], told["n_roots"] = grid.inverse_side, grid.budget, self._tree.n_roots
        told["scale"], told["limit"] = neighborhood.scale, neighborhood.limit
        return self._kernels.xp.asarray(told.view(np.uint8))

    def _boxes_of(self, rows: Any) -> Any:
        n, d = len(rows) // _BOXED, rows.shape[1]
        out = self._kernels.xp.empty((n, 2, d), rows.dtype)
        if n:
            self._kernels.launch(
                self._grid_variant, "boxes", self._kernels.blocks(-(-n * d // _GRID_THREADS), 8), _GRID_THREADS,
                rows, np.int32(n), np.int32(d), out,
            )  # fmt: skip
        return out

    # -- core rows ---------------------------------------------------------------------------------------------------

    def _cores(self, core: Any) -> _Cores:
        xp, tree = self._kernels.xp, self._tree
        chosen = xp.nonzero(core[self._order])[0]
        rows, starts = self._rows[chosen], xp.searchsorted(chosen, tree.starts).astype(np.int32)
        return _Cores(rows, self._boxes_of(rows), self._order[chosen], tree.cells[chosen], starts)

    def _others(self, core: Any) -> Any:
        return self._kernels.xp.nonzero(core[self._order] == 0)[0].astype(np.int32)


def _ranks(xp: Any, values: Any) -> Any:
    """How many different ones are smaller, for each of the values (int64)."""
    return xp.unique(values, return_inverse=True)[1].astype(np.int64)


def _screen_limits(neighborhood: Neighborhood, n_features: int) -> tuple[float, float]:
    """Distances computed in float32, without a scale, up to which rows are neighbours, and above which they are not.

    A difference of float32 has one rounding, twice that when squared, and the sum ``n_features``; the limits themselves
    have one. What is flushed to zero is below 2**-126 in each difference and each product, which is nothing beside
    eps within the range below. Beyond it the canonical distance decides alone.
    """
    if not 2.0**-40 <= neighborhood.eps <= 2.0**40:
        return -1.0, np.inf
    limit = neighborhood.eps**2 if neighborhood.metric == "euclidean" else neighborhood.eps
    error = (n_features + 8) * 2.0**-24
    return limit * (1 - error), limit * (1 + error)
