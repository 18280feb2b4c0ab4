"""The launch table of the tile kernels: how many rows and centres a block multiplies at a time, and in what memory.

Figures behind the choices: kernels/README.md.
"""

from __future__ import annotations

from typing import NamedTuple

from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.precision import HALF_PRECISION, Precision
from gpuclust.engines.cuda.variants import Macros

__all__ = ["DECIDE", "GAINS", "SETTLE", "Shape", "Tile", "tile_for"]

_STAGES = 3
_WARPS = 4


class Shape(NamedTuple):
    """What a kernel asks of its tiles: centres in a panel, and blocks that share a multiprocessor."""

    panel: int
    blocks: int


SETTLE, DECIDE, GAINS = Shape(128, 2), Shape(64, 3), Shape(16, 3)


class Tile(NamedTuple):
    """One variant of a tile kernel; see `kernels/tile.cuh`."""

    precision: Precision
    shape: Shape
    slice_bytes: int
    resident: bool

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return 32 * _WARPS

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * _WARPS if self.precision is HALF_PRECISION else 256

    @property
    def macros(self) -> Macros:
        """What `kernels/tile.cuh` is compiled with."""
        numbers = {"PANEL": self.shape.panel, "SLICE_BYTES": self.slice_bytes, "RESIDENT": int(self.resident)}
        return (*self.precision.macros, *((name, str(value)) for name, value in numbers.items()))

    def shared_memory(self, width: int) -> int:
        """Bytes of dynamic shared memory that a block needs for rows of ``width``."""
        n_slices = -(-width * self.precision.dtype.itemsize // self.slice_bytes)
        rows = (n_slices if self.resident else _STAGES) * self.rows * self.slice_bytes
        return rows + _STAGES * self.shape.panel * (self.slice_bytes + 4) + 4 * self.rows

    def blocks(self, device: Device, n_rows: int) -> int:
        """Blocks of a persistent grid for ``n_rows``."""
        return max(1, min(-(-n_rows // self.rows), device.n_multiprocessors * self.shape.blocks))


def tile_for(device: Device, precision: Precision, width: int, shape: Shape) -> Tile:
    """The first of these that fits: rows that stay in shared memory, rows that come slice by slice, narrower slices."""
    row_bytes = width * precision.dtype.itemsize
    widest = next((size for size in (128, 64) if row_bytes >= size), 32)
    choices = ((widest, True), (widest, False), (64, False))
    tiles = (Tile(precision, shape, size, resident) for size, resident in choices)
    return next(tile for tile in tiles if tile.shared_memory(width) <= device.shared_memory)
