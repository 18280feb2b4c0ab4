"""New centres from the sums of their rows, and how far they moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.base import Movement, Outcome, Sums
from gpuclust.engines.canonical import OUTWARD, Frame, exact_total

__all__ = ["CpuUpdate", "movement", "update_centers"]


class CpuUpdate(NamedTuple):
    """New centres (k, d) float64, their movement, and what was found."""

    centers: np.ndarray
    movement: Movement
    found: Outcome

    def outcome(self) -> Outcome:
        return self.found


def update_centers(
    centers: np.ndarray, sums: Sums, frame: Frame, dtype: np.dtype, spherical: bool, distances: Callable[..., Any]
) -> CpuUpdate:
    """See :meth:`gpuclust.engines.base.Engine.update_centers`; ``distances`` is the engine's."""
    weights = sums.weights(frame)
    filled = weights > 0
    means = sums.totals(frame)
    means /= np.where(filled, weights, 1.0)[:, None]
    if not filled.all():
        means[~filled] = centers[~filled]
    if spherical:
        lengths = np.sqrt(distances(means, np.zeros((1, means.shape[1])), None, frame)) / frame.scale
        # Rows that cancel out have a mean without direction.
        means = np.where(lengths[:, None] > 0, means / np.where(lengths > 0, lengths, 1.0)[:, None], centers)
    updated = means.astype(dtype).astype(np.float64)

    squared = distances(centers, updated, np.arange(len(centers), dtype=np.int32), frame)
    found = Outcome(int(sums.n_moved[0]), int(np.count_nonzero(~filled)), exact_total([squared]))
    sums.n_moved.fill(0)
    return CpuUpdate(updated, movement(squared), found)


def movement(squared: np.ndarray) -> Movement:
    """The movement of centres by its squares (k,), canonical distances."""
    grown = np.sqrt(squared) * (1.0 + OUTWARD)
    order = np.argsort(-grown, kind="stable").astype(np.int32)
    return Movement(grown, order, np.append(grown[order], 0.0))
