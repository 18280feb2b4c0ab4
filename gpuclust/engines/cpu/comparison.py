"""The neighbours among the rows of a tile and a group of columns: screened in float32, decided canonically.

A group's rows are packed into panels, once, relative to one of them; each tile of the other block is packed relative to
the same row, so that the bounds stay tight far from the data's centre. Scores are compared with two limits while they
are in registers; the canonical distance decides the few in between.

**Bounds.** With t and y the exact (x - o) s of a row and a column, D their exact distance, L the limit, e =
``screen_error`` and f the floor, both for float32, as in :mod:`gpuclust.engines.canonical`:

* euclidean: the score is t.y - |y|^2 / 2, so D <= L where it is at least (|t|^2 - L) / 2. The computed one, of constant
  -(1/2 - e) |y|^2, is at most e |t|^2 / 2 + f below that and e |t|^2 / 2 + 2 e |y|^2 + f above.
* the others: rounding t and y moves their distance by at most v (|t| + |y|) + f, v = 2**-23 and |.| the metric's own
  norm; adding up moves it by e D. The computed score, of constant 2 v |y|, is 2 v |y| less the computed distance: a
  pair is excluded below -L (1 + 2 e) - 2 v |t| - f and sure from -L (1 - 2 e) + 2 v |t| + 6 v |y| + f.

The column's share of the second limit is the panel's ``slack``, by its longest row. ``OUTWARD`` exceeds the rounding
of the limits and of D. A row of |t| >= 2**50 gets NaN for limits: all its pairs are decided canonically. The others
lose less than f = (width + 1) 2**-60 to underflow; a column that overflows float32 scores -inf or NaN against them, and
is no neighbour of theirs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import OUTWARD, screen_error
from gpuclust.engines.cpu.canonical_distance import EUCLIDEAN, MANHATTAN, canonical_distance
from gpuclust.engines.cpu.compile import bare_kernel, kernel
from gpuclust.engines.cpu.vector import (
    pack_rows,
    tile_shape,
    trailing_zeros,
    within_chebyshev,
    within_euclidean,
    within_manhattan,
)
from gpuclust.engines.neighborhood import METRICS, Neighborhood

__all__ = ["Columns", "Rule", "Side", "Workspace", "find_neighbors", "make_rule", "near_tiles", "new_workspace", "pack"]

_GROW, _SHRINK = 1.0 + OUTWARD, 1.0 - OUTWARD
_ROUNDED = 2.0**-23
_LONGEST = 2.0**50


class Side(NamedTuple):
    """A block of rows as kernels take it: ``data`` (m, d), its `Arrangement`, and the number of its first row."""

    data: np.ndarray
    order: np.ndarray
    low: np.ndarray
    high: np.ndarray
    start: int


class Rule(NamedTuple):
    """The test for neighbours, the constants of its screen, and the geometry of tiles and groups.

    ``rows`` of a tile, ``columns`` of a panel, ``lanes``; ``group`` rows are packed into panels at a time.
    """

    metric: int
    scale: float
    limit: float
    error: float
    floor: float
    rows: int
    columns: int
    lanes: int
    group: int


class Columns(NamedTuple):
    """A group packed into panels: rows at positions ``first`` to ``first + size`` of their block."""

    first: int
    size: int
    origin: np.ndarray
    panels: np.ndarray
    slacks: np.ndarray


class Workspace(NamedTuple):
    """What the comparison of a tile with a group needs and leaves: see `near_tiles` and `find_neighbors`."""

    tile: np.ndarray
    norms: np.ndarray
    low: np.ndarray
    high: np.ndarray
    maybe: np.ndarray
    surely: np.ndarray
    wanted: np.ndarray
    columns: np.ndarray
    words: np.ndarray


def make_rule(neighborhood: Neighborhood, n_features: int, tiles_per_group: int) -> Rule:
    """The rule for rows of ``n_features``."""
    shape = tile_shape(np.float32)
    return Rule(
        METRICS.index(neighborhood.metric),
        neighborhood.scale,
        neighborhood.limit,
        screen_error(n_features, np.float32, n_features),
        (n_features + 1) * 2.0**-60,
        shape.rows,
        shape.centers,
        shape.lanes,
        shape.rows * tiles_per_group,
    )


@kernel
def pack(b, group, rule):  # type: ignore[no-untyped-def]
    """The columns of a group of block b."""
    width, per_panel = b.data.shape[1], rule.columns
    first = group * rule.group
    count = min(rule.group, b.order.size - first)
    middle = b.order[first + count // 2]
    origin = np.empty(width)
    for j in range(width):
        origin[j] = b.data[middle, j]
    n_panels = (count + per_panel - 1) // per_panel
    panels = np.empty(n_panels * per_panel * (1 + width), np.float32)
    slacks = np.empty(n_panels, np.float32)
    for p in range(n_panels):
        longest = 0.0
        for c in range(per_panel):
            row = b.order[first + min(p * per_panel + c, count - 1)]
            at = p * per_panel * (1 + width) + c
            norm = 0.0
            for j in range(width):
                y = (b.data[row, j] - origin[j]) * rule.scale
                panels[at + (1 + j) * per_panel] = y
                if rule.metric == EUCLIDEAN:
                    norm += y * y
                elif rule.metric == MANHATTAN:
                    norm += abs(y)
                else:
                    norm = max(norm, abs(y))
            panels[at] = (rule.error - 0.5) * norm if rule.metric == EUCLIDEAN else 2.0 * _ROUNDED * norm
            longest = max(longest, norm)
        share = 2.0 * rule.error if rule.metric == EUCLIDEAN else 6.0 * _ROUNDED
        slacks[p] = share * longest * _GROW
    return Columns(first, count, origin, panels, slacks)


@kernel
def new_workspace(width, rule):  # type: ignore[no-untyped-def]
    """Buffers for comparisons, one set for each thread."""
    padded = (width + rule.lanes - 1) // rule.lanes * rule.lanes
    return Workspace(
        np.empty(padded * rule.rows, np.float32),
        np.empty(rule.rows, np.float32),
        np.empty(rule.rows, np.float32),
        np.empty(rule.rows, np.float32),
        np.empty(rule.columns, np.uint64),
        np.empty(rule.columns, np.uint64),
        np.empty(rule.group // rule.rows, np.uint8),
        np.empty(rule.group, np.int32),
        np.empty(rule.group, np.uint64),
    )


@bare_kernel
def _apart(low, high, lows, highs, u, metric, limit):  # type: ignore[no-untyped-def]
    """Whether the boxes (low, high) and (lows[u], highs[u]) lie too far apart for neighbours; NaN: they do not."""
    total = 0.0
    for q in range(low.size):
        gap = max(low[q] - highs[u, q], lows[u, q] - high[q], 0.0)
        if metric == EUCLIDEAN:
            total += gap * gap
        elif metric == MANHATTAN:
            total += gap
        else:
            total = max(total, gap)
    return total > limit * _GROW


@bare_kernel
def near_tiles(a, b, t, columns, rule, diagonal, work):  # type: ignore[no-untyped-def]
    """Mark in ``work.wanted`` the tiles of the columns that may hold neighbours of tile t of a; return how many.

    On the ``diagonal``, where a is b, those behind t are left out: they meet it as columns.
    """
    first = columns.first // rule.rows
    n_tiles = (columns.size + rule.rows - 1) // rule.rows
    wanted = work.wanted
    low, high = a.low[t], a.high[t]
    lows, highs = b.low, b.high
    marked = 0
    for k in range(n_tiles):
        wanted[k] = not (diagonal and first + k > t) and not _apart(
            low, high, lows, highs, first + k, rule.metric, rule.limit
        )
        marked += wanted[k]
    return marked


@bare_kernel
def _pack_tile(a, t, count, columns, rule, work):  # type: ignore[no-untyped-def]
    """Pack tile t relative to the columns' origin, and set the limits of its rows' scores."""
    width = a.data.shape[1]
    pack_rows(a.data, a.order[t * rule.rows :], count, columns.origin, rule.scale, work.tile)
    tile, norms, error = work.tile, work.norms, rule.error
    for i in range(rule.rows):
        norms[i] = 0
    for j in range(width):
        if rule.metric == EUCLIDEAN:
            for i in range(rule.rows):
                norms[i] += tile[j * rule.rows + i] * tile[j * rule.rows + i]
        elif rule.metric == MANHATTAN:
            for i in range(rule.rows):
                norms[i] += abs(tile[j * rule.rows + i])
        else:
            for i in range(rule.rows):
                norms[i] = max(norms[i], abs(tile[j * rule.rows + i]))
    for i in range(rule.rows):
        norm = np.float64(norms[i])
        if rule.metric == EUCLIDEAN:
            wide = norm * (1.0 + 2.0 * error)
            low = 0.5 * (norm * (1.0 - 2.0 * error) - rule.limit * _GROW) - error * wide - 3.0 * rule.floor
            high = 0.5 * (wide - rule.limit * _SHRINK) + error * wide + 3.0 * rule.floor
            known = norm < _LONGEST * _LONGEST
        else:
            blur = 2.0 * _ROUNDED * norm * (1.0 + 2.0 * error) + rule.floor
            low = -rule.limit * _GROW * (1.0 + 2.0 * error) - blur
            high = -rule.limit * _SHRINK * (1.0 - 2.0 * error) + blur
            known = norm < _LONGEST
        work.low[i] = low - abs(low) * OUTWARD if known else np.nan
        work.high[i] = high + abs(high) * OUTWARD if known else np.nan


@bare_kernel
def find_neighbors(a, b, t, columns, rule, diagonal, work):  # type: ignore[no-untyped-def]
    """The neighbours of tile t of a among the wanted columns, each pair once; return how many columns have some.

    The k-th of these is ``work.columns[k]``, counted within the group; bit i of ``work.words[k]`` stands for row i of
    the tile.
    """
    width, rows, metric = a.data.shape[1], rule.rows, rule.metric
    stride = rule.columns * (1 + width)
    count = min(rows, a.order.size - t * rows)
    live = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - count)
    _pack_tile(a, t, count, columns, rule, work)
    tile, low, high, maybe, surely = work.tile, work.low, work.high, work.maybe, work.surely
    panels, slacks, numbers, words = columns.panels, columns.slacks, work.columns, work.words
    data, other = a.data, b.data
    order, other_order = a.order[t * rows :], b.order[columns.first :]
    found = 0
    for k in range((columns.size + rows - 1) // rows):
        if not work.wanted[k]:
            continue
        same = diagonal and columns.first + k * rows == t * rows
        for start in range(k * rows, min((k + 1) * rows, columns.size), rule.columns):
            p = start // rule.columns
            at = p * stride
            if metric == EUCLIDEAN:
                some = within_euclidean(tile, panels, at, width, low, high, slacks[p], maybe, surely)
            elif metric == MANHATTAN:
                some = within_manhattan(tile, panels, at, width, low, high, slacks[p], maybe, surely)
            else:
                some = within_chebyshev(tile, panels, at, width, low, high, slacks[p], maybe, surely)
            if some & live == 0:
                continue
            for c in range(min(rule.columns, columns.size - start)):
                word = maybe[c] & live
                if same:
                    # Of a tile with itself, the rows behind the column.
                    word &= ~((np.uint64(2) << np.uint64(start + c - k * rows)) - np.uint64(1))
                unsure = word & ~surely[c]
                while unsure != 0:
                    i = trailing_zeros(unsure)
                    unsure &= unsure - np.uint64(1)
                    if (
                        canonical_distance(data, order[i], other, other_order[start + c], rule.scale, metric)
                        > rule.limit
                    ):
                        word &= ~(np.uint64(1) << np.uint64(i))
                if word != 0:
                    numbers[found] = start + c
                    words[found] = word
                    found += 1
    return found
