"""The CPU engine: kernels on blocks of rows, run by threads."""

from __future__ import annotations

import threading

import numpy as np

from gpuclust.engines.base import Assignment, Engine, Movement, Sums, Work
from gpuclust.engines.canonical import FLOOR, OUTWARD, Frame, screen_error
from gpuclust.engines.cpu.screen import decide, keep_unsettled, own_limits, settle
from gpuclust.engines.cpu.sketch import Sketch, SketchPlanner
from gpuclust.engines.cpu.sums import distances_to_own, move_rows, pairwise, survey
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.cpu.vector import tile_shape

__all__ = ["CpuCenters", "CpuEngine", "Panels"]

# Rows a thread takes at a time: enough to hide the call, few enough to balance and to keep a block's state in cache.
BLOCK = 4096
# Above this share of unsettled rows a float64 screen of them is cheaper than evaluating their candidates.
COARSE = 0.1
# The buffers of sums that threads add into, all together.
SUMS_BUDGET = 256 * 2**20
_NO_WEIGHTS = np.empty(0, np.float64)


class Panels:
    """Centres interleaved for the tile kernels of one precision, with the constants of the screen's bound.

    ``vectors`` (k, w) float64 are the scaled centres (or their sketch), ``squared_norms`` (k,) float64 those of the centres.
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
        self.flat = np.ascontiguousarray(padded.reshape(n_panels, shape.centers, 1 + width).transpose(0, 2, 1)).ravel()


class CpuCenters:
    """Centres prepared for assignment. Panels are made on first use: most fits never need the float64 ones."""

    def __init__(self, values: np.ndarray, frame: Frame) -> None:
        self.values = np.ascontiguousarray(values, dtype=np.float64)
        self.frame = frame
        self.scaled = (self.values - frame.origin) * frame.scale
        self.squared_norms = np.einsum("ij,ij->i", self.scaled, self.scaled)
        self._panels: dict[np.dtype, Panels] = {}
        self._sketched: tuple[Sketch, Panels] | None = None
        self._lock = threading.Lock()

    def panels(self, dtype: np.dtype | type) -> Panels:
        key = np.dtype(dtype)
        with self._lock:
            if key not in self._panels:
                self._panels[key] = Panels(self.scaled, self.squared_norms, key, self.values.shape[1])
            return self._panels[key]

    def sketched(self, sketch: Sketch) -> Panels:
        with self._lock:
            if self._sketched is None or self._sketched[0] is not sketch:
                vectors = sketch.project(self.scaled)[:, :-1]
                panels = Panels(vectors, self.squared_norms, np.dtype(np.float32), self.values.shape[1])
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

    def planner(self, rows: np.ndarray | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> SketchPlanner:
        return SketchPlanner(rows, sample, n_clusters, frame, mode)

    def new_assignment(self, n_rows: int) -> Assignment:
        return Assignment(
            labels=np.full(n_rows, -1, np.int32),
            previous=np.full(n_rows, -1, np.int32),
            upper=np.zeros(n_rows, np.float32),
            lower=np.zeros(n_rows, np.float32),
        )

    def prepare_centers(self, centers: np.ndarray, frame: Frame) -> CpuCenters:
        return CpuCenters(centers, frame)

    def movement(self, old: np.ndarray, new: np.ndarray, frame: Frame) -> Movement:
        own = np.arange(len(old), dtype=np.int32)
        grown = np.sqrt(self.distances(old, new, own, frame)) * (1.0 + OUTWARD)
        fallen = np.full(len(old), grown.max())
        widest = int(grown.argmax())
        fallen[widest] = np.delete(grown, widest).max(initial=0.0)
        return Movement(grown, fallen)

    def assign(
        self,
        rows: np.ndarray,
        start: int,
        centers: CpuCenters,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: Sketch | None = None,
        certify: bool = True,
    ) -> Work:
        def block(lo: int, hi: int) -> Work:
            # Row numbers inside a block fit int32, however many rows the chunk has.
            part = rows[lo:hi]
            labels, upper, lower = (a[start + lo : start + hi] for a in (state.labels, state.upper, state.lower))
            kept = _kept(labels, upper, lower, movement)
            if not len(kept):
                return Work()
            if sketch is not None:
                return self._assign_sketched(part, kept, centers, sketch, start + lo, labels, upper, lower)
            return self._assign_full(part, kept, centers, certify, labels, upper, lower)

        return sum(run_blocks(block, len(rows), BLOCK), Work())

    def _assign_full(
        self,
        rows: np.ndarray,
        kept: np.ndarray,
        centers: CpuCenters,
        certify: bool,
        labels: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
    ) -> Work:
        frame, candidates = centers.frame, kept
        for dtype in (np.float32, np.float64):
            panels = centers.panels(dtype)
            unsettled, limits = np.empty(len(candidates), np.int32), np.empty(len(candidates))
            n = settle(
                rows, candidates, frame.origin, frame.scale, panels.flat, centers.squared_norms, panels.shape,
                panels.error, panels.floor, certify, labels, upper, lower, unsettled, limits,
            )  # fmt: skip
            candidates, limits = unsettled[:n], limits[:n]
            if n <= COARSE * len(kept):
                break
        distances = decide(
            rows, centers.values, frame.scale, candidates, rows, frame.origin, frame.scale, panels.flat, panels.shape,
            limits, np.full(n, np.inf), labels, upper, lower,
        )  # fmt: skip
        return Work(len(kept), n, distances)

    def _assign_sketched(
        self,
        rows: np.ndarray,
        kept: np.ndarray,
        centers: CpuCenters,
        sketch: Sketch,
        start: int,
        labels: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
    ) -> Work:
        frame = centers.frame
        panels = centers.sketched(sketch)
        part = slice(start, start + len(rows))
        own, limits = np.empty(len(kept)), np.empty(len(kept))
        own_limits(
            rows, kept, centers.values, frame.scale, sketch.squares[part], panels.error, panels.floor, labels, own, limits
        )
        distances = decide(
            rows, centers.values, frame.scale, kept, sketch.rows[part], sketch.origin, 1.0, panels.flat, panels.shape,
            limits, own, labels, upper, lower,
        )  # fmt: skip
        return Work(len(kept), len(kept), distances + len(kept))

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
        out = np.empty(len(rows))
        run_blocks(
            lambda lo, hi: distances_to_own(rows[lo:hi], centers, labels[lo:hi], frame.scale, out[lo:hi]),
            len(rows),
            BLOCK,
        )
        return out

    def pairwise(self, rows: np.ndarray, centers: np.ndarray, frame: Frame) -> np.ndarray:
        out = np.empty((len(rows), len(centers)))
        run_blocks(lambda lo, hi: pairwise(rows[lo:hi], centers, frame.scale, out[lo:hi]), len(rows), BLOCK)
        return out


def _kept(labels: np.ndarray, upper: np.ndarray, lower: np.ndarray, movement: Movement | None) -> np.ndarray:
    """Numbers of the rows whose label may change."""
    if movement is None:
        return np.arange(len(labels), dtype=np.int32)
    kept = np.empty(len(labels), np.int32)
    return kept[: keep_unsettled(labels, upper, lower, movement.grown, movement.fallen, kept)]
