"""Tiles of settle on compute capability 9.0, whose warpgroups multiply float16 from shared memory."""

from __future__ import annotations

from typing import NamedTuple

from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.precision import HALF_PRECISION
from gpuclust.engines.cuda.variants import WARPGROUPS, Macros

__all__ = ["NARROWEST", "WarpgroupTile", "warpgroup_tile"]

NARROWEST = 64
"""Least width of screen rows: a whole slice. Rows of fewer columns are not bound by their products."""

_PANEL, _SLICE_BYTES, _CONSTANTS = 128, 128, 4 * (128 // 4 + 4)  # kernels/tile_wgmma.cuh
_WIDEST_RESIDENT = 128


class WarpgroupTile(NamedTuple):
    """One variant; see `kernels/scan_wgmma.cuh`. The same as `gpuclust.engines.cuda.tiles.Tile` to who launches it."""

    slices: int
    resident: bool

    @property
    def rows(self) -> int:
        """Rows that a block takes at a time: two tiles."""
        return 256

    @property
    def threads(self) -> int:
        """Threads of a block: two warpgroups."""
        return 256

    @property
    def stages(self) -> int:
        """Steps in the ring: three where rows are resident, otherwise what fits."""
        return 3 if self.resident else 4

    @property
    def macros(self) -> Macros:
        """What `kernels/tile.cuh` is compiled with."""
        numbers = {
            "PANEL": _PANEL, "SLICE_BYTES": _SLICE_BYTES,
            "SLICES": self.slices, "STAGES": self.stages, "RESIDENT": int(self.resident),
        }  # fmt: skip
        return (*HALF_PRECISION.macros, WARPGROUPS, *((name, str(value)) for name, value in numbers.items()))

    def shared_memory(self, width: int) -> int:
        """Bytes of dynamic shared memory that a block needs, whatever the ``width`` of the rows."""
        centers, rows = (n * self.slices * _SLICE_BYTES for n in (_PANEL, self.rows))
        ring = self.stages * (centers + 4 * _CONSTANTS + (0 if self.resident else rows))
        return ring + (2 * rows if self.resident else 0) + 4 * self.rows

    def blocks(self, device: Device, n_rows: int) -> int:
        """Blocks of a persistent grid for ``n_rows``: one fills a multiprocessor."""
        return max(1, min(-(-n_rows // self.rows), device.n_multiprocessors))


def warpgroup_tile(width: int, n_clusters: int) -> WarpgroupTile:
    """Rows stay in shared memory while they are compared with more than one panel, if they fit there."""
    resident = width <= _WIDEST_RESIDENT and n_clusters > _PANEL
    return WarpgroupTile(slices=2 if resident and width > NARROWEST else 1, resident=resident)
