"""Centres prepared for screens: rounded, in falling order of their movement, with the constants of the bound."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.base import Movement
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import Precision, padded
from gpuclust.engines.cuda.tiles import DECIDE, GAINS, SETTLE
from gpuclust.engines.cuda.variants import Variant

__all__ = ["CudaCenters", "Panels", "prepare_panels"]

_WARPS = 8


class Panels(NamedTuple):
    """Centres as a screen reads them: ``values`` (kp, width), ``constants`` and ``twice`` (kp,) float32.

    kp is k rounded up to whole panels of any kernel.
    """

    values: Any
    constants: Any
    twice: Any


class CudaCenters:
    """Centres (k, d) float64 on a device, within a frame; panels are made for the screens that ask for them."""

    def __init__(self, kernels: Kernels, values: Any, frame: Frame, movement: Movement | None) -> None:
        self._kernels, self.values, self.frame = kernels, values, frame
        k = len(values)
        self.order = kernels.xp.arange(k, dtype=np.int32) if movement is None else movement.order
        self._panels: dict[Precision, Panels] = {}

    def panels(self, precision: Precision) -> Panels:
        """The centres for full screens."""
        if precision not in self._panels:
            factor = self.frame.scale * self.frame.unit
            origin = self._kernels.frames[self.frame].origin
            self._panels[precision] = prepare_panels(self._kernels, self.values, self.order, origin, factor, precision)
        return self._panels[precision]


def prepare_panels(
    kernels: Kernels, vectors: Any, order: Any, origin: Any, factor: float, precision: Precision
) -> Panels:
    """Panels of ``(vectors - origin) * factor``, (k, d) float64, in ``order``."""
    xp, (k, d) = kernels.xp, vectors.shape
    per_panel = max(shape.panel for shape in (SETTLE, DECIDE, GAINS))
    kp, width = -(-k // per_panel) * per_panel, padded(d)
    panels = Panels(xp.empty((kp, width), precision.dtype), xp.empty(kp, np.float32), xp.empty(kp, np.float32))
    kernels.launch(
        Variant("rows", (("ROW", "float"), *precision.macros)), "prepare_centers",
        kernels.blocks(-(-kp // _WARPS), 8), 32 * _WARPS,
        vectors, np.int32(k), np.int32(kp), np.int32(d), np.int32(width), order, origin, np.float64(factor),
        *precision.constants(width, of_centers=True), *panels, None,
    )  # fmt: skip
    return panels
