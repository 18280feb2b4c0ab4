"""The assignment of a block of rows: which need a look, at which centres, by which screen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.base import Movement
from gpuclust.engines.cpu.centers import CpuCenters
from gpuclust.engines.cpu.screen import decide, keep_unsettled, plan_rows, settle, sketch_limits
from gpuclust.engines.cpu.vector import tile_shape
from gpuclust.engines.planner import SketchUse

__all__ = ["SHORT_SCAN", "Block"]

# Above this share of unsettled rows a float64 screen of them is cheaper than evaluating their candidates.
COARSE = 0.1
# Up to so many centres times features a row is scanned against all or none; beyond, it pays to find out which.
SHORT_SCAN = 8192


class Block(NamedTuple):
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
