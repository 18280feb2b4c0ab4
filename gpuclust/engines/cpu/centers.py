"""Centres prepared for the tile kernels: interleaved into panels, with the constants of the screen's bound."""

from __future__ import annotations

import threading

import numpy as np

from gpuclust.engines.base import Movement
from gpuclust.engines.canonical import FLOOR, Frame, screen_error
from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.sketch import Sketch
from gpuclust.engines.cpu.vector import tile_shape

__all__ = ["CpuCenters", "Panels"]


class Panels:
    """Centres interleaved for the tile kernels of one precision, with the constants of the screen's bound.

    ``vectors`` (k, w) float64 are the scaled centres (or their sketch), ``squared_norms`` (k,) float64 those of the
    centres, ``order`` (k,) int32 the sequence in which the panels hold them.
    """

    def __init__(
        self, vectors: np.ndarray, squared_norms: np.ndarray, order: np.ndarray, dtype: np.dtype, n_features: int
    ) -> None:
        shape = tile_shape(dtype)
        k, width = vectors.shape
        n_panels = -(-k // shape.centers)
        self.error = screen_error(width, dtype, n_features)
        self.floor = FLOOR[np.dtype(dtype)] * width
        self.shape = (shape.rows, shape.centers, shape.lanes)
        self.count = n_panels
        self.flat = np.zeros(n_panels * shape.centers * (1 + width), dtype)
        interleave(vectors, order, (self.error - 0.5) * squared_norms, shape.centers, self.flat)


@kernel
def interleave(vectors, order, constants, per_panel, flat):  # type: ignore[no-untyped-def]
    """Write the centres in ``order`` into panels; padding can never win nor reach a limit: real scores exceed -4 w."""
    n_centers, width = vectors.shape
    n_slots = flat.size // (width + 1)
    for slot in range(n_slots):
        start = slot // per_panel * per_panel * (width + 1) + slot % per_panel
        if slot >= n_centers:
            flat[start] = -1e30
            continue
        center = order[slot]
        flat[start] = constants[center]
        for j in range(width):
            flat[start + (1 + j) * per_panel] = vectors[center, j]


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
                self._panels[key] = Panels(self.scaled, self.squared_norms, self.order, key, self.values.shape[1])
            return self._panels[key]

    def sketched(self, sketch: Sketch) -> Panels:
        with self._lock:
            if self._sketched is None or self._sketched[0] is not sketch:
                vectors, dtype = sketch.project_centers(self.scaled), np.dtype(np.float32)
                panels = Panels(vectors, self.squared_norms, self.order, dtype, self.values.shape[1])
                self._sketched = (sketch, panels)
            return self._sketched[1]
