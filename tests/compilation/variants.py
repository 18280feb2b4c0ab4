"""Every compilation that the CUDA engine may ask for, on each architecture, by the engine's own launch table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from gpuclust.engines.cuda.cells import DEPTHS
from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION, Precision
from gpuclust.engines.cuda.tiles import DECIDE, GAINS, SETTLE, Shape, Tile, pairs_tile, tile_for
from gpuclust.engines.cuda.variants import Variant, metric_macros, row_macros
from gpuclust.engines.cuda.warpgroups import NARROWEST, WarpgroupTile, warpgroup_tile
from gpuclust.engines.distance_sums import SUMMED
from gpuclust.engines.neighborhood import METRICS
from tests.compilation.compiler import ARCHITECTURES, capability
from tests.compilation.cubin import Kernel
from tests.compilation.occupancy import MULTIPROCESSORS, resident_blocks

WIDTH = 128  # of the rows that the figures of a tile are for, or the widest that it serves
WIDTHS = tuple(range(16, 4097, 16))
ROWS = [row_macros(np.float32), row_macros(np.float64)]


class Job(NamedTuple):
    """A variant of a kernel file, for an architecture.

    Where it has tiles: the widths of rows that it serves, the threads of its blocks, and the bytes of shared memory
    that they ask for, for rows of ``WIDTH``, or the widest that it serves.
    """

    variant: Variant
    architecture: str
    widths: tuple[int, ...] = WIDTHS
    threads: int | None = None
    shared_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.variant.file} [{self.variant.label}] {self.architecture}"

    def resident_blocks(self, kernel: Kernel) -> int:
        """How many blocks of a kernel of this compilation a multiprocessor holds; 0 if one does not fit."""
        shared_bytes = kernel.shared_bytes + self.shared_bytes
        return resident_blocks(capability(self.architecture), kernel.max_threads or 1, kernel.registers, shared_bytes)


def all_jobs() -> list[Job]:
    """Those of all architectures."""
    return [job for architecture in ARCHITECTURES for job in jobs(architecture)]


def jobs(architecture: str) -> Iterator[Job]:
    """What a device of this architecture may be asked to run."""
    if capability(architecture) == 90:
        for warpgroups, widths in warpgroup_tiles().items():
            yield _tiled(Variant("settle", warpgroups.macros), architecture, warpgroups, widths)
    precisions = [SINGLE_PRECISION, HALF_PRECISION] if capability(architecture) >= 80 else [SINGLE_PRECISION]
    for file in ("centers", "dbscan_pairs", "seeding", "total"):
        yield Job(Variant(file), architecture)
    for rows in ROWS:
        for file in ("dbscan_boxes", "dbscan_grid", "distances", "mixture", "plan", "update"):
            yield Job(Variant(file, rows), architecture)
        for metric in METRICS[1:]:
            yield Job(Variant("distances", rows + metric_macros(metric)), architecture)
        for metric in SUMMED:
            yield Job(Variant("distance_sums", rows + metric_macros(metric)), architecture)
        for file, depth in product(("dbscan_count", "dbscan_link"), DEPTHS):
            yield Job(Variant(file, (*rows, ("DEPTH", str(depth)))), architecture)
        for precision in precisions:
            yield Job(Variant("rows", rows + precision.macros), architecture)
    for precision in precisions:
        for tile, widths in tiles(architecture, precision, SETTLE).items():
            yield _tiled(Variant("settle", tile.macros), architecture, tile, widths)
        for file, shape in (("decide", DECIDE), ("gains", GAINS)):
            for tile, widths in tiles(architecture, precision, shape).items():
                for rows in ROWS:
                    yield _tiled(Variant(file, rows + tile.macros), architecture, tile, widths)
        for tile, widths in tiles(architecture, precision, None).items():
            for rows, metric in product(ROWS, METRICS if precision is SINGLE_PRECISION else METRICS[:1]):
                variant = Variant("dbscan_tiles", rows + metric_macros(metric) + tile.macros)
                yield _tiled(variant, architecture, tile, widths)


def tiles(architecture: str, precision: Precision, shape: Shape | None) -> dict[Tile, tuple[int, ...]]:
    """The tiles that the engine chooses, each with the widths that it is chosen for; no shape: of pairs of rows."""
    number = capability(architecture)
    device = SimpleNamespace(capability=number, shared_memory=MULTIPROCESSORS[number].block_shared_bytes)
    widths: dict[Tile, list[int]] = {}
    for width in WIDTHS:
        tile = tile_for(device, precision, width, shape) if shape else pairs_tile(device, precision, width)
        widths.setdefault(tile, []).append(width)
    return {tile: tuple(served) for tile, served in widths.items()}


def warpgroup_tiles() -> dict[WarpgroupTile, tuple[int, ...]]:
    """Those that take the place of settle's on compute capability 9.0, but for narrow rows."""
    widths: dict[WarpgroupTile, dict[int, None]] = {}
    for n_clusters, width in product((100, 1000), WIDTHS):
        if width >= NARROWEST:
            widths.setdefault(warpgroup_tile(width, n_clusters), {})[width] = None
    return {tile: tuple(served) for tile, served in widths.items()}


def _tiled(variant: Variant, architecture: str, tile: Tile | WarpgroupTile, widths: tuple[int, ...]) -> Job:
    width = WIDTH if WIDTH in widths else max(widths)
    return Job(variant, architecture, widths, tile.threads, tile.shared_memory(width))
