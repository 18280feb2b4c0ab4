"""The order of a block's rows that makes tiles compact, and the boxes that tell which tiles hold no neighbours.

Rows are projected on a few directions in which no difference is longer than the rows' distance
(:mod:`gpuclust.engines.directions`). A k-d tree of the projections (J. Bentley, CACM 1975), split at medians that are
multiples of the tile, gives the order. A tile's box encloses the exact projections of its rows: the computed ones, each
widened by the bound of its rounding, (d + 8) 2**-52 times the sum of |z_j| (Higham 2002, (3.5)). So tiles whose boxes
lie further apart than rows in reach hold no neighbours; a box that is not finite is apart from none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.threads import run_blocks
from gpuclust.engines.directions import make_directions
from gpuclust.engines.neighborhood import Neighborhood
from gpuclust.engines.planner import one_blas_thread

__all__ = ["Arrangement", "Projection", "arrange"]

# More directions tell more tiles apart, and each costs a comparison of every two tiles.
DIRECTIONS = 8
# Elements projected at a time: each takes some float64 beside it.
BLOCK = 1 << 19


class Projection:
    """Directions for rows like the ``sample`` (m, d), and where they are projected from."""

    def __init__(self, sample: np.ndarray, neighborhood: Neighborhood) -> None:
        self.origin, self.scale, self.basis = make_directions(sample, neighborhood, DIRECTIONS)

    @one_blas_thread
    def project(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Projections (m, q) float64 of ``rows`` (m, d), and the bound of their error (m,)."""
        m, d = rows.shape
        points, errors = np.empty((m, self.basis.shape[1])), np.empty(m)

        def block(lo: int, hi: int) -> None:
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = (rows[lo:hi] - self.origin) * self.scale
                np.matmul(scaled, self.basis, out=points[lo:hi])
                errors[lo:hi] = np.abs(scaled).sum(axis=1) * ((d + 8) * 2.0**-52)
            lost = ~(np.isfinite(points[lo:hi]).all(axis=1) & np.isfinite(errors[lo:hi]))
            points[lo:hi][lost], errors[lo:hi][lost] = 0.0, np.inf

        run_blocks(block, m, max(1, BLOCK // d))
        return points, errors


class Arrangement(NamedTuple):
    """The order of a block's rows, and the boxes of its tiles.

    Attributes
    ----------
    order : ndarray (m,) int32
        Row at each position.
    low, high : ndarray (tiles, q) float64
        Corners of each tile's box, in units of 1 / scale.
    """

    order: np.ndarray
    low: np.ndarray
    high: np.ndarray


def arrange(rows: np.ndarray, projection: Projection, tile: int, tiles_per_group: int) -> Arrangement:
    """Arrange ``rows`` so that each ``tile`` rows, and each group of tiles, are near each other."""
    points, errors = projection.project(rows)
    order = np.arange(len(rows), dtype=np.int32)
    sort_by_halves(points, order, tile, tile * tiles_per_group)
    starts = np.arange(0, len(rows), tile)
    errors = errors[order][:, None]
    low, high = np.minimum.reduceat(points - errors, starts), np.maximum.reduceat(points + errors, starts)
    return Arrangement(order, low, high)


@kernel
def _select(points, order, axis, lo, hi, middle):  # type: ignore[no-untyped-def]
    """Exchange rows lo..hi so that those before ``middle`` are not above the others along ``axis`` (Hoare 1961)."""
    while hi - lo > 1:
        a, b, c = points[lo, axis], points[(lo + hi) // 2, axis], points[hi - 1, axis]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = lo, hi - 1
        while i <= j:
            while points[i, axis] < pivot:
                i += 1
            while pivot < points[j, axis]:
                j -= 1
            if i <= j:
                for q in range(points.shape[1]):
                    points[i, q], points[j, q] = points[j, q], points[i, q]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            hi = j + 1
        elif middle >= i:
            lo = i
        else:
            return


@kernel
def sort_by_halves(points, order, tile, group):  # type: ignore[no-untyped-def]
    """Put ``points`` (m, q), and ``order`` with them, in k-d order: halves of the widest direction, down to tiles.

    Halves are whole groups of rows while there are several, then whole tiles.
    """
    pending = [(0, order.size)]
    while pending:
        lo, hi = pending.pop()
        grain = group if hi - lo > group else tile
        if hi - lo <= grain:
            continue
        widest, axis = -1.0, 0
        for q in range(points.shape[1]):
            low, high = np.inf, -np.inf
            for i in range(lo, hi):
                low = min(low, points[i, q])
                high = max(high, points[i, q])
            if high - low > widest:
                widest, axis = high - low, q
        half = (hi - lo + grain - 1) // grain // 2
        _select(points, order, axis, lo, hi, lo + half * grain)
        pending.append((lo, lo + half * grain))
        pending.append((lo + half * grain, hi))
