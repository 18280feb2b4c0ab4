"""Directions in which rows are told apart: no difference of two rows is longer in them than the rows' distance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.neighborhood import Neighborhood
from gpuclust.engines.planner import one_blas_thread, principal_directions

__all__ = ["Directions", "make_directions"]

# Makes computed directions, orthonormal to rounding, no longer than orthonormal ones.
_SHRINK = 1 - 2.0**-30


class Directions(NamedTuple):
    """Projections are ``((x - origin) * scale) @ basis``.

    ``origin`` (d,), ``scale`` the neighbourhood's, ``basis`` (d, q): principal directions of some rows for the
    euclidean metric, shrunk to be safely no longer than orthonormal ones; the coordinates of greatest spread in others.
    """

    origin: np.ndarray
    scale: float
    basis: np.ndarray


@one_blas_thread
def make_directions(sample: np.ndarray, neighborhood: Neighborhood, most: int) -> Directions:
    """At most ``most`` directions for rows like the ``sample`` (m, d)."""
    rows = sample.astype(np.float64)
    origin = rows.mean(axis=0)
    centred = rows - origin
    centred /= np.abs(centred).max() or 1.0
    q = min(most, rows.shape[1])
    if neighborhood.metric == "euclidean":
        basis = _SHRINK * principal_directions(centred, q)
    else:
        axes = np.argsort(-centred.std(axis=0), kind="stable")[:q]
        basis = np.eye(rows.shape[1])[:, axes]
    return Directions(origin, neighborhood.scale, basis)
