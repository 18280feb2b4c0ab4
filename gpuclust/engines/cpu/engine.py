"""The CPU engine: kernels on blocks of rows, run by threads."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.base import DRAW_BLOCK, Assignment, Engine, Movement, Sums, Work
from gpuclust.engines.canonical import OUTWARD, Frame
from gpuclust.engines.cpu.block import SHORT_SCAN, Block
from gpuclust.engines.cpu.centers import CpuCenters
from gpuclust.engines.cpu.screen import improve
from gpuclust.engines.cpu.sketch import Sketch, SketchPlanner, SketchUse
from gpuclust.engines.cpu.sums import block_totals, distances_to_own, move_rows, pairwise, survey
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.cpu.vector import tile_shape

__all__ = ["CpuEngine"]

# Rows a thread takes at a time: enough to hide the call, few enough to balance and to keep a block's state in cache.
BLOCK = 4096
# The buffers of sums that threads add into, all together.
SUMS_BUDGET = 256 * 2**20
_NO_WEIGHTS = np.empty(0, np.float64)


class CpuEngine(Engine):
    """NumPy arrays, numba kernels, one thread per core."""

    name = "cpu"

    def survey(self, rows: np.ndarray, column_max: np.ndarray) -> tuple[int, int] | None:
        def block(lo: int, hi: int) -> tuple[bool, np.ndarray]:
            largest = np.zeros_like(column_max)
            return survey(rows[lo:hi], largest), largest

        found = run_blocks(block, len(rows), 16 * BLOCK)
        for _, largest in found:
            np.maximum(column_max, largest, out=column_max)
        for b, (finite, _) in enumerate(found):
            if not finite:
                part = rows[b * 16 * BLOCK : (b + 1) * 16 * BLOCK]
                row, column = np.argwhere(~np.isfinite(part))[0]
                return int(b * 16 * BLOCK + row), int(column)
        return None

    def place(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def planner(
        self, rows: np.ndarray | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str
    ) -> SketchPlanner:
        return SketchPlanner(rows, sample, n_clusters, frame, mode)

    def new_assignment(self, n_rows: int) -> Assignment:
        return Assignment(
            labels=np.full(n_rows, -1, np.int32),
            previous=np.full(n_rows, -1, np.int32),
            upper=np.zeros(n_rows, np.float32),
            lower=np.zeros(n_rows, np.float32),
        )

    def prepare_centers(self, centers: np.ndarray, frame: Frame, movement: Movement | None = None) -> CpuCenters:
        return CpuCenters(centers, frame, movement)

    def movement(self, old: np.ndarray, new: np.ndarray, frame: Frame) -> Movement:
        own = np.arange(len(old), dtype=np.int32)
        grown = np.sqrt(self.distances(old, new, own, frame)) * (1.0 + OUTWARD)
        order = np.argsort(-grown, kind="stable").astype(np.int32)
        return Movement(grown, order, np.append(grown[order], 0.0))

    def assign(
        self,
        rows: np.ndarray,
        start: int,
        centers: CpuCenters,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: SketchUse | None = None,
        certify: bool = True,
    ) -> Work:
        def block(lo: int, hi: int) -> Work:
            # Row numbers inside a block fit int32, however many rows the chunk has.
            bounds = Block(rows[lo:hi], *(a[start + lo : start + hi] for a in (state.labels, state.upper, state.lower)))
            kept, needs = bounds.plan(centers, movement, sketch is not None)
            pairs = int(needs.sum()) * tile_shape(np.float32).centers
            if sketch is not None:
                distances = bounds.screen_sketch(kept, needs, centers, sketch, start + lo)
                return Work(pairs, 0, distances)
            unsettled, distances = bounds.screen_full(kept, needs, centers, certify)
            return Work(pairs, unsettled, distances)

        short = len(centers.values) * rows.shape[1] <= SHORT_SCAN
        return sum(run_blocks(block, len(rows), 4 * BLOCK if short else BLOCK), Work())

    def move_rows(
        self,
        rows: np.ndarray,
        weights: np.ndarray | None,
        before: np.ndarray,
        after: np.ndarray,
        frame: Frame,
        sums: Sums,
    ) -> int:
        # One buffer of sums a thread, as many as the budget allows.
        workers = max(1, min(n_threads(), SUMS_BUDGET // (16 * sums.high.size)))
        share = max(BLOCK, -(-len(rows) // workers))

        def block(lo: int, hi: int) -> tuple[int, Sums]:
            part = sums if lo == 0 else Sums.zeros(*sums.high.shape)
            moved = move_rows(
                rows[lo:hi], _NO_WEIGHTS if weights is None else weights[lo:hi], before[lo:hi], after[lo:hi],
                frame.high, frame.low, frame.weight_high, part.high, part.low, part.weight_high, part.weight_low,
            )  # fmt: skip
            return moved, part

        found = run_blocks(block, len(rows), share, workers)
        for _, part in found[1:]:
            sums += part
        return sum(moved for moved, _ in found)

    def distances(self, rows: np.ndarray, centers: np.ndarray, labels: np.ndarray, frame: Frame) -> np.ndarray:
        # Kernels read rows by address, and a caller's centres may have any layout.
        centers, out = np.ascontiguousarray(centers), np.empty(len(rows))
        run_blocks(
            lambda lo, hi: distances_to_own(rows[lo:hi], centers, labels[lo:hi], frame.scale, out[lo:hi]),
            len(rows),
            BLOCK,
        )
        return out

    def pairwise(self, rows: np.ndarray, centers: np.ndarray, frame: Frame) -> np.ndarray:
        centers, out = np.ascontiguousarray(centers), np.empty((len(rows), len(centers)))
        run_blocks(lambda lo, hi: pairwise(rows[lo:hi], centers, frame.scale, out[lo:hi]), len(rows), BLOCK)
        return out

    def improvements(
        self,
        rows: np.ndarray,
        candidates: np.ndarray,
        nearest: np.ndarray,
        frame: Frame,
        sketch: Sketch | None = None,
        start: int = 0,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        centers = CpuCenters(candidates, frame, None)
        panels = centers.panels(np.float32) if sketch is None else centers.sketched(sketch)
        screened = rows if sketch is None else sketch.rows[start : start + len(rows)]
        origin, scale = (frame.origin, frame.scale) if sketch is None else (sketch.origin, 1.0)

        def block(lo: int, hi: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            most = (hi - lo) * len(candidates)
            found = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most)
            n = improve(
                rows[lo:hi], centers.values, frame.scale, nearest[lo:hi], screened[lo:hi], origin, scale, panels.flat,
                panels.shape, panels.error, panels.floor, *found,
            )  # fmt: skip
            return found[0][:n].astype(np.int64) + lo, found[1][:n].copy(), found[2][:n].copy()

        found = run_blocks(block, len(rows), 4 * BLOCK)
        return tuple(np.concatenate(column) for column in zip(*found, strict=True))  # type: ignore[return-value]

    def block_totals(self, values: np.ndarray, weights: np.ndarray | None, factor: float) -> np.ndarray:
        out = np.empty(-(-len(values) // DRAW_BLOCK), np.int64)

        def block(lo: int, hi: int) -> None:
            rows = slice(lo * DRAW_BLOCK, hi * DRAW_BLOCK)
            block_totals(
                values[rows], _NO_WEIGHTS if weights is None else weights[rows], factor, DRAW_BLOCK, out[lo:hi]
            )

        run_blocks(block, len(out), 64)
        return out
