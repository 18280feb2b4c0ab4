"""Which rows of a run of sorted rows are neighbours of one of them.

Sorted rows lie feature by feature, so that distances to a run of rows are vector code. They are computed in the rows'
own precision, without a scale, and compared with two limits: up to ``Rule.surely`` rows are neighbours, above
``Rule.hopeless`` they are not, and in between the canonical distance decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import FLOOR
from gpuclust.engines.cpu.canonical_distance import EUCLIDEAN, MANHATTAN, canonical_distance
from gpuclust.engines.cpu.compile import part
from gpuclust.engines.cpu.vector import RUN, bit_count, run_chebyshev, run_euclidean, run_manhattan, trailing_zeros
from gpuclust.engines.neighborhood import METRICS, SLACK, Grid, Neighborhood

__all__ = ["Rule", "Sorted", "canonical", "confirmed", "count_run", "make_rule", "near"]


class Rule(NamedTuple):
    """The test for neighbours, and which cells can hold them.

    ``reaches`` (budget + 1,): how far neighbours are in another column, by what of the budget that column uses.
    ``farthest``: how far, in cells, a row's neighbours are; squared for the euclidean metric.
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
    farthest: float


class Sorted(NamedTuple):
    """Rows sorted by cells: ``values`` (d, m) feature by feature, ``rows`` (m, d) as they were given, in ``order``.

    ``n_core`` (cells,) int32: of each cell's rows, so many leading ones are core rows.
    """

    values: np.ndarray
    rows: np.ndarray
    order: np.ndarray
    n_core: np.ndarray


def make_rule(neighborhood: Neighborhood, grid: Grid, dtype: np.dtype) -> Rule:
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
    # Computed places are SLACK cells from true ones.
    farthest = neighborhood.eps * grid.inverse_side * (1 + 2.0**-40) + 3 * SLACK * d
    if squared:
        farthest *= farthest
    return Rule(
        METRICS.index(neighborhood.metric), neighborhood.scale, neighborhood.limit, float(surely), float(hopeless),
        error, unscale, d * FLOOR[dtype], grid.reach, grid.budget, reaches, farthest,
    )  # fmt: skip


@part
def canonical(rows, i, j, rule):  # type: ignore[no-untyped-def]
    return canonical_distance(rows, i, rows, j, rule.scale, rule.metric)


@part
def near(data, i, at, end, below, above, rule):  # type: ignore[no-untyped-def]
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
def confirmed(data, i, at, doubtful, rule):  # type: ignore[no-untyped-def]
    """Of the doubtful bits of rows from ``at`` on, those of neighbours of sorted row i."""
    found = np.uint64(0)
    while doubtful != 0:
        k = trailing_zeros(doubtful)
        doubtful &= doubtful - np.uint64(1)
        if canonical(data.rows, data.order[i], data.order[at + k], rule) <= rule.limit:
            found |= np.uint64(1) << np.uint64(k)
    return found


@part
def count_run(data, i, lo, hi, surely, hopeless, rule, most):  # type: ignore[no-untyped-def]
    """How many of the rows lo .. hi are neighbours of sorted row i; once there are ``most``, no more are sought."""
    total = np.int64(0)
    for at in range(lo, hi, RUN):
        sure, doubtful = near(data, i, at, hi, surely, hopeless, rule)
        if doubtful != 0:
            sure |= confirmed(data, i, at, doubtful, rule)
        total += bit_count(sure)
        if total >= most:
            break
    return total
