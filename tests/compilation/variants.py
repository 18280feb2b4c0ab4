"""Every compilation that the CUDA engine may ask for on a device of each architecture, by the engine's own launch table."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION, Precision
from gpuclust.engines.cuda.tiles import DECIDE, GAINS, SETTLE, Shape, Tile, tile_for
from gpuclust.engines.cuda.variants import Variant, row_macros
from tests.compilation.compiler import capability
from tests.compilation.occupancy import MULTIPROCESSORS

WIDTH = 128  # of the rows that the figures of a tile are for, or the widest that it serves
WIDTHS = range(16, 4097, 16)
ROWS = [row_macros(np.float32), row_macros(np.float64)]


class Job(NamedTuple):
    """A variant of a kernel file, for an architecture; bytes of dynamic shared memory and threads where a tile has them."""

    variant: Variant
    architecture: str
    shared_bytes: int = 0
    threads: int | None = None

    def __str__(self) -> str:
        return f"{self.variant.file} [{self.variant.label}] {self.architecture}"


def jobs(architecture: str) -> Iterator[Job]:
    """What a device of this architecture may be asked to run."""
    precisions = [SINGLE_PRECISION, HALF_PRECISION] if capability(architecture) >= 80 else [SINGLE_PRECISION]
    for file in ("centers", "seeding", "total"):
        yield Job(Variant(file), architecture)
    for rows in ROWS:
        for file in ("distances", "plan", "update"):
            yield Job(Variant(file, rows), architecture)
        for precision in precisions:
            yield Job(Variant("rows", rows + precision.macros), architecture)
    for precision in precisions:
        for tile, shared_bytes in tiles(architecture, precision, SETTLE):
            yield Job(Variant("settle", tile.macros), architecture, shared_bytes, tile.threads)
        for file, shape in (("decide", DECIDE), ("gains", GAINS)):
            for tile, shared_bytes in tiles(architecture, precision, shape):
                for rows in ROWS:
                    yield Job(Variant(file, rows + tile.macros), architecture, shared_bytes, tile.threads)


def tiles(architecture: str, precision: Precision, shape: Shape) -> list[tuple[Tile, int]]:
    """The tiles that the engine chooses for rows of any width, and the shared memory that each asks for."""
    device = SimpleNamespace(shared_memory=MULTIPROCESSORS[capability(architecture)].block_shared_bytes)
    widths: dict[Tile, list[int]] = {}
    for width in WIDTHS:
        widths.setdefault(tile_for(device, precision, width, shape), []).append(width)
    return [
        (tile, tile.shared_memory(WIDTH if WIDTH in served else max(served))) for tile, served in widths.items()
    ]
