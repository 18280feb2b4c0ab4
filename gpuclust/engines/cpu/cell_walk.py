"""The walk over cells, and what lies around each: columns, nearest first, and in each a run of cells, hence of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.cpu.canonical_distance import EUCLIDEAN, MANHATTAN
from gpuclust.engines.cpu.cell_tree import lower_bound
from gpuclust.engines.cpu.compile import bare_kernel, kernel, part

__all__ = ["Walk", "beside", "enter", "joined", "measure", "out_of_reach", "start_walk"]

# So many columns are brought in order at most: those nearby end a count sooner.
_FEW_COLUMNS = 64
# A run of cells that begins further on than this is sought by bisection.
_FAR = 32


class Walk(NamedTuple):
    """Where a walk is.

    ``place`` (3,) int64: its column, the first cell behind that, and how many columns are listed around it. ``path``
    (depth,): the column's coordinates. Each column listed has its number in ``columns``, in ``offsets`` (., depth) how
    many columns away it lies in each leading feature, in ``used`` what that uses of the budget of gaps, and in ``lo``
    and ``hi`` the run of its cells that can hold neighbours of cell ``sought``. ``gaps`` (depth, offsets) are a row's
    distances to columns in each feature, in cells (euclidean: squared). ``stack`` is for listing columns.
    """

    place: np.ndarray
    path: np.ndarray
    columns: np.ndarray
    offsets: np.ndarray
    used: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    sought: np.ndarray
    gaps: np.ndarray
    stack: np.ndarray


@kernel
def start_walk(tree, rule):  # type: ignore[no-untyped-def]
    """A walk that is nowhere yet."""
    depth = tree.levels.size - 1
    breadth = 2 * _farthest_column(tree, rule) + 1
    most = 1
    for _ in range(depth):
        most = min(most * breadth, tree.n_columns)
    place = np.zeros(3, np.int64)
    place[0] = -1
    return Walk(
        place,
        np.empty(depth, np.int64),
        np.empty(most, np.int64),
        np.empty((most, depth), np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.zeros((depth, breadth)),
        np.zeros((4, depth + 1), np.int64),
    )


@part
def _farthest_column(tree, rule):  # type: ignore[no-untyped-def]
    """The largest offset, in one feature, of columns that can hold neighbours."""
    return ((rule.reach - 1) >> tree.width) + 1


@part
def joined(used, gap, metric):  # type: ignore[no-untyped-def]
    """What ``used`` becomes with a gap in one more feature."""
    if metric == EUCLIDEAN:
        return used + gap * gap
    if metric == MANHATTAN:
        return used + gap
    return max(used, gap)


@part
def enter(tree, rule, walk, cell):  # type: ignore[no-untyped-def]
    """Go to a cell; returns how many columns are listed around it, its own first."""
    if cell >= walk.place[1]:
        _enter_column(tree, rule, walk, cell)
    return walk.place[2]


@bare_kernel
def _enter_column(tree, rule, walk, cell):  # type: ignore[no-untyped-def]
    parents, cells = tree.levels[-2], tree.levels[-1]
    column = walk.place[0] + 1
    if cell >= tree.first[parents + column + 1]:
        column = lower_bound(tree.first, parents, cells - 1, cell + 1) - 1 - parents
    _find_path(tree, column, walk.path)
    n = _list_columns(tree, rule, walk)
    for q in range(n):
        walk.sought[q] = -1
        walk.lo[q] = tree.first[parents + walk.columns[q]]
        walk.hi[q] = walk.lo[q]
    walk.place[0], walk.place[1], walk.place[2] = column, tree.first[parents + column + 1], n


@bare_kernel
def _find_path(tree, column, path):  # type: ignore[no-untyped-def]
    """The coordinates that lead to a column."""
    node = column
    for level in range(tree.levels.size - 2, -1, -1):
        path[level] = tree.coordinates[tree.levels[level] + node]
        if level > 0:
            # The parent whose children begin last at or before the node.
            lo, hi = tree.levels[level - 1], tree.levels[level] - 1
            node = lower_bound(tree.first, lo, hi, node + 1) - 1 - lo


@bare_kernel
def _list_columns(tree, rule, walk):  # type: ignore[no-untyped-def]
    """List the columns that can hold neighbours of rows in that of the walk's path; returns how many."""
    depth = walk.path.size
    at, end, spent, offset = walk.stack[0], walk.stack[1], walk.stack[2], walk.stack[3]
    most = _farthest_column(tree, rule)
    listed = 0
    level = 0
    at[0] = lower_bound(tree.coordinates, 0, tree.levels[1] - 1, walk.path[0] - most)
    end[0] = tree.levels[1] - 1
    while level >= 0:
        node = at[level]
        if node >= end[level] or tree.coordinates[node] > walk.path[level] + most:
            level -= 1
            continue
        at[level] += 1
        offset[level] = tree.coordinates[node] - walk.path[level]
        used = joined(spent[level], max(abs(offset[level]) - 1, 0) << tree.width, rule.metric)
        if used > rule.budget:
            continue
        if level < depth - 1:
            level += 1
            spent[level] = used
            lo = tree.levels[level] + tree.first[node]
            end[level] = tree.levels[level] + tree.first[node + 1]
            at[level] = lower_bound(tree.coordinates, lo, end[level], walk.path[level] - most)
            continue
        _insert(walk, listed, node - tree.levels[level], used, offset)
        listed += 1
    return listed


@part
def _insert(walk, n, column, used, offset):  # type: ignore[no-untyped-def]
    """Add a column to n others: behind those that lie nearer, or last where there are many; the own one is first."""
    depth = walk.path.size
    distance = _distance(offset, depth)
    slot = n
    while slot > 0 and (n <= _FEW_COLUMNS or distance == 0) and _distance(walk.offsets[slot - 1], depth) > distance:
        walk.columns[slot], walk.used[slot] = walk.columns[slot - 1], walk.used[slot - 1]
        for level in range(depth):
            walk.offsets[slot, level] = walk.offsets[slot - 1, level]
        slot -= 1
    walk.columns[slot], walk.used[slot] = column, used
    for level in range(depth):
        walk.offsets[slot, level] = offset[level]


@part
def _distance(offset, depth):  # type: ignore[no-untyped-def]
    total = 0
    for level in range(depth):
        total += abs(offset[level])
    return total


@part
def beside(tree, rule, walk, cell, q):  # type: ignore[no-untyped-def]
    """The run (first, end) of cells of the q-th column listed that can hold neighbours of the walk's ``cell``."""
    if walk.sought[q] != cell:
        reach = rule.reaches[walk.used[q]]
        here = tree.coordinates[tree.levels[-1] + cell] >> tree.low
        end = np.int64(tree.first[tree.levels[-2] + walk.columns[q] + 1])
        walk.lo[q] = _seek(tree, walk.lo[q], end, (here - reach) << tree.low)
        walk.hi[q] = _seek(tree, max(walk.hi[q], walk.lo[q]), end, (here + reach + 1) << tree.low)
        walk.sought[q] = cell
    return walk.lo[q], walk.hi[q]


@part
def _seek(tree, at, end, wanted):  # type: ignore[no-untyped-def]
    """The first of the cells at .. end of a column whose code is not below ``wanted``."""
    cells = tree.levels[-1]
    if end - at > _FAR and tree.coordinates[cells + at + _FAR] < wanted:
        return lower_bound(tree.coordinates, cells + at + _FAR, cells + end, wanted) - cells
    while at < end and tree.coordinates[cells + at] < wanted:
        at += 1
    return at


@part
def measure(data, tree, rule, walk, i):  # type: ignore[no-untyped-def]
    """Take the distances of sorted row i of the walk's column to the columns around it."""
    breadth = walk.gaps.shape[1]
    for level in range(data.values.shape[0] - 1):
        place = (np.float64(data.values[level, i]) - tree.origin[level]) * tree.inverse
        for k in range(breadth):
            column = walk.path[level] + k - breadth // 2
            gap = max(max((column << tree.width) - place, place - ((column + 1) << tree.width)), 0.0)
            walk.gaps[level, k] = gap * gap if rule.metric == EUCLIDEAN else gap


@part
def out_of_reach(rule, walk, q):  # type: ignore[no-untyped-def]
    """Whether the row that was measured has no neighbours in the q-th column listed."""
    depth, middle = walk.gaps.shape[0], walk.gaps.shape[1] // 2
    total = 0.0
    for level in range(depth):
        gap = walk.gaps[level, middle + walk.offsets[q, level]]
        if rule.metric == EUCLIDEAN or rule.metric == MANHATTAN:
            total += gap
        else:
            total = max(total, gap)
    return total > rule.farthest
