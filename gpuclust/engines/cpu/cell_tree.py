"""Rows sorted by the cells of a grid, and the tree of the cells that hold rows. No dense grid, no hash table.

Cells are sorted by their coordinates, feature after feature; a level of the tree has a node for every different leading
part of them. A node's children are consecutive, so a walk over the neighbours of a cell visits only what exists. The
cells of one node of the last level but one are a *column*: neighbours in a column are one run of cells, hence of rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.cpu.canonical_distance import EUCLIDEAN, MANHATTAN
from gpuclust.engines.cpu.compile import kernel, part
from gpuclust.engines.cpu.threads import run_blocks
from gpuclust.engines.cpu.vector import RUN
from gpuclust.engines.neighborhood import Grid

__all__ = ["Tree", "lower_bound", "near_columns", "plant"]

_BLOCK = 1 << 16
_KEY_BITS, _RANK_BITS = 63, 31


class Tree(NamedTuple):
    """The cells that hold rows.

    ``coordinates`` (int64) and ``first`` (int32) hold the levels one after the other, level l from ``levels[l]`` on,
    with one more element at the end of each: coordinate of each node, and its first child (of the last level: its first
    row). ``column`` is where the level of columns lies among these, ``n_columns`` their number.
    """

    levels: np.ndarray
    coordinates: np.ndarray
    first: np.ndarray
    n_columns: int

    @property
    def starts(self) -> np.ndarray:
        """First row of each cell, and the number of rows: (cells + 1,) int32."""
        return self.first[self.levels[-1] :]


def plant(rows: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Tree]:
    """Sort rows into cells: their order (m,) int32, the sorted rows (d, m + RUN) feature by feature, and the tree.

    A single feature gets a level above it with one node, so that there are columns.
    """
    order = np.argsort(_keys(rows, grid)).astype(np.int32)
    m, d = rows.shape
    sorted_rows = np.empty((d, m + RUN), rows.dtype)
    sorted_rows[:, m:] = 0
    run_blocks(lambda lo, hi: _gather(rows, order, grid.order, lo, hi, sorted_rows), m, _BLOCK)
    origin = grid.origin[grid.order]
    padding = int(d == 1)
    counts = np.ones(d + padding, np.int64)
    _count_nodes(sorted_rows, m, origin, grid.inverse_side, counts[padding:])
    levels = np.concatenate(([0], np.cumsum(counts + 1)[:-1]))
    coordinates, first = np.zeros(int((counts + 1).sum()), np.int64), np.zeros(int((counts + 1).sum()), np.int32)
    _fill_nodes(sorted_rows, m, origin, grid.inverse_side, levels[padding:], coordinates, first)
    if padding:
        first[1] = counts[1]
    return order, sorted_rows, Tree(levels, coordinates, first, int(counts[-2]))


def _keys(rows: np.ndarray, grid: Grid) -> np.ndarray:
    """An int64 for each row, ordered as the coordinates of cells are.

    Where coordinates take too many bits, their ranks take their place: there are no more of them than rows.
    """
    keys = np.zeros(len(rows), np.int64)
    width = 0
    for feature in map(int, grid.order):
        bits = int(grid.n_cells[feature] - 1).bit_length()
        column = None
        if bits > _RANK_BITS:
            column, bits = _ranks(_coordinates(rows, feature, grid)), _RANK_BITS
        if width + bits > _KEY_BITS:
            keys, width = _ranks(keys), _RANK_BITS
        if column is None:
            _append(rows, feature, grid, bits, keys)
        else:
            keys <<= bits
            keys |= column
        width += bits
    return keys


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.int64, copy=False)


def _coordinates(rows: np.ndarray, feature: int, grid: Grid) -> np.ndarray:
    out = np.zeros(len(rows), np.int64)
    _append(rows, feature, grid, 0, out)
    return out


def _append(rows: np.ndarray, feature: int, grid: Grid, bits: int, keys: np.ndarray) -> None:
    origin, inverse = float(grid.origin[feature]), grid.inverse_side
    run_blocks(lambda lo, hi: _append_bits(rows, feature, origin, inverse, bits, lo, hi, keys), len(rows), _BLOCK)


@part
def _cell(value, origin, inverse):  # type: ignore[no-untyped-def]
    # Not below zero: an int64 of what is not negative is its floor.
    return np.int64((np.float64(value) - origin) * inverse)


@kernel
def _append_bits(rows, feature, origin, inverse, bits, lo, hi, keys):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        keys[i] = (keys[i] << bits) | _cell(rows[i, feature], origin, inverse)


@kernel
def _gather(rows, order, features, lo, hi, out):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        for level in range(features.size):
            out[level, i] = rows[order[i], features[level]]


@part
def _differing_level(rows, origin, inverse, i):  # type: ignore[no-untyped-def]
    """The first level in which the cell of sorted row i differs from that of the row before it."""
    for level in range(origin.size):
        here = _cell(rows[level, i], origin[level], inverse)
        if here != _cell(rows[level, i - 1], origin[level], inverse):
            return level
    return origin.size


@kernel
def _count_nodes(rows, m, origin, inverse, counts):  # type: ignore[no-untyped-def]
    for i in range(1, m):
        for level in range(_differing_level(rows, origin, inverse, i), origin.size):
            counts[level] += 1


@kernel
def _fill_nodes(rows, m, origin, inverse, levels, coordinates, first):  # type: ignore[no-untyped-def]
    d = rows.shape[0]
    at = levels.copy()
    for i in range(m):
        for level in range(0 if i == 0 else _differing_level(rows, origin, inverse, i), d):
            node = at[level]
            at[level] += 1
            coordinates[node] = _cell(rows[level, i], origin[level], inverse)
            # The child that comes next is the first of this node.
            first[node] = i if level == d - 1 else at[level + 1] - levels[level + 1]
    for level in range(d):
        first[at[level]] = m if level == d - 1 else at[level + 1] - levels[level + 1]


@part
def _gap(used, offset, metric):  # type: ignore[no-untyped-def]
    """What ``used`` becomes with the gap of two cells ``offset`` apart in one more feature."""
    gap = max(abs(offset) - 1, 0)
    if metric == EUCLIDEAN:
        return used + gap * gap
    if metric == MANHATTAN:
        return used + gap
    return max(used, gap)


@part
def lower_bound(values, lo, hi, wanted):  # type: ignore[no-untyped-def]
    """The first place in [lo, hi) of rising ``values`` that is not below ``wanted``."""
    while lo < hi:
        middle = (lo + hi) // 2
        if values[middle] < wanted:
            lo = middle + 1
        else:
            hi = middle
    return lo


@kernel
def near_columns(tree, path, reach, budget, metric, columns, used):  # type: ignore[no-untyped-def]
    """List the columns that may hold neighbours of those of the column whose leading coordinates are ``path``.

    Their numbers go to ``columns``, what they use of the ``budget`` to ``used``; returns how many.
    """
    depth = tree.levels.size - 1
    at = np.empty(depth, np.int64)
    end = np.empty(depth, np.int64)
    spent = np.zeros(depth + 1, np.int64)
    listed = 0
    level = 0
    at[0] = lower_bound(tree.coordinates, 0, tree.levels[1] - 1, path[0] - reach)
    end[0] = tree.levels[1] - 1
    while level >= 0:
        node = at[level]
        if node >= end[level] or tree.coordinates[node] > path[level] + reach:
            level -= 1
            continue
        at[level] += 1
        total = _gap(spent[level], tree.coordinates[node] - path[level], metric)
        if total > budget:
            continue
        if level == depth - 1:
            columns[listed] = node - tree.levels[level]
            used[listed] = total
            listed += 1
        else:
            level += 1
            spent[level] = total
            lo = tree.levels[level] + tree.first[node]
            end[level] = tree.levels[level] + tree.first[node + 1]
            at[level] = lower_bound(tree.coordinates, lo, end[level], path[level] - reach)
    return listed
