"""Vector code the compiler does not find by itself, written as LLVM IR: numba intrinsics that kernels call.

Each is generic over float32 and float64 and over the instruction set: ``tile_shape`` says how many lanes and registers.
"""

from gpuclust.engines.cpu.vector.distance import largest_difference, squared_distance, summed_difference
from gpuclust.engines.cpu.vector.fixed import add_row
from gpuclust.engines.cpu.vector.rows import pack_rows, prefetch_row
from gpuclust.engines.cpu.vector.run import RUN, run_chebyshev, run_euclidean, run_manhattan
from gpuclust.engines.cpu.vector.tile import (
    TileShape,
    bit_count,
    tile_above,
    tile_bounds,
    tile_shape,
    tile_top2,
    trailing_zeros,
)
from gpuclust.engines.cpu.vector.within import within_chebyshev, within_euclidean, within_manhattan

__all__ = [
    "RUN",
    "TileShape",
    "add_row",
    "bit_count",
    "largest_difference",
    "pack_rows",
    "prefetch_row",
    "run_chebyshev",
    "run_euclidean",
    "run_manhattan",
    "squared_distance",
    "summed_difference",
    "tile_above",
    "tile_bounds",
    "tile_shape",
    "tile_top2",
    "trailing_zeros",
    "within_chebyshev",
    "within_euclidean",
    "within_manhattan",
]
