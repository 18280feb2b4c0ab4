"""Certified assignment: screen, settle, and decide the rest canonically. Bounds: :mod:`gpuclust.engines.canonical`.

All kernels take a list of row numbers and write ``labels``, ``upper`` and ``lower`` of those rows only.
"""

from __future__ import annotations

import math

import numpy as np

from gpuclust.engines.canonical import OUTWARD
from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.vector import pack_rows, squared_distance, tile_above, tile_top2, trailing_zeros

__all__ = ["decide", "keep_unsettled", "own_limits", "settle"]

_GROW, _SHRINK = 1.0 + OUTWARD, 1.0 - OUTWARD


@kernel
def keep_unsettled(labels, upper, lower, grown, fallen, kept):  # type: ignore[no-untyped-def]
    """Move the rows' bounds by the centres' movement; list in ``kept`` the rows whose label may change.

    ``grown`` (k,) is the movement of each centre, ``fallen`` (k,) the largest movement of any other centre.
    """
    n = 0
    for i in range(labels.size):
        label = labels[i]
        if label >= 0:
            high = np.float32((np.float64(upper[i]) + grown[label]) * _GROW)
            low = np.float32((np.float64(lower[i]) - fallen[label]) * _SHRINK)
            if low > high:
                upper[i] = high
                lower[i] = low
                continue
        kept[n] = i
        n += 1
    return n


@kernel
def _fill_squares(tile, width, rows, squares):  # type: ignore[no-untyped-def]
    for i in range(rows):
        squares[i] = 0
    for j in range(width):
        for i in range(rows):
            squares[i] += tile[j * rows + i] * tile[j * rows + i]


@kernel
def settle(  # type: ignore[no-untyped-def]
    data, kept, origin, scale, panels, squared_norms, shape, error, floor, certify, labels, upper, lower, unsettled, limits
):
    """Screen the rows ``kept`` at full width. Settled rows get label and bounds; the others are listed with their limit.

    ``panels`` flat, as :mod:`~gpuclust.engines.cpu.vector` describes; ``shape`` is (rows per tile, centres per panel, lanes).
    Returns the number of rows listed in ``unsettled``; a centre whose score is below ``limits`` of the row is excluded.
    Without ``certify`` every row takes the best score.
    """
    rows, centers, lanes = shape
    width = data.shape[1]
    stride = (width + 1) * centers
    n_panels = panels.size // stride
    tile = np.empty(((width + lanes - 1) // lanes * lanes) * rows, panels.dtype)
    squares = np.empty(rows, panels.dtype)
    best = np.empty(rows, panels.dtype)
    second = np.empty(rows, panels.dtype)
    index = np.empty(rows, np.int32)
    listed = 0
    for at in range(0, kept.size, rows):
        count = min(rows, kept.size - at)
        pack_rows(data, kept[at:], count, origin, scale, tile)
        _fill_squares(tile, width, rows, squares)
        for i in range(rows):
            best[i] = -np.inf
            second[i] = -np.inf
            index[i] = 0
        for p in range(n_panels):
            tile_top2(tile, panels, p * stride, width, p * centers, best, second, index)
        for i in range(count):
            row = kept[at + i]
            label = index[i]
            norm = np.float64(squares[i]) * (1.0 + 2.0 * error) + floor
            top = np.float64(best[i])
            runner = np.float64(second[i])
            least = top - 2.0 * error * squared_norms[label]
            limit = least - error * norm - 2.0 * floor
            if certify and not (runner < limit):
                unsettled[listed] = row
                limits[listed] = limit - abs(limit) * OUTWARD
                listed += 1
                continue
            labels[row] = label
            near = norm - 2.0 * least + error * norm + 2.0 * floor
            far = np.float64(squares[i]) * (1.0 - 2.0 * error) - 2.0 * runner - error * norm - 3.0 * floor
            upper[row] = np.float32(math.sqrt(max(near, 0.0)) * _GROW)
            lower[row] = np.float32(math.sqrt(max(far, 0.0)) * _SHRINK)
    return listed


@kernel
def own_limits(data, kept, centers, scale, squares, error, floor, labels, distances, limits):  # type: ignore[no-untyped-def]
    """Canonical distance of each kept row to its present centre, and the score a better centre must reach.

    ``squares`` (n,) float32 holds |t|**2 of every row.
    """
    for i in range(kept.size):
        row = kept[i]
        own = squared_distance(data, row, centers, labels[row], scale)
        norm = np.float64(squares[row])
        limit = 0.5 * (norm * _SHRINK - own * _GROW) - error * norm * _GROW - 2.0 * floor
        distances[i] = own
        limits[i] = limit - abs(limit) * OUTWARD


@kernel
def decide(  # type: ignore[no-untyped-def]
    data, centers, scale, kept, screen_rows, origin, screen_scale, panels, shape, limits, distances, labels, upper, lower
):
    """Give each row the centre of least canonical distance among those whose score reaches its limit.

    ``screen_rows`` is what the panels score: the data at full width, or the sketch. Where ``distances[i]`` is finite it belongs
    to the row's present label, which then competes too. Returns the number of distances computed.
    """
    rows, per_panel, lanes = shape
    n_centers = centers.shape[0]
    width = screen_rows.shape[1]
    stride = (width + 1) * per_panel
    n_panels = panels.size // stride
    tile = np.empty(((width + lanes - 1) // lanes * lanes) * rows, panels.dtype)
    threshold = np.empty(rows, panels.dtype)
    masks = np.empty(per_panel, np.uint64)
    computed = 0
    for at in range(0, kept.size, rows):
        count = min(rows, kept.size - at)
        pack_rows(screen_rows, kept[at:], count, origin, screen_scale, tile)
        for i in range(rows):
            threshold[i] = limits[at + min(i, count - 1)]
        live = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - count)
        for p in range(n_panels):
            union = tile_above(tile, panels, p * stride, width, threshold, masks)
            if union & live == 0:
                continue
            for c in range(per_panel):
                word = masks[c] & live
                center = p * per_panel + c
                while word != 0 and center < n_centers:
                    slot = at + trailing_zeros(word)
                    word &= word - np.uint64(1)
                    row = kept[slot]
                    own = labels[row]
                    known = distances[slot] < np.inf
                    if known and own == center:
                        continue
                    distance = squared_distance(data, row, centers, center, scale)
                    computed += 1
                    if not known or distance < distances[slot] or (distance == distances[slot] and center < own):
                        distances[slot] = distance
                        labels[row] = center
    for i in range(kept.size):
        row = kept[i]
        upper[row] = np.float32(math.sqrt(distances[i]) * _GROW)
        lower[row] = 0.0
    return computed
