"""What the neighbours of rows in cells say: compiled, for a run of cells at a time.

Sorted rows lie feature by feature, so that distances to a run of rows are vector code. They are computed in the rows'
own precision, without a scale, and compared with two limits: up to ``Rule.surely`` rows are neighbours, above
``Rule.hopeless`` they are not, and in between the canonical distance decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import FLOOR
from gpuclust.engines.cpu.canonical_distance import EUCLIDEAN, MANHATTAN, canonical_distance
from gpuclust.engines.cpu.cell_tree import lower_bound, near_columns
from gpuclust.engines.cpu.compile import kernel, part
from gpuclust.engines.cpu.union import find, union
from gpuclust.engines.cpu.vector import RUN, bit_count, run_chebyshev, run_euclidean, run_manhattan, trailing_zeros
from gpuclust.engines.neighborhood import METRICS, Grid, Neighborhood

__all__ = ["Rule", "Sorted", "claim", "count", "link", "make_rule", "nearest", "partition", "sum_values"]

# Rows of two cells are compared all with all up to so many pairs; beyond, those near the other cell are sought first.
_CROWD = 4096
# So many columns are brought in order at most: those nearby end a count sooner.
_FEW_COLUMNS = 64


class Rule(NamedTuple):
    """The test for neighbours, and which cells can hold them.

    ``reaches`` (budget + 1,): how far neighbours are in another column, by what of the budget that column uses.
    """

    metric: int
    scale: float
    limit: float
    surely: float
    hopeless: float
    error: float
    unscale: float
    floor: float
    reach: int
    budget: int
    reaches: np.ndarray
    most_columns: int


class Sorted(NamedTuple):
    """Rows sorted by cells: ``values`` (d, m) feature by feature, ``rows`` (m, d) as they were given, in ``order``.

    ``n_core`` (cells,) int32: of each cell's rows, so many leading ones are core rows.
    """

    values: np.ndarray
    rows: np.ndarray
    order: np.ndarray
    n_core: np.ndarray


def make_rule(neighborhood: Neighborhood, grid: Grid, dtype: np.dtype, n_columns: int) -> Rule:
    """The rule for sorted rows of ``dtype``.

    A difference has one rounding, its square twice that and one more, and the sum one for each feature. What underflows
    is nothing beside eps within the range below; beyond it the canonical distance decides alone.
    """
    d = len(grid.origin)
    unit, range_ = (2.0**-24, 2.0**40) if dtype == np.float32 else (2.0**-53, 2.0**400)
    squared = neighborhood.metric == "euclidean"
    error = (d + 8) * unit
    surely, hopeless, unscale = -1.0, np.inf, 1.0
    if 1 / range_ <= neighborhood.eps <= range_:
        limit = neighborhood.eps**2 if squared else neighborhood.eps
        surely, hopeless = limit * (1 - error), limit * (1 + error)
        unscale = neighborhood.scale ** (-2 if squared else -1)
    budgets = np.arange(grid.budget + 1)
    left = grid.budget - budgets if neighborhood.metric != "chebyshev" else np.full(len(budgets), grid.budget)
    reaches = 1 + (np.floor(np.sqrt(left)) if squared else left).astype(np.int64)
    most = min(n_columns, (2 * grid.reach + 1) ** max(d - 1, 1))
    return Rule(
        METRICS.index(neighborhood.metric), neighborhood.scale, neighborhood.limit, float(surely), float(hopeless),
        error, unscale, d * FLOOR[dtype], grid.reach, grid.budget, reaches, most,
    )  # fmt: skip


# -- distances ---------------------------------------------------------------------------------------------------------


@part
def _canonical(rows, i, j, rule):  # type: ignore[no-untyped-def]
    return canonical_distance(rows, i, rows, j, rule.scale, rule.metric)


@part
def _near(data, i, at, end, below, above, rule):  # type: ignore[no-untyped-def]
    """Of the rows at .. end, ``RUN`` at most: those within ``below`` of sorted row i, and those only within ``above``.

    Bit k is of row at + k.
    """
    if rule.metric == EUCLIDEAN:
        masks = run_euclidean(data.values, i, at, below, above)
    elif rule.metric == MANHATTAN:
        masks = run_manhattan(data.values, i, at, below, above)
    else:
        masks = run_chebyshev(data.values, i, at, below, above)
    live = (np.uint64(1) << np.uint64(min(RUN, end - at))) - np.uint64(1)
    sure = masks & live
    return sure, (masks >> np.uint64(RUN)) & live & ~sure


@part
def _confirmed(data, i, at, doubtful, rule):  # type: ignore[no-untyped-def]
    """Of the doubtful bits of rows from ``at`` on, those of neighbours of sorted row i."""
    found = np.uint64(0)
    while doubtful != 0:
        k = trailing_zeros(doubtful)
        doubtful &= doubtful - np.uint64(1)
        if _canonical(data.rows, data.order[i], data.order[at + k], rule) <= rule.limit:
            found |= np.uint64(1) << np.uint64(k)
    return found


@part
def _count_run(data, i, lo, hi, surely, hopeless, rule, most):  # type: ignore[no-untyped-def]
    """How many of the rows lo .. hi are neighbours of sorted row i; once there are ``most``, no more are sought."""
    total = np.int64(0)
    for at in range(lo, hi, RUN):
        sure, doubtful = _near(data, i, at, hi, surely, hopeless, rule)
        if doubtful != 0:
            sure |= _confirmed(data, i, at, doubtful, rule)
        total += bit_count(sure)
        if total >= most:
            break
    return total


# -- walks -------------------------------------------------------------------------------------------------------------


@kernel
def _path(tree, column, path):  # type: ignore[no-untyped-def]
    """The coordinates that lead to a column."""
    node = column
    for level in range(tree.levels.size - 2, -1, -1):
        path[level] = tree.coordinates[tree.levels[level] + node]
        if level > 0:
            # The parent whose children begin last at or before the node.
            lo, hi = tree.levels[level - 1], tree.levels[level] - 1
            node = lower_bound(tree.first, lo, hi, node + 1) - 1 - lo


@kernel
def _enter(tree, column, rule, path, columns, used):  # type: ignore[no-untyped-def]
    """List a column's neighbours, itself first and, where they are few, the nearest before others; returns how many."""
    _path(tree, column, path)
    n = near_columns(tree, path, rule.reach, rule.budget, rule.metric, columns, used)
    for q in range(n):
        if columns[q] == column:
            columns[q], columns[0] = columns[0], columns[q]
            used[q], used[0] = used[0], used[q]
            break
    if n <= _FEW_COLUMNS:
        for q in range(2, n):
            number, cost = columns[q], used[q]
            at = q
            while at > 1 and used[at - 1] > cost:
                columns[at] = columns[at - 1]
                used[at] = used[at - 1]
                at -= 1
            columns[at] = number
            used[at] = cost
    return n


@part
def _seek(tree, column, wanted, at):  # type: ignore[no-untyped-def]
    """From cell ``at`` on, or the column's first (at < 0), the first cell of a column not below ``wanted``."""
    level, parents = tree.levels[-1], tree.levels[-2]
    end = np.int64(tree.first[parents + column + 1])
    if at < 0:
        at = np.int64(tree.first[parents + column])
        if end - at > 32:
            return lower_bound(tree.coordinates, level + at, level + end, wanted) - level
    while at < end and tree.coordinates[level + at] < wanted:
        at += 1
    return at


@kernel
def _column_of(tree, cell):  # type: ignore[no-untyped-def]
    parents = tree.levels[-2]
    return lower_bound(tree.first, parents, tree.levels[-1] - 1, cell + 1) - 1 - parents


# -- counting ----------------------------------------------------------------------------------------------------------


@kernel
def count(data, tree, rule, surely, hopeless, first_cell, end_cell, enough, core):  # type: ignore[no-untyped-def]
    """Mark the rows (by their given positions) of cells first_cell .. end_cell that have ``enough`` neighbours.

    ``surely`` and ``hopeless`` are the rule's limits in the rows' precision.
    """
    path = np.empty(tree.levels.size - 1, np.int64)
    columns = np.empty(rule.most_columns, np.int64)
    used = np.empty(rule.most_columns, np.int64)
    lo = np.empty(rule.most_columns, np.int64)
    hi = np.empty(rule.most_columns, np.int64)
    level = tree.levels[-1]
    starts = tree.first[level:]
    column = _column_of(tree, first_cell) - 1
    end_of_column = first_cell
    n = 0
    for cell in range(first_cell, end_cell):
        if cell >= end_of_column:
            column += 1
            end_of_column = tree.first[tree.levels[-2] + column + 1]
            n = _enter(tree, column, rule, path, columns, used)
            for q in range(n):
                lo[q] = -1
                hi[q] = -1
        start, end = starts[cell], starts[cell + 1]
        if end - start >= enough:
            for i in range(start, end):
                core[data.order[i]] = 1
            continue
        here = tree.coordinates[level + cell]
        # How many of the columns have been sought for this cell: those that its rows have come to.
        sought = 0
        for i in range(start, end):
            total = end - start
            for q in range(n):
                if q == sought:
                    reach = rule.reaches[used[q]]
                    lo[q] = _seek(tree, columns[q], here - reach, lo[q])
                    hi[q] = _seek(tree, columns[q], here + reach + 1, max(hi[q], lo[q]))
                    sought += 1
                first, last = starts[lo[q]], starts[hi[q]]
                if q == 0:
                    # The cell's own rows have been counted.
                    total += _count_run(data, i, first, start, surely, hopeless, rule, enough - total)
                    first = end
                if total < enough:
                    total += _count_run(data, i, first, last, surely, hopeless, rule, enough - total)
                if total >= enough:
                    core[data.order[i]] = 1
                    break


@kernel
def sum_values(data, tree, rule, surely, hopeless, first_cell, end_cell, values, sums):  # type: ignore[no-untyped-def]
    """Add up ``values`` (m,) int64, sorted as the rows are, over the neighbours of the rows of some cells.

    ``sums`` (m,) are in the order in which the rows were given.
    """
    path = np.empty(tree.levels.size - 1, np.int64)
    columns = np.empty(rule.most_columns, np.int64)
    used = np.empty(rule.most_columns, np.int64)
    level = tree.levels[-1]
    starts = tree.first[level:]
    column, n = np.int64(-1), 0
    for cell in range(first_cell, end_cell):
        if column < 0 or cell >= tree.first[tree.levels[-2] + column + 1]:
            column = _column_of(tree, cell)
            n = _enter(tree, column, rule, path, columns, used)
        here = tree.coordinates[level + cell]
        own = np.int64(0)
        for i in range(starts[cell], starts[cell + 1]):
            own += values[i]
        for i in range(starts[cell], starts[cell + 1]):
            sums[data.order[i]] = own
        for q in range(n):
            reach = rule.reaches[used[q]]
            lo = _seek(tree, columns[q], here - reach, -1)
            hi = _seek(tree, columns[q], here + reach + 1, lo)
            for i in range(starts[cell], starts[cell + 1]):
                for at in range(starts[lo], starts[hi], RUN):
                    sure, doubtful = _near(data, i, at, starts[hi], surely, hopeless, rule)
                    sure |= _confirmed(data, i, at, doubtful, rule)
                    while sure != 0:
                        j = at + trailing_zeros(sure)
                        sure &= sure - np.uint64(1)
                        # The cell's own rows have been added.
                        if j < starts[cell] or j >= starts[cell + 1]:
                            sums[data.order[i]] += values[j]


# -- core rows ---------------------------------------------------------------------------------------------------------


@kernel
def partition(data, starts, first_cell, end_cell, core):  # type: ignore[no-untyped-def]
    """Bring the core rows of each cell to its front, and count them."""
    order, values = data.order, data.values
    for cell in range(first_cell, end_cell):
        front, back = starts[cell], starts[cell + 1]
        while front < back:
            if core[order[front]]:
                front += 1
                continue
            back -= 1
            if core[order[back]]:
                order[front], order[back] = order[back], order[front]
                for q in range(values.shape[0]):
                    values[q, front], values[q, back] = values[q, back], values[q, front]
        data.n_core[cell] = front - starts[cell]


@kernel
def _near_box(data, lo, hi, other_lo, other_hi, hopeless, metric, found):  # type: ignore[no-untyped-def]
    """List those of the rows lo .. hi that are not too far from the box around other_lo .. other_hi; returns how many.

    The box's faces are coordinates of rows: rounding is that of a distance.
    """
    values = data.values
    d = values.shape[0]
    low = np.empty(d, values.dtype)
    high = np.empty(d, values.dtype)
    for q in range(d):
        low[q] = values[q, other_lo]
        high[q] = values[q, other_lo]
        for j in range(other_lo + 1, other_hi):
            low[q] = min(low[q], values[q, j])
            high[q] = max(high[q], values[q, j])
    n = 0
    for i in range(lo, hi):
        total = values.dtype.type(0)
        for q in range(d):
            x = values[q, i]
            outside = max(max(low[q] - x, x - high[q]), values.dtype.type(0))
            if metric == EUCLIDEAN:
                total += outside * outside
            elif metric == MANHATTAN:
                total += outside
            else:
                total = max(total, outside)
        if total <= hopeless:
            found[n] = i
            n += 1
    return n


@kernel
def _touch(data, lo, hi, other_lo, other_hi, surely, hopeless, rule):  # type: ignore[no-untyped-def]
    """Whether one of the rows lo .. hi is a neighbour of one of other_lo .. other_hi."""
    if (hi - lo) * (other_hi - other_lo) <= _CROWD:
        if hi - lo > other_hi - other_lo:
            lo, hi, other_lo, other_hi = other_lo, other_hi, lo, hi
        for i in range(lo, hi):  # noqa: SIM110
            if _count_run(data, i, other_lo, other_hi, surely, hopeless, rule, 1) > 0:
                return True
        return False
    near = np.empty(hi - lo, np.int64)
    n = _near_box(data, lo, hi, other_lo, other_hi, hopeless, rule.metric, near)
    if n == 0:
        return False
    others = np.empty(other_hi - other_lo, np.int64)
    n_others = _near_box(data, other_lo, other_hi, lo, hi, hopeless, rule.metric, others)
    for p in range(n):
        i = near[p]
        # The near ones of a cell often follow each other: take them by runs.
        k = 0
        while k < n_others:
            begin = k
            while k + 1 < n_others and others[k + 1] == others[k] + 1:
                k += 1
            k += 1
            if _count_run(data, i, others[begin], others[k - 1] + 1, surely, hopeless, rule, 1) > 0:
                return True
    return False


@kernel
def link(data, tree, rule, surely, hopeless, first_cell, end_cell, parent):  # type: ignore[no-untyped-def]
    """Join cells first_cell .. end_cell with those before them that hold a core neighbour of one of their core rows."""
    path = np.empty(tree.levels.size - 1, np.int64)
    columns = np.empty(rule.most_columns, np.int64)
    used = np.empty(rule.most_columns, np.int64)
    lo = np.empty(rule.most_columns, np.int64)
    level = tree.levels[-1]
    starts = tree.first[level:]
    column = _column_of(tree, first_cell) - 1
    end_of_column = first_cell
    n = 0
    for cell in range(first_cell, end_cell):
        if cell >= end_of_column:
            column += 1
            end_of_column = tree.first[tree.levels[-2] + column + 1]
            n = _enter(tree, column, rule, path, columns, used)
            for q in range(n):
                lo[q] = -1
        if data.n_core[cell] == 0:
            continue
        start = starts[cell]
        here = tree.coordinates[level + cell]
        for q in range(n):
            if columns[q] > column:
                continue
            reach = rule.reaches[used[q]]
            lo[q] = _seek(tree, columns[q], here - reach, lo[q])
            end = min(cell, tree.first[tree.levels[-2] + columns[q] + 1])
            for other in range(lo[q], end):
                if tree.coordinates[level + other] > here + reach:
                    break
                if data.n_core[other] == 0 or find(parent, cell) == find(parent, other):
                    continue
                if _touch(
                    data, start, start + data.n_core[cell], starts[other], starts[other] + data.n_core[other],
                    surely, hopeless, rule,
                ):  # fmt: skip
                    union(parent, cell, other)


@kernel
def claim(data, tree, rule, surely, hopeless, first_cell, end_cell, labels, out):  # type: ignore[no-untyped-def]
    """Give the rows of some cells that are not core rows the lowest label among their core neighbours, in ``out``."""
    path = np.empty(tree.levels.size - 1, np.int64)
    columns = np.empty(rule.most_columns, np.int64)
    used = np.empty(rule.most_columns, np.int64)
    level = tree.levels[-1]
    starts = tree.first[level:]
    column, n = np.int64(-1), 0
    for cell in range(first_cell, end_cell):
        begin = starts[cell] + data.n_core[cell]
        if begin == starts[cell + 1]:
            continue
        if column < 0 or cell >= tree.first[tree.levels[-2] + column + 1]:
            column = _column_of(tree, cell)
            n = _enter(tree, column, rule, path, columns, used)
        here = tree.coordinates[level + cell]
        for q in range(n):
            reach = rule.reaches[used[q]]
            other = _seek(tree, columns[q], here - reach, -1)
            end = tree.first[tree.levels[-2] + columns[q] + 1]
            while other < end and tree.coordinates[level + other] <= here + reach:
                start, n_core = starts[other], data.n_core[other]
                if n_core > 0:
                    label = labels[data.order[start]]
                    for i in range(begin, starts[cell + 1]):
                        # No label is -1, which is the largest as an unsigned number.
                        if np.uint32(label) < np.uint32(out[data.order[i]]) and (
                            other == cell or _count_run(data, i, start, start + n_core, surely, hopeless, rule, 1) > 0
                        ):
                            out[data.order[i]] = label
                other += 1


@kernel
def nearest(data, tree, rule, surely, hopeless, first_cell, end_cell, out):  # type: ignore[no-untyped-def]
    """Give the rows of some cells that are not core rows the position of their nearest core neighbour, in ``out``."""
    path = np.empty(tree.levels.size - 1, np.int64)
    columns = np.empty(rule.most_columns, np.int64)
    used = np.empty(rule.most_columns, np.int64)
    level = tree.levels[-1]
    starts = tree.first[level:]
    column, n = np.int64(-1), 0
    # Screened distances lie within this factor of the canonical ones, but for what underflows.
    slack = 1.0 + 4.0 * rule.error
    kind = data.values.dtype.type
    never = kind(-1)
    for cell in range(first_cell, end_cell):
        begin = starts[cell] + data.n_core[cell]
        if begin == starts[cell + 1]:
            continue
        if column < 0 or cell >= tree.first[tree.levels[-2] + column + 1]:
            column = _column_of(tree, cell)
            n = _enter(tree, column, rule, path, columns, used)
        here = tree.coordinates[level + cell]
        for i in range(begin, starts[cell + 1]):
            least, winner, within = rule.limit, np.int32(-1), hopeless
            row = data.order[i]
            for q in range(n):
                reach = rule.reaches[used[q]]
                other = _seek(tree, columns[q], here - reach, -1)
                end = tree.first[tree.levels[-2] + columns[q] + 1]
                while other < end and tree.coordinates[level + other] <= here + reach:
                    stop = starts[other] + data.n_core[other]
                    for at in range(starts[other], stop, RUN):
                        _, near = _near(data, i, at, stop, never, within, rule)
                        while near != 0:
                            position = data.order[at + trailing_zeros(near)]
                            near &= near - np.uint64(1)
                            distance = _canonical(data.rows, row, position, rule)
                            if distance < least or (distance == least and (winner < 0 or position < winner)):
                                least, winner = distance, position
                                if surely >= 0:
                                    within = min(within, kind(distance * rule.unscale * slack + rule.floor))
                    other += 1
            out[row] = winner
