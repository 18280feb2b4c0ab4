"""Blocks of rows that are compared with each other, prepared as rows and as columns of a screen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.arrangement import Arrangement
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION, Precision
from gpuclust.engines.cuda.rows import PlacedRows, ScreenRows
from gpuclust.engines.cuda.variants import Variant
from gpuclust.engines.neighborhood import Neighborhood

__all__ = ["Block", "Limits", "pairs_precision", "prepare_block"]

_WIDEST_PANEL = 128  # of kernels/tile.cuh
# Share of pairs in doubt from which on a screen of float32 costs less: a canonical distance takes a warp about as long
# as the screens of a hundred pairs by tensor cores.
_COARSE = 0.01


@dataclass(frozen=True)
class Block:
    """Rows from number ``start`` on; 21 bytes a row, besides the rows and their copies in the screen's precision.

    The ``screen``, and what follows from it, is in the order of the ``arrangement``. ``constants`` and ``twice`` (whole
    panels,) float32 are of the rows as columns: `kernels/dbscan_pairs.cu`.
    """

    start: int
    rows: PlacedRows
    arrangement: Arrangement
    screen: ScreenRows
    constants: Any
    twice: Any

    def __len__(self) -> int:
        return len(self.rows)


class Limits(NamedTuple):
    """The neighbourhood's limit in units of the screen, rounded down and up; ``spread``: `kernels/neighbors.cuh`."""

    below: np.float32
    above: np.float32
    spread: np.float32

    @classmethod
    def of(cls, neighborhood: Neighborhood, frame: Frame, precision: Precision, n_features: int, width: int) -> Limits:
        """Those of rows of ``n_features``, screened at ``width``."""
        if neighborhood.metric == "euclidean":
            factor, error, spread = frame.unit**2, 0.0, 0.0
        else:
            # Each of `width` terms is rounded, and each sum; 16 more cover the comparison, and all of it twice.
            factor, error = frame.unit, 2.2 * (width + 16) * 2.0**-24
            length = math.sqrt(n_features) if neighborhood.metric == "manhattan" else 1.0
            spread = math.sqrt(2 * precision.rho) * length * (1 + error) * (1 + 2.0**-20)
        infinity, least = np.float32(np.inf), np.finfo(np.float32).smallest_normal
        with np.errstate(over="ignore", under="ignore"):
            low, high = (np.float32(neighborhood.limit * factor * part) for part in (1 - error, 1 + error))
            return cls(
                below=np.nextafter(low, np.float32(0)),
                above=max(np.nextafter(high, infinity), least),  # what is less may be flushed to zero
                spread=np.float32(spread),
            )


def prepare_block(
    kernels: Kernels,
    part: Part,
    arrangement: Arrangement,
    neighborhood: Neighborhood,
    frame: Frame,
    precision: Precision,
) -> Block:
    """A part of the rows, to be compared with itself and others."""
    rows, xp = part.rows, kernels.xp
    screen = rows.screened(frame, precision, arrangement.order)
    padded = -(-len(rows) // _WIDEST_PANEL) * _WIDEST_PANEL
    constants, twice = xp.empty(padded, np.float32), xp.empty(padded, np.float32)
    limits = Limits.of(neighborhood, frame, precision, rows.n_features, screen.width)
    _, gamma, _ = precision.constants(screen.width)
    kernels.launch(
        Variant("dbscan_pairs"), "columns", kernels.blocks(-(-padded // 256), 8), 256,
        screen.norms, screen.slacks, np.int32(len(rows)), np.int32(padded),
        gamma if neighborhood.metric == "euclidean" else np.float64(0.0), limits.spread, constants, twice,
    )  # fmt: skip
    return Block(part.start, rows, arrangement, screen, constants, twice)


def pairs_precision(precision: Precision, neighborhood: Neighborhood, frame: Frame, sample: np.ndarray) -> Precision:
    """What the screens of pairs compute in: ``precision``, or float32 where that leaves too many of them in doubt.

    ``sample`` (m, d): some of the rows.
    """
    if neighborhood.metric != "euclidean" or precision is SINGLE_PRECISION:
        return SINGLE_PRECISION
    scaled = (sample.astype(np.float64) - frame.origin) * (frame.scale * frame.unit)
    residuals = scaled - np.clip(scaled, -65504.0, 65504.0).astype(np.float16)
    norms = np.einsum("ij,ij->i", scaled, scaled)
    rho, gamma, _ = HALF_PRECISION.constants(scaled.shape[1])
    slacks = (rho + gamma) * norms + np.einsum("ij,ij->i", residuals, residuals) / rho
    squares = norms[:, None] + norms - 2 * (scaled @ scaled.T)
    doubtful = np.abs(squares - neighborhood.limit * frame.unit**2) <= slacks[:, None] + slacks
    np.fill_diagonal(doubtful, False)
    return SINGLE_PRECISION if doubtful.mean() > _COARSE else HALF_PRECISION
