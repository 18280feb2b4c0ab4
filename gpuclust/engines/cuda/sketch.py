"""The sketch on a device: rows in a few principal directions plus their residual norm, as screen rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.canonical import SKETCH_SLACK, Frame
from gpuclust.engines.cuda.centers import CudaCenters, Panels, prepare_panels
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import Precision
from gpuclust.engines.cuda.rows import PlacedRows, prepare_rows, screen_room
from gpuclust.engines.planner import Costs, Host, SketchPlanner

__all__ = ["COSTS", "CudaSketch", "planner"]

# In nanoseconds of a whole H100, from its data sheet and instruction counts (kernels/README.md), not measured yet:
# products at 400 TFLOP/s, 8 instructions a score, float64 distances bound by reading their rows.
COSTS = Costs(multiply_add=5e-6, score=3e-4, distance=5e-2, distance_feature=1.3e-3, packed=6e-4, planning=5e6)
# Rows projected at a time, in float64.
_BLOCK = 1 << 16


class CudaSketch:
    """All rows, (n, q + 1) in a screen's precision: coordinates along ``basis`` (d, q), norm of the rest rounded up."""

    def __init__(
        self, kernels: Kernels, rows: PlacedRows, basis: np.ndarray, frame: Frame, precision: Precision
    ) -> None:
        xp = kernels.xp
        self._kernels, self._frame, self._basis = kernels, frame, xp.asarray(basis)
        self._origin = xp.zeros(basis.shape[1] + 1, np.float64)
        self.rows = screen_room(kernels, len(rows), basis.shape[1] + 1, precision)
        for first in range(0, len(rows), _BLOCK):
            block = slice(first, first + _BLOCK)
            projected = self._project(rows.values[block].astype(np.float64))
            prepare_rows(kernels, projected, self._origin, frame.unit, self.rows.of(block))

    def panels(self, centers: CudaCenters) -> Panels:
        """The centres' sketch."""
        vectors, precision = self._project(centers.values), self.rows.precision
        return prepare_panels(self._kernels, vectors, centers.order, self._origin, self._frame.unit, precision)

    def _project(self, values: Any) -> Any:
        xp, d = self._kernels.xp, values.shape[1]
        scaled = (values - self._kernels.frames[self._frame].origin) * self._frame.scale
        coordinates = xp.matmul(scaled, self._basis)
        squares, inside = (scaled * scaled).sum(axis=1), (coordinates * coordinates).sum(axis=1)
        slack = SKETCH_SLACK + d * 2.0**-50
        rest = xp.sqrt(xp.maximum(squares - inside, 0.0) + slack * squares)
        return xp.concatenate((coordinates, rest[:, None]), axis=1)


def planner(
    kernels: Kernels,
    rows: PlacedRows | None,
    sample: np.ndarray,
    n_clusters: int,
    frame: Frame,
    mode: str,
    precision: Precision,
) -> SketchPlanner:
    """The planner for rows on a device; None: they are not resident as one part."""

    def gather(array: Any, numbers: np.ndarray) -> np.ndarray:
        return array[kernels.xp.asarray(numbers)].get()

    def take(numbers: np.ndarray) -> np.ndarray:
        assert rows is not None
        return gather(rows.values, numbers)

    def build(basis: np.ndarray) -> CudaSketch:
        assert rows is not None
        return CudaSketch(kernels, rows, basis, frame, precision)

    host = Host(0 if rows is None else len(rows), take, gather, lambda array: array.get(), build, COSTS)
    return SketchPlanner(host, sample, n_clusters, frame, mode)
