"""The launch table of the tile kernels: how many rows and centres a block multiplies at a time, and in what memory.

The aim of each line is eight or more warps on a multiprocessor, rows that stay in shared memory while they are compared
with all centres, and copies that run ahead. Computed from sizes (kernels/README.md), not timed yet.
"""

from __future__ import annotations

from typing import NamedTuple

from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.precision import HALF_PRECISION, Precision
from gpuclust.engines.cuda.variants import Macros
from gpuclust.engines.cuda.warpgroups import NARROWEST, WarpgroupTile, warpgroup_tile

__all__ = ["DECIDE", "GAINS", "SETTLE", "Shape", "Tile", "pairs_tile", "settle_tile", "tile_for"]

_BLOCK_RESERVE = 1024  # bytes of a multiprocessor's shared memory that every block costs besides its own


class Shape(NamedTuple):
    """What a kernel asks of its tiles: centres in a panel, and threads on a multiprocessor that registers allow.

    ``few``: float32 tiles do without variants for narrow rows, whose copies take far less time than their products.
    """

    panel: int
    half_threads: int
    single_threads: int
    few: bool = False


SETTLE, DECIDE, GAINS = Shape(128, 256, 512), Shape(64, 384, 512), Shape(16, 640, 768)
# Of pairs float32 tiles are narrower: with 128 columns they would spill.
_HALF_PAIRS, _SINGLE_PAIRS = Shape(128, 256, 512), Shape(64, 256, 512, few=True)


class Tile(NamedTuple):
    """One variant of a tile kernel; see `kernels/tile.cuh`.

    ``blocks`` share a multiprocessor. ``warps`` of a block: of float32 tiles always 8.
    """

    precision: Precision
    panel: int
    warps: int
    blocks_per_multiprocessor: int
    slice_bytes: int
    stages: int
    resident: bool

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return 32 * self.warps if self.precision is HALF_PRECISION else 128

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * self.warps

    @property
    def macros(self) -> Macros:
        """What `kernels/tile.cuh` is compiled with."""
        numbers = {
            "PANEL": self.panel, "WARPS": self.warps, "BLOCKS": self.blocks_per_multiprocessor,
            "SLICE_BYTES": self.slice_bytes, "STAGES": self.stages, "RESIDENT": int(self.resident),
        }  # fmt: skip
        return (*self.precision.macros, *((name, str(value)) for name, value in numbers.items()))

    def shared_memory(self, width: int) -> int:
        """Bytes of dynamic shared memory that a block needs for rows of ``width``."""
        n_slices = -(-width * self.precision.dtype.itemsize // self.slice_bytes)
        rows = (n_slices if self.resident else self.stages) * self.rows * self.slice_bytes
        return rows + self.stages * self.panel * (self.slice_bytes + 4) + 4 * self.rows

    def blocks(self, device: Device, n_rows: int) -> int:
        """Blocks of a persistent grid for ``n_rows``."""
        return max(1, min(-(-n_rows // self.rows), device.n_multiprocessors * self.blocks_per_multiprocessor))


class _Line(NamedTuple):
    warps: int
    resident: bool
    stages: int
    slice_bytes: int = 128


# The first that fits as many times as registers allow is taken, or else the first that fits once.
_HALF = (
    _Line(4, True, 3), _Line(4, True, 2), _Line(4, True, 3, 64), _Line(8, True, 4), _Line(8, True, 2),
    _Line(8, False, 4), _Line(8, False, 3), _Line(8, False, 3, 64), _Line(4, False, 2, 64),
)  # fmt: skip
_SINGLE = (_Line(8, True, 3), _Line(8, False, 3, 64), _Line(8, False, 2, 64))
# A few candidates are one panel: rows are used once, and need not stay.
_SEEDING = (_Line(4, False, 3), _Line(4, False, 3, 64))


def tile_for(device: Device, precision: Precision, width: int, shape: Shape) -> Tile:
    """The tile for rows of ``width``."""
    half = precision is HALF_PRECISION
    row_bytes = width * precision.dtype.itemsize
    widest = next((size for size in (128, 64) if row_bytes >= size), 32)
    threads = shape.half_threads if half else shape.single_threads
    if half and shape == DECIDE and device.capability == 100:
        threads = 256  # 384 would spill there
    tiles = []
    single = _SINGLE[1:] if shape.few else _SINGLE
    for line in (_SEEDING if shape == GAINS else _HALF) if half else single:
        blocks = max(1, threads // (32 * line.warps))
        size = min(widest, line.slice_bytes)
        tile = Tile(precision, shape.panel, line.warps, blocks, size, line.stages, line.resident)
        needed = tile.shared_memory(width)
        if blocks * (needed + _BLOCK_RESERVE) <= device.shared_memory + _BLOCK_RESERVE:
            return tile
        if needed <= device.shared_memory:
            tiles.append(tile)
    return tiles[0]


def settle_tile(device: Device, precision: Precision, width: int, n_clusters: int) -> Tile | WarpgroupTile:
    """That of settle: of warpgroups where the device has them and the products are what costs."""
    if device.wgmma and precision is HALF_PRECISION and width >= NARROWEST:
        return warpgroup_tile(width, n_clusters)
    return tile_for(device, precision, width, SETTLE)


def pairs_tile(device: Device, precision: Precision, width: int) -> Tile:
    """That of the neighbours among two blocks of rows."""
    return tile_for(device, precision, width, _HALF_PAIRS if precision is HALF_PRECISION else _SINGLE_PAIRS)
