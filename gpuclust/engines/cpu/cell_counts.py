"""Counting the neighbours of rows in cells, and adding up values over them."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.cell_rule import confirmed, count_run, near
from gpuclust.engines.cpu.cell_walk import beside, enter, measure, out_of_reach
from gpuclust.engines.cpu.compile import bare_kernel
from gpuclust.engines.cpu.vector import RUN, trailing_zeros

__all__ = ["count", "sum_values"]


@bare_kernel
def count(data, tree, rule, walk, surely, hopeless, first_cell, end_cell, enough, core):  # type: ignore[no-untyped-def]
    """Mark the rows (by their given positions) of cells first_cell .. end_cell that have ``enough`` neighbours.

    ``surely`` and ``hopeless`` are the rule's limits in the rows' precision.
    """
    starts = tree.first[tree.levels[-1] :]
    for cell in range(first_cell, end_cell):
        start, end = starts[cell], starts[cell + 1]
        if end - start >= enough:
            for i in range(start, end):
                core[data.order[i]] = 1
            continue
        n = enter(tree, rule, walk, cell)
        for i in range(start, end):
            total = np.int64(end - start)
            for q in range(n):
                if q == 1:
                    measure(data, tree, rule, walk, i)
                if q > 0 and out_of_reach(rule, walk, q):
                    continue
                lo, hi = beside(tree, rule, walk, cell, q)
                first, last = starts[lo], starts[hi]
                if q == 0:
                    # The cell's own rows have been counted.
                    total += count_run(data, i, first, start, surely, hopeless, rule, enough - total)
                    first = end
                if total < enough:
                    total += count_run(data, i, first, last, surely, hopeless, rule, enough - total)
                if total >= enough:
                    core[data.order[i]] = 1
                    break


@bare_kernel
def sum_values(data, tree, rule, walk, surely, hopeless, first_cell, end_cell, values, sums):  # type: ignore[no-untyped-def]
    """Add up ``values`` (m,) int64, sorted as the rows are, over the neighbours of the rows of some cells.

    ``sums`` (m,) are in the order in which the rows were given.
    """
    starts = tree.first[tree.levels[-1] :]
    for cell in range(first_cell, end_cell):
        n = enter(tree, rule, walk, cell)
        start, end = starts[cell], starts[cell + 1]
        own = np.int64(0)
        for i in range(start, end):
            own += values[i]
        for i in range(start, end):
            total = own
            measure(data, tree, rule, walk, i)
            for q in range(n):
                if out_of_reach(rule, walk, q):
                    continue
                lo, hi = beside(tree, rule, walk, cell, q)
                for at in range(starts[lo], starts[hi], RUN):
                    sure, doubtful = near(data, i, at, starts[hi], surely, hopeless, rule)
                    sure |= confirmed(data, i, at, doubtful, rule)
                    while sure != 0:
                        j = at + trailing_zeros(sure)
                        sure &= sure - np.uint64(1)
                        # The cell's own rows have been added.
                        if j < start or j >= end:
                            total += values[j]
            sums[data.order[i]] = total
