"""Core rows in cells: joining their cells, claiming the rows beside them, and finding the nearest of them."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.canonical_distance import EUCLIDEAN, MANHATTAN
from gpuclust.engines.cpu.cell_rule import canonical, count_run, near
from gpuclust.engines.cpu.cell_walk import beside, enter, joined, measure, out_of_reach
from gpuclust.engines.cpu.compile import bare_kernel, kernel, part
from gpuclust.engines.cpu.union import find, union
from gpuclust.engines.cpu.vector import RUN, trailing_zeros

__all__ = ["CROWD", "claim", "link", "name", "nearest", "partition"]

# Rows of two cells are compared all with all up to so many pairs; beyond, those near the other cell are sought first.
CROWD = 4096


@bare_kernel
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


@bare_kernel
def _near_box(data, lo, hi, other_lo, other_hi, hopeless, metric, box, found):  # type: ignore[no-untyped-def]
    """List those of the rows lo .. hi that are not too far from the ``box`` of other_lo .. other_hi; returns how many.

    The box's faces are coordinates of rows: rounding is that of a distance.
    """
    values = data.values
    d = values.shape[0]
    for q in range(d):
        box[0, q] = box[1, q] = values[q, other_lo]
        for j in range(other_lo + 1, other_hi):
            box[0, q] = min(box[0, q], values[q, j])
            box[1, q] = max(box[1, q], values[q, j])
    n = 0
    for i in range(lo, hi):
        total = values.dtype.type(0)
        for q in range(d):
            x = values[q, i]
            outside = max(max(box[0, q] - x, x - box[1, q]), values.dtype.type(0))
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


@bare_kernel
def _touch(data, lo, hi, other_lo, other_hi, surely, hopeless, rule, box, found):  # type: ignore[no-untyped-def]
    """Whether one of the rows lo .. hi is a neighbour of one of other_lo .. other_hi."""
    if (hi - lo) * (other_hi - other_lo) <= CROWD:
        if hi - lo > other_hi - other_lo:
            lo, hi, other_lo, other_hi = other_lo, other_hi, lo, hi
        for i in range(lo, hi):  # noqa: SIM110
            if count_run(data, i, other_lo, other_hi, surely, hopeless, rule, 1) > 0:
                return True
        return False
    n = _near_box(data, lo, hi, other_lo, other_hi, hopeless, rule.metric, box, found[0])
    if n == 0:
        return False
    n_others = _near_box(data, other_lo, other_hi, lo, hi, hopeless, rule.metric, box, found[1])
    for p in range(n):
        # The near ones of a cell often follow each other: take them by runs.
        k = 0
        while k < n_others:
            begin = k
            while k + 1 < n_others and found[1, k + 1] == found[1, k] + 1:
                k += 1
            k += 1
            last = found[1, k - 1] + 1
            if count_run(data, np.int64(found[0, p]), np.int64(found[1, begin]), last, surely, hopeless, rule, 1) > 0:
                return True
    return False


@part
def _apart(tree, rule, walk, q, code, other_code):  # type: ignore[no-untyped-def]
    """Whether the gap between a cell and one of the q-th column listed leaves no room for neighbours."""
    used = np.int64(0)
    if tree.width > 0:
        mask = (np.int64(1) << tree.width) - 1
        for level in range(walk.path.size):
            shift = tree.low - tree.width * (level + 1)
            step = (walk.offsets[q, level] << tree.width) + ((other_code >> shift) & mask) - ((code >> shift) & mask)
            used = joined(used, max(abs(step) - 1, 0), rule.metric)
    else:
        used = walk.used[q]
    step = (other_code >> tree.low) - (code >> tree.low)
    return joined(used, max(abs(step) - 1, 0), rule.metric) > rule.budget


@bare_kernel
def link(data, tree, rule, walk, surely, hopeless, first_cell, end_cell, box, found, parent):  # type: ignore[no-untyped-def]
    """Join cells first_cell .. end_cell with those before them that hold a core neighbour of one of their core rows.

    ``box`` (2, d) and ``found`` (2, rows) are for pairs of rows of two cells that are more than ``CROWD``.
    """
    starts, codes = tree.first[tree.levels[-1] :], tree.coordinates[tree.levels[-1] :]
    for cell in range(first_cell, end_cell):
        if data.n_core[cell] == 0:
            continue
        n = enter(tree, rule, walk, cell)
        start, end = starts[cell], starts[cell] + data.n_core[cell]
        root = find(parent, cell)
        for q in range(n):
            if walk.columns[q] > walk.place[0]:
                continue
            lo, hi = beside(tree, rule, walk, cell, q)
            for other in range(lo, min(cell, hi)):
                n_core = data.n_core[other]
                if n_core == 0 or parent[other] == root or _apart(tree, rule, walk, q, codes[cell], codes[other]):
                    continue
                if find(parent, other) == root:
                    continue
                if _touch(data, start, end, starts[other], starts[other] + n_core, surely, hopeless, rule, box, found):
                    union(parent, cell, other)
                    root = find(parent, cell)


@kernel
def name(data, starts, parent, out):  # type: ignore[no-untyped-def]
    """Give each core row the smallest position in its component."""
    smallest = np.full(parent.size, np.int32(2**31 - 1))
    for cell in range(parent.size):
        root = find(parent, cell)
        for i in range(starts[cell], starts[cell] + data.n_core[cell]):
            smallest[root] = min(smallest[root], data.order[i])
    for cell in range(parent.size):
        root = find(parent, cell)
        for i in range(starts[cell], starts[cell] + data.n_core[cell]):
            out[data.order[i]] = smallest[root]


@bare_kernel
def claim(data, tree, rule, walk, surely, hopeless, first_cell, end_cell, labels, out):  # type: ignore[no-untyped-def]
    """Give the rows of some cells that are not core rows the lowest label among their core neighbours, in ``out``."""
    starts = tree.first[tree.levels[-1] :]
    for cell in range(first_cell, end_cell):
        begin = starts[cell] + data.n_core[cell]
        if begin == starts[cell + 1]:
            continue
        n = enter(tree, rule, walk, cell)
        for i in range(begin, starts[cell + 1]):
            least = out[data.order[i]]
            measure(data, tree, rule, walk, i)
            for q in range(n):
                if out_of_reach(rule, walk, q):
                    continue
                lo, hi = beside(tree, rule, walk, cell, q)
                for other in range(lo, hi):
                    n_core = data.n_core[other]
                    if n_core == 0:
                        continue
                    start = starts[other]
                    label = labels[data.order[start]]
                    # No label is -1, which is the largest as an unsigned number.
                    if np.uint32(label) < np.uint32(least) and (
                        other == cell or count_run(data, i, start, start + n_core, surely, hopeless, rule, 1) > 0
                    ):
                        least = label
            out[data.order[i]] = least


@bare_kernel
def nearest(data, tree, rule, walk, surely, hopeless, first_cell, end_cell, out):  # type: ignore[no-untyped-def]
    """Give the rows of some cells that are not core rows the position of their nearest core neighbour, in ``out``."""
    starts = tree.first[tree.levels[-1] :]
    # Screened distances lie within this factor of the canonical ones, but for what underflows.
    slack = 1.0 + 4.0 * rule.error
    kind = data.values.dtype.type
    never = kind(-1)
    for cell in range(first_cell, end_cell):
        begin = starts[cell] + data.n_core[cell]
        if begin == starts[cell + 1]:
            continue
        n = enter(tree, rule, walk, cell)
        for i in range(begin, starts[cell + 1]):
            least, winner, within = rule.limit, np.int32(-1), hopeless
            row = data.order[i]
            measure(data, tree, rule, walk, i)
            for q in range(n):
                if out_of_reach(rule, walk, q):
                    continue
                lo, hi = beside(tree, rule, walk, cell, q)
                for other in range(lo, hi):
                    stop = starts[other] + data.n_core[other]
                    for at in range(starts[other], stop, RUN):
                        _, close = near(data, i, at, stop, never, within, rule)
                        while close != 0:
                            position = data.order[at + trailing_zeros(close)]
                            close &= close - np.uint64(1)
                            distance = canonical(data.rows, row, position, rule)
                            if distance < least or (distance == least and (winner < 0 or position < winner)):
                                least, winner = distance, position
                                if surely >= 0:
                                    within = min(within, kind(distance * rule.unscale * slack + rule.floor))
            out[row] = winner
