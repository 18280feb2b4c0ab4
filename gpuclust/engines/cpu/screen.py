"""Certified assignment: plan, screen, settle, decide the rest canonically. Bounds: :mod:`gpuclust.engines.canonical`.

All kernels take a block of rows and a list of row numbers in it, and write ``labels``, ``upper`` and ``lower`` of those
rows only. Panels hold the centres by falling movement: a row whose bounds already exclude the quiet centres is screened
against the leading panels alone.
"""

from __future__ import annotations

import math

import numpy as np

from gpuclust.engines.canonical import OUTWARD, TINY
from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.vector import (
    pack_rows,
    prefetch_row,
    squared_distance,
    tile_above,
    tile_bounds,
    tile_top2,
    trailing_zeros,
)

__all__ = ["decide", "improve", "keep_unsettled", "plan_rows", "settle", "sketch_limits"]

_GROW, _SHRINK = 1.0 + OUTWARD, 1.0 - OUTWARD


@kernel
def keep_unsettled(labels, upper, lower, grown, widest, kept):  # type: ignore[no-untyped-def]
    """Carry the rows' bounds across the centres' movement and list the rows whose label may change.

    ``grown`` (k,) is the movement of each centre, ``widest`` the largest. Returns the length of the list.
    """
    n = 0
    for i in range(labels.size):
        high = np.float32((np.float64(upper[i]) + grown[labels[i]]) * _GROW)
        low = np.float32((np.float64(lower[i]) - widest) * _SHRINK)
        if low > high + TINY:
            upper[i] = high
            lower[i] = low
        else:
            kept[n] = i
            n += 1
    return n


@kernel
def plan_rows(  # type: ignore[no-untyped-def]
    data, centers, scale, grown, drifts, per_panel, labels, upper, lower, kept, panels
):
    """As :func:`keep_unsettled`, where scanning all centres costs more than finding out which are needed.

    ``drifts`` (k + 1,) are the centres' movements in falling order, then 0. A row's upper bound is first replaced by
    the canonical distance. The centres that moved less than the gap between its bounds cannot have overtaken its own:
    ``panels[i]`` is how many leading panels the row ``kept[i]`` still needs. The list is sorted by falling need, so
    that the rows of a tile need about the same.
    """
    n_centers = grown.size
    n_panels = (n_centers + per_panel - 1) // per_panel
    needs = np.empty(labels.size, np.int32)
    starts = np.zeros(n_panels + 2, np.int64)
    for i in range(labels.size):
        label = labels[i]
        low = np.float64(lower[i])
        high = np.float64(np.float32((np.float64(upper[i]) + grown[label]) * _GROW))
        if not ((low - drifts[0]) * _SHRINK > high + TINY):
            high = np.float64(np.float32(math.sqrt(squared_distance(data, i, centers, label, scale)) * _GROW))
        first, last = 0, n_centers
        while first < last:
            middle = (first + last) // 2
            if (low - drifts[middle]) * _SHRINK > high + TINY:
                last = middle
            else:
                first = middle + 1
        upper[i] = high
        # More than half of the centres: take all, which renews the lower bound.
        need = n_panels if 2 * first > n_centers else (first + per_panel - 1) // per_panel
        if need == 0:
            lower[i] = np.float32((low - drifts[0]) * _SHRINK)
        needs[i] = need
        starts[n_panels - need + 1] += 1
    for p in range(n_panels + 1):
        starts[p + 1] += starts[p]
    listed = starts[n_panels]
    for i in range(labels.size):
        need = needs[i]
        if need > 0:
            at = starts[n_panels - need]
            starts[n_panels - need] += 1
            kept[at] = i
            panels[at] = need
    return listed


@kernel
def _fill_squares(tile, width, rows, squares):  # type: ignore[no-untyped-def]
    for i in range(rows):
        squares[i] = 0
    for j in range(width):
        for i in range(rows):
            squares[i] += tile[j * rows + i] * tile[j * rows + i]


@kernel
def settle(  # type: ignore[no-untyped-def]
    data, kept, needs, origin, scale, panels, order, drifts, squared_norms, shape, error, floor, certify,
    labels, upper, lower, unsettled, limits,
):  # fmt: skip
    """Screen the rows ``kept`` at full width, each against its ``needs`` leading panels or more.

    ``panels`` flat, as :mod:`~gpuclust.engines.cpu.vector` describes, of the centres in ``order``; ``shape`` is (rows
    per tile, centres per panel, lanes). Settled rows get label and bounds. The others are listed in ``unsettled`` with
    their limit: a centre whose score is below it is excluded; NaN means that the row was not screened against all
    centres and must be. Without ``certify`` every row takes the best score. Returns the number of rows listed.
    """
    rows, per_panel, lanes = shape
    n_centers = order.size
    width = data.shape[1]
    stride = (width + 1) * per_panel
    tile = np.empty(((width + lanes - 1) // lanes * lanes) * rows, panels.dtype)
    squares = np.empty(rows, panels.dtype)
    best = np.empty(rows, panels.dtype)
    second = np.empty(rows, panels.dtype)
    index = np.empty(rows, np.int32)
    norms = np.empty(rows)
    least = np.empty(rows)
    near = np.empty(rows, np.float32)
    far_off = np.empty(rows, np.float32)
    listed = 0
    for at in range(0, kept.size, rows):
        count = min(rows, kept.size - at)
        pack_rows(data, kept[at:], count, origin, scale, tile)
        for i in range(at + rows, min(at + 2 * rows, kept.size)):
            prefetch_row(data, kept[i])
        _fill_squares(tile, width, rows, squares)
        for i in range(rows):
            best[i] = -np.inf
            second[i] = -np.inf
            index[i] = 0
        n_panels = np.int64(needs[at])
        for p in range(n_panels):
            tile_top2(tile, panels, p * stride, width, p * per_panel, best, second, index)
        screened = min(n_panels * per_panel, n_centers)
        if screened < n_centers:
            # Only the leading centres: enough when none of them comes near the row's own.
            for i in range(count):
                row = kept[at + i]
                other = np.float64(second[i] if order[index[i]] == labels[row] else best[i])
                square = np.float64(squares[i])
                rest = square * (1.0 - 2.0 * error) - error * (square * (1.0 + 2.0 * error) + floor) - 3.0 * floor
                far = math.sqrt(max(rest - 2.0 * other, 0.0))
                low = np.float32(min(far, np.float64(lower[row]) - drifts[screened]) * _SHRINK)
                if low > upper[row] + TINY:
                    lower[row] = low
                else:
                    unsettled[listed] = row
                    limits[listed] = np.nan
                    listed += 1
            continue
        for i in range(rows):
            norms[i] = squared_norms[order[index[i]]]
        tile_bounds(best, second, squares, norms, error, floor, least, near, far_off)
        for i in range(count):
            row = kept[at + i]
            if certify and not (second[i] < least[i]):
                unsettled[listed] = row
                limits[listed] = least[i] - abs(least[i]) * OUTWARD
                listed += 1
            else:
                labels[row] = order[index[i]]
                upper[row] = near[i]
                lower[row] = far_off[i]
    return listed


@kernel
def sketch_limits(kept, squares, upper, margin, error, floor, reach, limits):  # type: ignore[no-untyped-def]
    """The score of any centre that a kept row has to look at: within ``reach[i]``, its upper bound plus ``margin``.

    What lies beyond becomes the row's lower bound. ``squares`` (m,) float32 holds |t|**2 of every row of the block.
    """
    for i in range(kept.size):
        norm = np.float64(squares[kept[i]])
        within = np.float64(upper[kept[i]]) * _GROW + margin
        limit = 0.5 * (norm * _SHRINK - within * within * _GROW) - error * norm * _GROW - 2.0 * floor
        reach[i] = within
        limits[i] = limit - abs(limit) * OUTWARD


@kernel
def decide(  # type: ignore[no-untyped-def]
    data, centers, scale, kept, needs, screen_rows, origin, screen_scale, panels, order, drifts, shape, limits, reach,
    labelled, labels, upper, lower,
):  # fmt: skip
    """Give each row the centre of least canonical distance among those whose score reaches its limit.

    ``screen_rows`` is what the panels score: the data at full width, or the sketch. Where the rows are ``labelled`` the
    present label competes too, and a row with no other candidate keeps it and its upper bound. ``reach[i]`` is a
    distance within which no centre is missed (0: not known). Returns the number of canonical distances computed.
    """
    rows, per_panel, lanes = shape
    n_centers = order.size
    width = screen_rows.shape[1]
    stride = (width + 1) * per_panel
    tile = np.empty(((width + lanes - 1) // lanes * lanes) * rows, panels.dtype)
    threshold = np.empty(rows, panels.dtype)
    masks = np.empty(per_panel, np.uint64)
    least = np.empty(rows)
    second = np.empty(rows)
    computed = 0
    for at in range(0, kept.size, rows):
        count = min(rows, kept.size - at)
        pack_rows(screen_rows, kept[at:], count, origin, screen_scale, tile)
        for i in range(rows):
            threshold[i] = limits[at + min(i, count - 1)]
            least[i] = np.inf
            second[i] = np.inf
        live = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - count)
        n_panels = np.int64(needs[at])
        screened = min(n_panels * per_panel, n_centers)
        for p in range(n_panels):
            union = tile_above(tile, panels, p * stride, width, threshold, masks)
            if union & live == 0:
                continue
            for c in range(min(per_panel, n_centers - p * per_panel)):
                word = masks[c] & live
                center = order[p * per_panel + c]
                while word != 0:
                    i = trailing_zeros(word)
                    word &= word - np.uint64(1)
                    row = kept[at + i]
                    own = labels[row]
                    if labelled:
                        if own == center:
                            continue
                        if least[i] == np.inf:
                            least[i] = squared_distance(data, row, centers, own, scale)
                            computed += 1
                    distance = squared_distance(data, row, centers, center, scale)
                    computed += 1
                    if distance < least[i] or (distance == least[i] and center < own):
                        second[i] = min(second[i], least[i])
                        least[i] = distance
                        labels[row] = center
                    else:
                        second[i] = min(second[i], distance)
        for i in range(count):
            row = kept[at + i]
            low = min(reach[at + i], math.sqrt(second[i]))
            if screened < n_centers:
                low = min(low, np.float64(lower[row]) - drifts[screened])
            if least[i] < np.inf:
                upper[row] = np.float32(math.sqrt(least[i]) * _GROW)
            lower[row] = np.float32(max(low, 0.0) * _SHRINK)
    return computed


@kernel
def improve(  # type: ignore[no-untyped-def]
    data, centers, scale, nearest, screen_rows, origin, screen_scale, panels, shape, error, floor,
    found_rows, found_centers, found_distances,
):  # fmt: skip
    """List the pairs of a row and a centre of canonical distance below the row's ``nearest`` (m,); return how many.

    ``screen_rows`` is what the panels score: the data at full width, or the sketch.
    """
    rows, per_panel, lanes = shape
    n_centers = centers.shape[0]
    width = screen_rows.shape[1]
    stride = (width + 1) * per_panel
    tile = np.empty(((width + lanes - 1) // lanes * lanes) * rows, panels.dtype)
    squares = np.empty(rows, panels.dtype)
    threshold = np.empty(rows, panels.dtype)
    masks = np.empty(per_panel, np.uint64)
    numbers = np.empty(rows, np.int32)
    listed = 0
    for at in range(0, data.shape[0], rows):
        count = min(rows, data.shape[0] - at)
        for i in range(count):
            numbers[i] = at + i
        pack_rows(screen_rows, numbers, count, origin, screen_scale, tile)
        _fill_squares(tile, width, rows, squares)
        for i in range(rows):
            norm = np.float64(squares[i])
            limit = 0.5 * (norm * (1.0 - 2.0 * error) - nearest[at + min(i, count - 1)] * _GROW)
            limit -= error * norm * (1.0 + 2.0 * error) + 3.0 * floor
            threshold[i] = limit - abs(limit) * OUTWARD
        live = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - count)
        for p in range(0, n_centers, per_panel):
            union = tile_above(tile, panels, p // per_panel * stride, width, threshold, masks) & live
            while union != 0:
                i = trailing_zeros(union)
                union &= union - np.uint64(1)
                for c in range(min(per_panel, n_centers - p)):
                    if (masks[c] >> np.uint64(i)) & np.uint64(1):
                        distance = squared_distance(data, at + i, centers, p + c, scale)
                        if distance < nearest[at + i]:
                            found_rows[listed] = at + i
                            found_centers[listed] = p + c
                            found_distances[listed] = distance
                            listed += 1
    return listed
