"""Certified assignment: plan which rows need a look, screen and settle them, decide the rest canonically."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuclust.engines.base import Assignment, Movement
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.centers import CudaCenters
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import SINGLE_PRECISION, Precision
from gpuclust.engines.cuda.rows import PlacedRows, ScreenRows
from gpuclust.engines.cuda.tiles import DECIDE, SETTLE, Shape, settle_tile, tile_for
from gpuclust.engines.cuda.variants import Variant
from gpuclust.engines.planner import SketchUse

__all__ = ["CudaAssignment", "Screening", "by_sketch", "in_full"]

# Share of the screened rows that may stay open before screens go on in float32.
COARSE = 0.3
# Counters that a block may keep in shared memory.
_LOCAL_COUNTERS = 8192


class Screening:
    """What the screens of a run compute in, and what they have cost.

    Attributes
    ----------
    precision : Precision
    work : (3,) uint64 on the device
        Pairs screened, rows left open, canonical distances since the last update of the centres.
    """

    def __init__(self, kernels: Kernels, precision: Precision) -> None:
        self.precision = self._first = precision
        self._judges = True
        self._out_of_memory = kernels.xp.cuda.memory.OutOfMemoryError
        self.work = kernels.xp.zeros(3, np.uint64)

    def screened(self, rows: PlacedRows, frame: Frame) -> ScreenRows:
        """The rows for these screens; in the precision that screens began with where there is no memory for another."""
        try:
            return rows.screened(frame, self.precision)
        except self._out_of_memory:
            if self.precision is self._first:
                raise
            self.precision, self._judges = self._first, False
            return rows.screened(frame, self.precision)

    def judge(self, work: np.ndarray, n_clusters: int) -> None:
        """Go on in float32 when the work of an iteration shows that float16 leaves too many rows open."""
        slots = -(-n_clusters // SETTLE.panel) * SETTLE.panel  # the pairs of a row, padding counted
        screened_rows, open_rows = int(work[0]) / slots, int(work[1])
        if self._judges and open_rows > COARSE * screened_rows:
            self.precision = SINGLE_PRECISION


@dataclass
class CudaAssignment(Assignment):
    """Arrays on a device; ``screening`` is the whole run's."""

    screening: Any = None

    def __getitem__(self, rows: slice) -> CudaAssignment:
        arrays = (self.labels[rows], self.previous[rows], self.upper[rows], self.lower[rows])
        return CudaAssignment(*arrays, self.halt, self.screening)


def in_full(
    kernels: Kernels,
    rows: PlacedRows,
    centers: CudaCenters,
    state: CudaAssignment,
    movement: Movement | None,
    certify: bool,
) -> None:
    """Label rows by a screen at full width; ``state`` is that of these rows."""
    device, screen, lists = kernels.device, state.screening.screened(rows, centers.frame), rows.lists
    precision = screen.precision
    panels, frame, k = centers.panels(precision), centers.frame, np.int32(len(centers.values))
    n_kept, n_again, n_open = lists.lengths
    lists.counts.fill(0)
    inverse_unit = np.float32(1.0 / frame.unit)
    rows_screened = (screen.values, np.int32(screen.width), screen.norms, screen.slacks)
    labels = (state.labels, state.upper, state.lower)
    tile = settle_tile(device, precision, screen.width, len(centers.values))

    def settle(kept: Any | None, needs: Any | None, count: Any) -> None:
        kernels.launch(
            Variant("settle", tile.macros), "settle", tile.blocks(device, len(rows)), tile.threads,
            *rows_screened, kept, needs, count, panels.values, panels.constants, panels.twice, centers.order,
            None if movement is None else movement.drifts, k, inverse_unit, np.int32(certify), *labels,
            lists.open_rows, lists.open_limits, n_open, lists.again, n_again, state.screening.work, state.halt,
            shared_memory=tile.shared_memory(screen.width),
        )  # fmt: skip

    if movement is None:
        settle(None, None, rows.count)
    else:
        _plan(kernels, rows, centers, state, movement, SETTLE, n_kept)
        settle(lists.kept, lists.kept_needs, n_kept)
        settle(lists.again, None, n_again)
    deciding = tile_for(device, precision, screen.width, DECIDE)
    kernels.launch(
        Variant("decide", rows.macros + deciding.macros), "decide", deciding.blocks(device, len(rows)),
        deciding.threads,
        *rows_screened, lists.open_rows, lists.open_limits, n_open, panels.values, panels.constants, centers.order, k,
        rows.values, centers.values, np.int32(rows.n_features), np.float64(frame.scale), inverse_unit, *labels,
        state.screening.work, state.halt, shared_memory=deciding.shared_memory(screen.width),
    )  # fmt: skip


def by_sketch(
    kernels: Kernels,
    rows: PlacedRows,
    start: int,
    centers: CudaCenters,
    state: CudaAssignment,
    movement: Movement,
    use: SketchUse,
) -> None:
    """Label rows, which all have labels, by a sketch of all rows (these begin at ``start``) and canonical distances."""
    screen, lists, frame = use.sketch.rows.of(slice(start, start + len(rows))), rows.lists, centers.frame
    panels, k = use.sketch.panels(centers), len(centers.values)
    n_kept = lists.lengths[0]
    lists.counts.fill(0)
    _plan(kernels, rows, centers, state, movement, DECIDE, n_kept)
    tile = tile_for(kernels.device, screen.precision, screen.width, DECIDE)
    kernels.launch(
        Variant("decide", rows.macros + tile.macros), "decide_sketch", tile.blocks(kernels.device, len(rows)),
        tile.threads,
        screen.values, np.int32(screen.width), screen.norms, screen.slacks, lists.kept, lists.kept_needs, n_kept,
        panels.values, panels.constants, centers.order, movement.drifts, np.int32(k),
        rows.values, centers.values, np.int32(rows.n_features), np.float64(frame.scale), np.float32(frame.unit),
        use.margin, state.labels, state.upper, state.lower, state.screening.work, state.halt,
        shared_memory=tile.shared_memory(screen.width),
    )  # fmt: skip


def _plan(
    kernels: Kernels,
    rows: PlacedRows,
    centers: CudaCenters,
    state: CudaAssignment,
    movement: Movement,
    shape: Shape,
    count: Any,
) -> None:
    """List the rows whose label may have changed, by falling number of panels that they need."""
    xp, lists, m, k = kernels.xp, rows.lists, len(rows), len(centers.values)
    n_panels = -(-k // shape.panel)
    histogram, starts = xp.zeros(n_panels + 1, np.int32), xp.empty(n_panels + 1, np.int32)
    local = n_panels < _LOCAL_COUNTERS
    counters = 4 * (n_panels + 1) if local else 0
    variant, blocks = Variant("plan", rows.macros), kernels.blocks(-(-m // 256), 4)
    kernels.launch(
        variant, "plan", blocks, 256,
        rows.values, np.int32(m), np.int32(rows.n_features), centers.values, np.float64(centers.frame.scale),
        movement.grown, movement.drifts, np.int32(k), np.int32(shape.panel), np.int32(local),
        state.labels, state.upper, state.lower, lists.needs, histogram, state.halt, shared_memory=counters,
    )  # fmt: skip
    kernels.launch(variant, "offsets", 1, 1024, histogram, np.int32(n_panels), starts, count, state.halt)
    kernels.launch(
        variant, "list_rows", blocks, 256,
        lists.needs, np.int32(m), np.int32(n_panels), np.int32(local), starts, lists.kept, lists.kept_needs, state.halt,
        shared_memory=counters,
    )  # fmt: skip
