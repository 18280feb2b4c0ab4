"""Seeds: how much candidates would bring rows closer to their nearest seed, and adopting one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.centers import CudaCenters
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import Precision
from gpuclust.engines.cuda.sketch import CudaSketch
from gpuclust.engines.cuda.tiles import GAINS, tile_for
from gpuclust.engines.cuda.variants import Variant

__all__ = ["adopt", "gains"]


def gains(
    kernels: Kernels,
    part: Part,
    candidates: np.ndarray,
    nearest: Any,
    factor: float,
    frame: Frame,
    sketch: CudaSketch | None,
    precision: Precision,
) -> np.ndarray:
    """See :meth:`gpuclust.engines.base.Engine.gains`."""
    total = kernels.xp.zeros(len(candidates), np.int64)
    for first in range(0, len(candidates), GAINS.panel):  # what a launch compares with
        group = slice(first, first + GAINS.panel)
        _compare(kernels, part, candidates[group], nearest, factor, frame, sketch, precision, total[group])
    return total.get()


def adopt(
    kernels: Kernels,
    part: Part,
    candidate: np.ndarray,
    nearest: Any,
    frame: Frame,
    sketch: CudaSketch | None,
    precision: Precision,
) -> None:
    """Lower ``nearest`` to the distance to ``candidate`` (1, d) where that is closer."""
    _compare(kernels, part, candidate, nearest, 1.0, frame, sketch, precision, None)


def _compare(
    kernels: Kernels,
    part: Part,
    candidates: np.ndarray,
    nearest: Any,
    factor: float,
    frame: Frame,
    sketch: CudaSketch | None,
    precision: Precision,
    total: Any | None,
) -> None:
    """Add to ``total`` what each candidate gains; without it, adopt the one candidate."""
    rows = part.rows
    centers = CudaCenters(kernels, kernels.xp.asarray(np.ascontiguousarray(candidates)), frame, None)
    screen = rows.screened(frame, precision) if sketch is None else sketch.rows.of(part.rows_slice)
    tile = tile_for(kernels.device, precision, screen.width, GAINS)
    panels = centers.panels(precision) if sketch is None else sketch.panels(centers)
    kernels.launch(
        Variant("gains", rows.macros + tile.macros), "gains",
        tile.blocks(kernels.device, len(rows)), tile.threads,
        screen.values, np.int32(screen.width), screen.norms, screen.slacks, np.int32(len(rows)),
        panels.values, panels.constants, np.int32(len(candidates)),
        rows.values, np.int32(rows.n_features), centers.values, np.float64(frame.scale),
        np.float32(frame.unit), nearest, part.weights, np.float64(factor), total, np.int32(total is None), None,
        shared_memory=tile.shared_memory(screen.width),
    )  # fmt: skip
