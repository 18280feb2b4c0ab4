"""The order of a block's rows that makes tiles compact, and the panels that may hold a tile's neighbours.

As on the CPU (`gpuclust.engines.cpu.arrangement`): rows are projected on a few directions in which no difference is
longer than the rows' distance, brought into the order of a k-d tree of the projections (J. Bentley, CACM 1975), and
each tile and panel gets a box that encloses the exact projections of its rows. A level of the tree is a sort, by the
part of the level before and the place along the part's widest direction.

**No neighbour is left out.** Let p be the exact projection of z = (x - o) s and S the sum of |z_j|. In float64 p comes
out within (d + 8) 2**-52 S (Higham 2002, (3.5); directions are no longer than one), rounding it to float32 and a box's
end once more costs at most 2**-23 S, and what underflows less than 2**-100: each point is widened by (d + 8) 2**-52 S +
2**-22 S + 2**-100, rounded up. Rows of which S is not below 2**100, NaN included, make their boxes infinite, and those
are apart from none. Of boxes that are apart, any two rows are further apart in exact arithmetic than the gaps say,
which are computed, combined by the metric, in some ten roundings of float32, 2**-24 each: less than the 2**-20 by which
the limit is raised, and which the canonical distance's own rounding does not use up either. So a pair that is left out
has a canonical distance above the limit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.tiles import Tile
from gpuclust.engines.cuda.variants import Variant
from gpuclust.engines.directions import make_directions
from gpuclust.engines.neighborhood import Neighborhood

__all__ = ["Arrangement", "Projection"]

_AXES = 8  # of `kernels/dbscan_boxes.cu`; the last one is the bound of the others' errors
_THREADS = 256


class Arrangement(NamedTuple):
    """``order`` (m,) int32, the row at each place; ``tiles`` and ``panels`` their boxes, (n, 16) float32."""

    order: Any
    tiles: Any
    panels: Any


class Projection:
    """Directions for rows like the ``sample`` (m, d), and the orders that follow from them."""

    def __init__(self, kernels: Kernels, sample: np.ndarray, neighborhood: Neighborhood, tile: Tile) -> None:
        directions = make_directions(sample, neighborhood, _AXES - 1)
        basis = np.zeros((sample.shape[1], _AXES))
        basis[:, : directions.basis.shape[1]] = directions.basis
        self._kernels, self._tile, self._scale = kernels, tile, directions.scale
        self._origin, self._basis = kernels.xp.asarray(directions.origin), kernels.xp.asarray(basis)

    def arrange(self, rows: PlacedRows) -> Arrangement:
        """Arrange a block: 4 bytes a row and one for boxes; for a moment some 60 bytes a row besides."""
        xp, m, tile = self._kernels.xp, len(rows), self._tile
        points = self._points(rows)
        variant, order = Variant("dbscan_boxes", rows.macros), xp.arange(m, dtype=np.int32)
        n_tiles, n_panels = -(-m // tile.rows), -(-m // tile.panel)

        def boxes(leaf: int, n_leaves: int, n_boxes: int) -> Any:
            out = xp.empty((n_boxes, 2 * _AXES), np.float32)
            self._kernels.launch(
                variant, "bounding_boxes", n_boxes, _THREADS,
                points, order, np.int32(m), np.int32(leaf), np.int32(n_leaves), np.int32(n_boxes), out,
            )  # fmt: skip
            return out

        def halve(n_boxes: int) -> Any:
            keys = xp.empty(m, np.int64)
            self._kernels.launch(
                variant, "keys", self._kernels.blocks(-(-m // _THREADS), 8), _THREADS,
                points, order, np.int32(m), np.int32(tile.rows), np.int32(n_tiles), np.int32(n_boxes),
                boxes(tile.rows, n_tiles, n_boxes), keys,
            )  # fmt: skip
            return order[xp.argsort(keys)]

        parts = 1
        while parts < n_tiles:
            order = halve(parts)
            parts *= 2
        if tile.panel < tile.rows:
            order = halve(n_tiles)
        return Arrangement(order, boxes(tile.rows, n_tiles, n_tiles), boxes(tile.panel, n_panels, n_panels))

    def _points(self, rows: PlacedRows) -> Any:
        """Projections and the bound of their errors, (m, 8) float32."""
        m, d = len(rows), rows.n_features
        points = self._kernels.xp.empty((m, _AXES), np.float32)
        self._kernels.launch(
            Variant("dbscan_boxes", rows.macros), "project",
            self._kernels.blocks(-(-m // (_THREADS // _AXES)), 4), _THREADS,
            rows.values, np.int32(m), np.int32(d), self._origin, np.float64(self._scale), self._basis,
            np.float64((d + 8) * 2.0**-52 + 2.0**-22), points,
        )  # fmt: skip
        return points
