"""Which panels of a block may hold neighbours of a tile of another: lists for `kernels/pairing.cuh`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuclust.engines.cuda.blocks import Block
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.tiles import Tile
from gpuclust.engines.cuda.variants import Variant
from gpuclust.engines.neighborhood import METRICS, Neighborhood

__all__ = ["NearPanels"]

# Entries of the lists of a range of tiles: 16 MB. A launch compares 2**37 pairs at most, in some tens of milliseconds.
_LISTED = 1 << 22
# What a tile has missed is known by so many parts of the panels.
_MOST_PARTS = 16
_THREADS = 256
# Covers the rounding of what is compared with it: `gpuclust.engines.cuda.arrangement`.
_RAISED = 1 + 2.0**-20


class NearPanels:
    """The lists of the tiles of block a, for a range of tiles after the other; each overwrites the one before.

    Attributes
    ----------
    part : int
        Panels in a part of the panels: `chosen` and what is missed have an entry for each tile and part.
    """

    def __init__(self, kernels: Kernels, a: Block, b: Block, neighborhood: Neighborhood, tile: Tile) -> None:
        self._kernels, self._a, self._b, self._tile = kernels, a, b, tile
        self._metric = METRICS.index(neighborhood.metric)
        self.n_tiles, self.n_panels = -(-len(a) // tile.rows), -(-len(b) // tile.panel)
        self.part = -(-self.n_panels // _MOST_PARTS)
        with np.errstate(under="ignore"):
            limit = np.nextafter(np.float32(neighborhood.limit * _RAISED), np.float32(np.inf))
        self._limit = max(limit, np.finfo(np.float32).smallest_normal)  # what is less may be flushed to zero

    @property
    def n_parts(self) -> int:
        """Tiles times parts of the panels."""
        return self.n_tiles * -(-self.n_panels // self.part)

    def ranges(self, chosen: Any | None) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
        """First tile and number of tiles of each range, and what kernels are given of its lists.

        ``chosen`` (tiles x parts,) int32: which parts of the panels are looked at; None: all.
        """
        xp, a, b = self._kernels.xp, self._a, self._b
        step = max(1, min(self.n_tiles, _LISTED // self.n_panels))
        near, counts, most = (xp.empty(n, np.int32) for n in (step * self.n_panels, step, 1))
        for first in range(0, self.n_tiles, step):
            n = min(step, self.n_tiles - first)
            most.fill(0)
            self._kernels.launch(
                Variant("dbscan_boxes", a.rows.macros), "near_panels", self._kernels.blocks(-(-n * 32 // _THREADS), 8),
                _THREADS, a.arrangement.tiles, b.arrangement.panels, np.int32(first), np.int32(n),
                np.int32(self._tile.rows), np.int32(self.n_panels), np.int32(self._tile.panel),
                np.int32(a.start == b.start), np.int32(self._metric), self._limit, chosen, np.int32(self.part),
                near, counts, most,
            )  # fmt: skip
            yield first, n, (near, counts, most, np.int32(first), np.int32(n))
