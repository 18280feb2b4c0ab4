"""Fixed-point sums of rows by label, and their exact updates. Format: :mod:`gpuclust.engines.canonical`."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.canonical_distance import canonical_distance
from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.vector import add_row, squared_distance

__all__ = ["block_totals", "distances_to_listed", "distances_to_own", "extent", "move_rows", "pairwise", "survey"]


@kernel
def move_rows(  # type: ignore[no-untyped-def]
    data, weights, before, after, high_scale, low_scale, weight_scale, high, low, weight_high, weight_low
):
    """Move every row whose label differs from ``before`` to ``after`` between the sums (label -1: in none).

    ``high``, ``low`` (k, d) int64 and ``weight_high``, ``weight_low`` (k,) int64 are updated; ``weights`` is empty for
    ones. Returns the number of rows moved.
    """
    moved = 0
    weighted = weights.size > 0
    for i in range(data.shape[0]):
        old, new = before[i], after[i]
        if old == new:
            continue
        moved += 1
        weight = np.float64(weights[i]) if weighted else 1.0
        scaled = weight * weight_scale
        whole = np.rint(scaled)
        part = np.int64(np.rint((scaled - whole) * low_scale))
        if old >= 0:
            weight_high[old] -= np.int64(whole)
            weight_low[old] -= part
        if new >= 0:
            weight_high[new] += np.int64(whole)
            weight_low[new] += part
        add_row(data, i, weight, high_scale, low_scale, high, low, new, old)
    return moved


@kernel
def distances_to_own(data, centers, labels, scale, out):  # type: ignore[no-untyped-def]
    """Canonical distance of each row to the centre of its label."""
    for i in range(data.shape[0]):
        out[i] = squared_distance(data, i, centers, labels[i], scale)


@kernel
def distances_to_listed(data, others, which, indices, scale, out):  # type: ignore[no-untyped-def]
    """Canonical distance of ``data[which[i]]`` to ``others[indices[i]]``; infinity for an index of -1."""
    for i in range(indices.size):
        out[i] = squared_distance(data, which[i], others, indices[i], scale) if indices[i] >= 0 else np.inf


@kernel
def pairwise(data, centers, scale, metric, out):  # type: ignore[no-untyped-def]
    """Canonical distance of each row to every centre, (m, k), in one of ``METRICS``."""
    for i in range(data.shape[0]):
        for c in range(centers.shape[0]):
            out[i, c] = canonical_distance(data, i, centers, c, scale, metric)


@kernel
def extent(data, low, high):  # type: ignore[no-untyped-def]
    """Lower ``low`` and raise ``high`` (d,) to the least and the largest value of each column."""
    for i in range(data.shape[0]):
        for j in range(data.shape[1]):
            value = np.float64(data[i, j])
            low[j] = min(low[j], value)
            high[j] = max(high[j], value)


@kernel
def survey(data, column_max):  # type: ignore[no-untyped-def]
    """Raise ``column_max`` (d,) float64 to max|x| of the rows; return whether all values are finite."""
    width = data.shape[1]
    largest = np.zeros(width, data.dtype)
    poison = np.zeros(width, data.dtype)
    for i in range(data.shape[0]):
        row = data[i]
        for j in range(width):
            value = abs(row[j])
            largest[j] = value if value > largest[j] else largest[j]
            poison[j] += value * 0
    finite = True
    for j in range(width):
        column_max[j] = max(column_max[j], np.float64(largest[j]))
        finite &= poison[j] == 0
    return finite


@kernel
def block_totals(values, weights, factor, block, out):  # type: ignore[no-untyped-def]
    """Sums of floor(values * weights * factor) over blocks of rows, int64; ``weights`` is empty for ones."""
    weighted = weights.size > 0
    for b in range(out.size):
        total = np.int64(0)
        for i in range(b * block, min(values.size, (b + 1) * block)):
            value = values[i] * weights[i] if weighted else values[i]
            total += np.int64(np.floor(value * factor))
        out[b] = total
