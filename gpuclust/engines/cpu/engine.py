"""The CPU engine: kernels on blocks of rows, run by threads."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from gpuclust.engines.base import DRAW_BLOCK, Assignment, Engine, Movement, Sums, Work
from gpuclust.engines.canonical import FLOOR, OUTWARD, Frame, screen_error
from gpuclust.engines.cpu.screen import decide, improve, keep_unsettled, plan_rows, settle, sketch_limits
from gpuclust.engines.cpu.sketch import Sketch, SketchPlanner, SketchUse
from gpuclust.engines.cpu.sums import block_totals, distances_to_own, move_rows, pairwise, survey
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.cpu.vector import tile_shape

__all__ = ["CpuCenters", "CpuEngine", "Panels"]

# Rows a thread takes at a time: enough to hide the call, few enough to balance and to keep a block's state in cache.
BLOCK = 4096
# Above this share of unsettled rows a float64 screen of them is cheaper than evaluating their candidates.
COARSE = 0.1
# Up to so many centres times features a row is scanned against all or none; beyond, it pays to find out which.
SHORT_SCAN = 8192
# The buffers of sums that threads add into, all together.
SUMS_BUDGET = 256 * 2**20
_NO_WEIGHTS = np.empty(0, np.float64)


class Panels:
    """Centres interleaved for the tile kernels of one precision, with the constants of the screen's bound.

    ``vectors`` (k, w) float64 are the scaled centres (or their sketch), ``squared_norms`` (k,) float64 those of the
    centres.
    """

    def __init__(self, vectors: np.ndarray, squared_norms: np.ndarray, dtype: np.dtype, n_features: int) -> None:
        shape = tile_shape(dtype)
        k, width = vectors.shape
        n_panels = -(-k // shape.centers)
        self.error = screen_error(width, dtype, n_features)
        self.floor = FLOOR[np.dtype(dtype)] * width
        self.shape = (shape.rows, shape.centers, shape.lanes)
        padded = np.zeros((n_panels * shape.centers, 1 + width), dtype)
        # Padding can never win nor reach a limit: scores of real centres are above -4 w.
        padded[:, 0] = -1e30
        padded[:k, 0] = (self.error - 0.5) * squared_norms
        padded[:k, 1:] = vectors
        self.count = n_panels
        self.flat = np.ascontiguousarray(padded.reshape(n_panels, shape.centers, 1 + width).transpose(0, 2, 1)).ravel()


class CpuCenters:
    """Centres prepared for assignment. Panels are made on first use: most fits never need the float64 ones."""

    def __init__(self, values: np.ndarray, frame: Frame, movement: Movement | None) -> None:
        # In the narrower dtype where that holds them: half the traffic of the canonical distances.
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32, order="C")
        self.values = narrow if np.array_equal(narrow, values) else np.ascontiguousarray(values, dtype=np.float64)
        self.frame = frame
        k = len(values)
        self.order = np.arange(k, dtype=np.int32) if movement is None else movement.order
        self.drifts = np.zeros(k + 1) if movement is None else movement.drifts
        self.scaled = (values - frame.origin) * frame.scale
        self.squared_norms = np.einsum("ij,ij->i", self.scaled, self.scaled)
        self._panels: dict[np.dtype, Panels] = {}
        self._sketched: tuple[Sketch, Panels] | None = None
        self._lock = threading.Lock()

    def panels(self, dtype: np.dtype | type) -> Panels:
        key = np.dtype(dtype)
        with self._lock:
            if key not in self._panels:
                self._panels[key] = Panels(
                    self.scaled[self.order], self.squared_norms[self.order], key, self.values.shape[1]
                )
            return self._panels[key]

    def sketched(self, sketch: Sketch) -> Panels:
        with self._lock:
            if self._sketched is None or self._sketched[0] is not sketch:
                vectors = sketch.project_centers(self.scaled[self.order])
                panels = Panels(vectors, self.squared_norms[self.order], np.dtype(np.float32), self.values.shape[1])
                self._sketched = (sketch, panels)
            return self._sketched[1]


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
            bounds = _Block(
                rows[lo:hi], *(a[start + lo : start + hi] for a in (state.labels, state.upper, state.lower))
            )
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


class _Block(NamedTuple):
    """A block of rows and its part of the state."""

    rows: np.ndarray
    labels: np.ndarray
    upper: np.ndarray
    lower: np.ndarray

    def plan(self, centers: CpuCenters, movement: Movement | None, sketched: bool) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the rows whose label may change, and how many leading panels each needs."""
        m, k = len(self.labels), len(centers.values)
        per_panel = tile_shape(np.float32).centers
        if movement is None:
            return np.arange(m, dtype=np.int32), np.full(m, -(-k // per_panel), np.int32)
        kept, needs = np.empty(m, np.int32), np.empty(m, np.int32)
        if not sketched and k * self.rows.shape[1] <= SHORT_SCAN:
            n = keep_unsettled(self.labels, self.upper, self.lower, movement.grown, movement.drifts[0], kept)
            return kept[:n], np.full(n, -(-k // per_panel), np.int32)
        n = plan_rows(
            self.rows, centers.values, centers.frame.scale, movement.grown, movement.drifts, per_panel,
            self.labels, self.upper, self.lower, kept, needs,
        )  # fmt: skip
        return kept[:n], needs[:n]

    def screen_full(self, kept: np.ndarray, needs: np.ndarray, centers: CpuCenters, certify: bool) -> tuple[int, int]:
        """Label the rows by the full screen; return how many were decided canonically and by how many distances."""
        unsettled, limits = self._settle(kept, needs, centers, np.float32, certify)
        partial = np.isnan(limits)
        if partial.any():
            again, more = self._settle(unsettled[partial], None, centers, np.float32, certify)
            unsettled, limits = np.append(unsettled[~partial], again), np.append(limits[~partial], more)
        dtype: type = np.float32
        if len(unsettled) > COARSE * len(kept):
            dtype = np.float64
            unsettled, limits = self._settle(unsettled, None, centers, dtype, certify)
        n = len(unsettled)
        panels = centers.panels(dtype)
        distances = decide(
            self.rows, centers.values, centers.frame.scale, unsettled, np.full(n, panels.count, np.int32), self.rows,
            centers.frame.origin, centers.frame.scale, panels.flat, centers.order, centers.drifts, panels.shape, limits,
            np.zeros(n), False, self.labels, self.upper, self.lower,
        )  # fmt: skip
        return n, distances

    def _settle(
        self, kept: np.ndarray, needs: np.ndarray | None, centers: CpuCenters, dtype: type, certify: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        panels, frame, m = centers.panels(dtype), centers.frame, len(kept)
        unsettled, limits = np.empty(m, np.int32), np.empty(m)
        n = settle(
            self.rows, kept, np.full(m, panels.count, np.int32) if needs is None else needs, frame.origin, frame.scale,
            panels.flat, centers.order, centers.drifts, centers.squared_norms, panels.shape, panels.error, panels.floor,
            certify, self.labels, self.upper, self.lower, unsettled, limits,
        )  # fmt: skip
        return unsettled[:n], limits[:n]

    def screen_sketch(
        self, kept: np.ndarray, needs: np.ndarray, centers: CpuCenters, use: SketchUse, start: int
    ) -> int:
        """Label the rows by the sketch and canonical distances; return how many of these."""
        sketch, margin = use
        frame, panels, n = centers.frame, centers.sketched(sketch), len(kept)
        part = slice(start, start + len(self.rows))
        reach, limits = np.empty(n), np.empty(n)
        sketch_limits(kept, sketch.squares[part], self.upper, margin, panels.error, panels.floor, reach, limits)
        return decide(
            self.rows, centers.values, frame.scale, kept, needs, sketch.rows[part], sketch.origin, 1.0, panels.flat,
            centers.order, centers.drifts, panels.shape, limits, reach, True, self.labels, self.upper, self.lower,
        )  # fmt: skip
