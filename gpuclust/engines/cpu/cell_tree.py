"""Rows sorted by the cells of a grid, and the tree of the cells that hold rows. No dense grid, no hash table.

A *column* is a stack of cells along the last feature, several cells wide in the others: few columns then lie around a
cell, and each offers a long run of rows. Columns have coordinates c >> width in the leading features, where c are those
of cells. Within its column a cell is told by its *code*: its coordinate in the last feature, then the ``width`` lowest
bits of each of the others. Cells are sorted by the coordinates of their columns, feature after feature, then by code; a
level of the tree has a node for every different leading part of them. A node's children are consecutive, so a walk over
the neighbours of a cell visits only what exists, and the neighbours in a column are one run of cells, hence of rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.cpu.compile import bare_kernel, kernel, part
from gpuclust.engines.cpu.sort import stable_order
from gpuclust.engines.cpu.threads import run_blocks
from gpuclust.engines.cpu.vector import RUN
from gpuclust.engines.neighborhood import Grid

__all__ = ["Tree", "lower_bound", "plant"]

_BLOCK = 1 << 16
_KEY_BITS, _RANK_BITS = 63, 31


class Tree(NamedTuple):
    """The cells that hold rows.

    ``coordinates`` (int64) and ``first`` (int32) hold the levels one after the other, level l from ``levels[l]`` on,
    with one more element at the end of each: coordinate of each node (of the last level: the code), and its first child
    (of the last level: its first row). There are ``n_columns`` nodes in the last level but one.

    ``origin`` (d,) and ``inverse`` make coordinates of values, features in the order of the levels; ``width`` as above,
    and ``low`` so many bits of a code in all.
    """

    levels: np.ndarray
    coordinates: np.ndarray
    first: np.ndarray
    n_columns: int
    origin: np.ndarray
    inverse: float
    width: int
    low: int

    @property
    def starts(self) -> np.ndarray:
        """First row of each cell, and the number of rows: (cells + 1,) int32."""
        return self.first[self.levels[-1] :]


def plant(rows: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Tree]:
    """Sort rows into cells: their order (m,) int32, the sorted rows (d, m + RUN) feature by feature, and the tree."""
    order = stable_order(*_keys(rows, grid))
    m, d = rows.shape
    sorted_rows = np.empty((d, m + RUN), rows.dtype)
    sorted_rows[:, m:] = 0
    run_blocks(lambda lo, hi: _gather(rows, order, grid.order, lo, hi, sorted_rows), m, _BLOCK)
    origin, inverse, width = grid.origin[grid.order], grid.inverse_side, _width(grid)
    # The first level in which a row's cell differs from that of the row before it: there new nodes begin.
    changes = np.empty(m, np.uint8)
    begun = np.stack(
        run_blocks(lambda lo, hi: _compare(sorted_rows, origin, inverse, width, lo, hi, changes), m, _BLOCK)
    )
    before = np.cumsum(begun, axis=0) - begun
    # A single feature has no columns: they get a level of their own, with one node.
    padding = int(d == 1)
    counts = np.ones(d + padding, np.int64)
    counts[padding:] = begun.sum(axis=0)
    levels = np.concatenate(([0], np.cumsum(counts + 1)[:-1]))
    coordinates, first = np.zeros(int((counts + 1).sum()), np.int64), np.zeros(int((counts + 1).sum()), np.int32)
    first[levels[:-1] + counts[:-1]] = counts[1:]
    first[-1] = m
    run_blocks(
        lambda lo, hi: _fill(
            sorted_rows, origin, inverse, width, changes, lo, hi, before[lo // _BLOCK], levels[padding:], coordinates,
            first,
        ),
        m,
        _BLOCK,
    )  # fmt: skip
    return (
        order,
        sorted_rows,
        Tree(levels, coordinates, first, int(counts[-2]), origin, inverse, width, width * (d - 1)),
    )


def _width(grid: Grid) -> int:
    """As many cells as neighbours reach, so that columns reach one column; fewer where codes would be too long."""
    leading = max(len(grid.order) - 1, 1)
    last = int(grid.n_cells[grid.order[-1]] - 1).bit_length()
    return min((grid.reach - 1).bit_length(), (_KEY_BITS - 1 - last) // leading)


def _keys(rows: np.ndarray, grid: Grid) -> tuple[np.ndarray, int]:
    """An int64 for each row, ordered as cells are, and how many bits of it are in use.

    Where coordinates take too many bits, their ranks take their place: there are no more of them than rows.
    """
    keys = np.zeros(len(rows), np.int64)
    used, low = 0, _width(grid)
    *leading, last = map(int, grid.order)
    bits = [int(count - 1).bit_length() for count in grid.n_cells]
    pieces = [(feature, low, max(bits[feature] - low, 0)) for feature in leading]
    pieces += [(last, 0, bits[last]), *((feature, 0, low) for feature in leading)]
    for feature, shift, width in pieces:
        column = None
        if width > _RANK_BITS:
            column, width = _ranks(_coordinates(rows, feature, grid, shift)), _RANK_BITS
        if used + width > _KEY_BITS:
            keys, used = _ranks(keys), _RANK_BITS
        if column is None:
            _append(rows, feature, grid, shift, width, keys)
        else:
            keys <<= width
            keys |= column
        used += width
    return keys, used


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.int64, copy=False)


def _coordinates(rows: np.ndarray, feature: int, grid: Grid, shift: int) -> np.ndarray:
    out = np.zeros(len(rows), np.int64)
    _append(rows, feature, grid, shift, _KEY_BITS, out)
    return out


def _append(rows: np.ndarray, feature: int, grid: Grid, shift: int, width: int, keys: np.ndarray) -> None:
    """Append to the keys ``width`` bits of the coordinates, but for the lowest ``shift``."""
    origin, inverse = float(grid.origin[feature]), grid.inverse_side
    run_blocks(
        lambda lo, hi: _append_bits(rows, feature, origin, inverse, shift, width, lo, hi, keys), len(rows), _BLOCK
    )


@part
def _cell(value, origin, inverse):  # type: ignore[no-untyped-def]
    # Not below zero: an int64 of what is not negative is its floor.
    return np.int64((np.float64(value) - origin) * inverse)


@bare_kernel
def _append_bits(rows, feature, origin, inverse, shift, width, lo, hi, keys):  # type: ignore[no-untyped-def]
    mask = (np.int64(1) << width) - 1
    for i in range(lo, hi):
        keys[i] = (keys[i] << width) | ((_cell(rows[i, feature], origin, inverse) >> shift) & mask)


@part
def _coordinate(rows, origin, inverse, width, level, i):  # type: ignore[no-untyped-def]
    """That of sorted row i's node in a level."""
    d = origin.size
    if level < d - 1:
        return _cell(rows[level, i], origin[level], inverse) >> width
    code = _cell(rows[level, i], origin[level], inverse)
    for leading in range(d - 1):
        low = _cell(rows[leading, i], origin[leading], inverse) & ((1 << width) - 1)
        code = (code << width) | low
    return code


@bare_kernel
def _gather(rows, order, features, lo, hi, out):  # type: ignore[no-untyped-def]
    for i in range(lo, hi):
        for level in range(features.size):
            out[level, i] = rows[order[i], features[level]]


@kernel
def _compare(rows, origin, inverse, width, lo, hi, changes):  # type: ignore[no-untyped-def]
    """Find the ``changes`` of rows lo .. hi; returns how many nodes begin with them in each level."""
    d = origin.size
    begun = np.zeros(d, np.int64)
    for i in range(lo, hi):
        change = 0
        if i > 0:
            while change < d and (
                _coordinate(rows, origin, inverse, width, change, i)
                == _coordinate(rows, origin, inverse, width, change, i - 1)
            ):
                change += 1
        changes[i] = change
        for level in range(change, d):
            begun[level] += 1
    return begun


@bare_kernel
def _fill(rows, origin, inverse, width, changes, lo, hi, before, levels, coordinates, first):  # type: ignore[no-untyped-def]
    """Write the nodes that begin with rows lo .. hi, of which there are so many ``before`` in each level."""
    d = origin.size
    for i in range(lo, hi):
        for level in range(changes[i], d):
            node = levels[level] + before[level]
            coordinates[node] = _coordinate(rows, origin, inverse, width, level, i)
            # The child that comes next is the first of this node.
            first[node] = i if level == d - 1 else before[level + 1]
            before[level] += 1


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
