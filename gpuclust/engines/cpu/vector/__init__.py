"""Vector code the compiler does not find by itself, written as LLVM IR: numba intrinsics that kernels call.

Each is generic over float32 and float64 and over the instruction set: ``tile_shape`` says how many lanes and registers.
"""

from gpuclust.engines.cpu.vector.distance import squared_distance
from gpuclust.engines.cpu.vector.fixed import add_row
from gpuclust.engines.cpu.vector.rows import pack_rows, prefetch_row
from gpuclust.engines.cpu.vector.tile import TileShape, tile_above, tile_bounds, tile_shape, tile_top2, trailing_zeros

__all__ = [
    "TileShape",
    "add_row",
    "pack_rows",
    "prefetch_row",
    "squared_distance",
    "tile_above",
    "tile_bounds",
    "tile_shape",
    "tile_top2",
    "trailing_zeros",
]
