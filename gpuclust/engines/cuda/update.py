"""Sums kept up by the rows that changed label, and new centres from them: the end of an iteration, without the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.base import Assignment, Movement, Outcome, Sums
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.assign import CudaAssignment, Screening
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.totals import ExactTotal
from gpuclust.engines.cuda.variants import Variant

__all__ = ["CudaUpdate", "move_rows", "movement", "update_centers"]

# Rows whose items are listed at a time: bounds the lists.
PIECE = 1 << 22
# Counters that a block may keep in shared memory, 4 bytes each.
_LOCAL_COUNTERS = 8192
_RECORD = np.dtype([("n_moved", np.int64), ("n_empty", np.int64), ("shift", np.float64), ("halted", np.int64)])


def move_rows(
    kernels: Kernels, rows: PlacedRows, weights: Any | None, state: Assignment, frame: Frame, sums: Sums
) -> None:
    """See :meth:`gpuclust.engines.base.Engine.move_rows`."""
    xp, (k, d) = kernels.xp, sums.high.shape
    m = min(len(rows), PIECE)
    items, starts = xp.empty(2 * m, np.int32), xp.empty(k + 1, np.int32)
    histogram, cursors = xp.zeros(k, np.int32), xp.empty(k, np.int32)
    local = k <= _LOCAL_COUNTERS
    counters = 4 * k if local else 0
    high_scale, halt = kernels.frames[frame].high, state.halt
    for first in range(0, len(rows), PIECE):
        piece = slice(first, first + PIECE)
        labels, previous = state.labels[piece], state.previous[piece]
        n = np.int32(len(labels))
        update = Variant("update", rows.macros)
        blocks = kernels.blocks(-(-len(labels) // 1024), 4)
        kernels.launch(
            update, "count_items", blocks, 256,
            labels, previous, n, np.int32(k), np.int32(local), histogram, sums.n_moved, halt, shared_memory=counters,
        )  # fmt: skip
        kernels.launch(update, "scan", 1, 1024, histogram, np.int32(k), starts, cursors, halt)
        kernels.launch(
            update, "list_items", blocks, 256,
            labels, previous, n, np.int32(k), np.int32(local), cursors, items, halt, shared_memory=counters,
        )  # fmt: skip
        columns = -(-d // 128)
        runs = max(1, kernels.blocks(-(-2 * len(labels) // 128), 2) // columns)
        kernels.launch(
            update, "add_items", (runs, columns), 256,
            rows.values[piece], None if weights is None else weights[piece], np.int32(d), items, starts, np.int32(k),
            high_scale, np.float64(frame.low), np.float64(frame.weight_high),
            sums.high, sums.low, sums.weight_high, sums.weight_low, halt,
        )  # fmt: skip


class CudaUpdate:
    """New centres and their movement, perhaps still being computed, and the record of what was found, on its way."""

    def __init__(self, centers: Any, movement: Movement, copies: Copies, screening: Screening) -> None:
        self.centers, self.movement = centers, movement
        self._copies, self._screening = copies, screening

    def outcome(self) -> Outcome:
        """What was found; waits for the device."""
        record, work = self._copies.wait()
        self._screening.judge(work, len(self.centers))
        found = record.view(_RECORD)[0]
        return Outcome(int(found["n_moved"]), int(found["n_empty"]), float(found["shift"]))


def update_centers(
    kernels: Kernels,
    centers: Any,
    sums: Sums,
    state: CudaAssignment,
    frame: Frame,
    *,
    dtype: np.dtype,
    spherical: bool,
    tolerance: float,
    keep_empty: bool,
) -> CudaUpdate:
    """See :meth:`gpuclust.engines.base.Engine.update_centers`."""
    xp, (k, d) = kernels.xp, centers.shape
    variant, halt = Variant("centers"), state.halt
    updated, n_empty = xp.empty((k, d), np.float64), xp.zeros(1, np.int32)
    to_float = np.int32(dtype == np.float32)
    kernels.launch(
        variant, "means", kernels.blocks(k * -(-d // 128), 16), 128,
        sums.high, sums.low, sums.weight_high, sums.weight_low, np.int32(k), np.int32(d), kernels.frames[frame].high,
        np.float64(frame.low), np.float64(frame.weight_high), centers, np.int32(0) if spherical else to_float,
        updated, n_empty, halt,
    )  # fmt: skip
    if spherical:
        kernels.launch(
            variant, "directions", kernels.blocks(-(-k // 8), 8), 256,
            updated, centers, np.int32(k), np.int32(d), np.float64(frame.scale), to_float, halt,
        )  # fmt: skip
    squared, moved = movement(kernels, centers, updated, frame, halt)
    shift = ExactTotal(kernels, halt)
    shift.add(squared)
    record = xp.zeros(_RECORD.itemsize, np.uint8)
    kernels.launch(
        variant, "conclude", 1, 1,
        shift.rounded(), sums.n_moved, n_empty, np.float64(tolerance), np.int32(keep_empty), record, halt,
    )  # fmt: skip
    work = state.screening.work
    hosts = _copied(xp, record, work)
    work.fill(0)
    return CudaUpdate(updated, moved, hosts, state.screening)


def movement(kernels: Kernels, old: Any, new: Any, frame: Frame, halt: Any | None) -> tuple[Any, Movement]:
    """Squared movements (k,) of the centres, canonical distances, and the `Movement`."""
    xp, (k, d) = kernels.xp, old.shape
    squared, grown = xp.empty(k, np.float64), xp.empty(k, np.float64)
    kernels.launch(
        Variant("centers"), "moved", kernels.blocks(-(-k // 8), 8), 256,
        old, new, np.int32(k), np.int32(d), np.float64(frame.scale), squared, grown, halt,
    )  # fmt: skip
    order = xp.argsort(-grown).astype(np.int32)
    drifts = xp.concatenate((grown[order], xp.zeros(1, np.float64)))
    return squared, Movement(grown, order, drifts)


class Copies(NamedTuple):
    """Small arrays on their way to pinned memory."""

    arrays: tuple[np.ndarray, ...]
    sent: Any

    def wait(self) -> tuple[np.ndarray, ...]:
        """The arrays, once they have arrived."""
        self.sent.synchronize()
        return self.arrays


def _copied(xp: Any, *arrays: Any) -> Copies:
    """Begin to copy arrays to the host."""
    stream, copies = xp.cuda.get_current_stream(), []
    for array in arrays:
        copies.append(np.frombuffer(xp.cuda.alloc_pinned_memory(array.nbytes), array.dtype, array.size))
        array.get(stream=stream, out=copies[-1], blocking=False)
    sent = xp.cuda.Event(disable_timing=True)
    sent.record(stream)
    return Copies(tuple(copies), sent)
