"""Views of rows, in which their neighbours are sought: their values, and their codes.

Each sees neighbours that the other misses. Of rows that are images, both are compared by tangent distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpuclust.deep.library import one_thread
from gpuclust.deep.rows import Rows
from gpuclust.deep.tangents import Tangents, along, image_tangents, smoothed, tangent_distances
from gpuclust.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from gpuclust.deep.models import AutoencoderModel

__all__ = ["View", "view_of", "views_of"]

#: How many of the nearest points are compared by tangent distance, at least.
_CANDIDATES = 100
#: Shortest side of an image that has tangents.
_SHORTEST = 3


@dataclass(frozen=True, eq=False)
class View:
    """Points (n, d) float32, one for each row, and the tangents along which they may move, if any."""

    points: Tensor
    tangents: Tangents | None = None

    def at(self, index: NDArray[np.intp]) -> Self:
        """The view of some rows."""
        rows, tangents = torch.from_numpy(index).to(self.points.device), self.tangents
        return type(self)(self.points[rows], None if tangents is None else lambda some: tangents(rows[some]))

    def neighbors(self, k: int, device: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distances to the ``k`` nearest other points, rising, and their numbers: (n, k) each; ties by the number.

        With tangents: the nearest by tangent distance among the 100 nearest points.
        """
        wide = k if self.tangents is None else min(max(k, _CANDIDATES), len(self.points) - 1)
        distances, found = NearestNeighbors(wide, device=device).fit(self.points).kneighbors()
        if self.tangents is None:
            return distances, found
        found = np.sort(found, axis=1)
        with one_thread():  # the same bits for any number
            near = tangent_distances(self.points, self.tangents, torch.from_numpy(found).to(self.points.device))
        distances = near.numpy(force=True)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(distances, order, 1), np.take_along_axis(found, order, 1)


def view_of(rows: Rows) -> View:
    """The view of rows that lie on a device, by their values.

    They are images if their source says so, and their sides are at least 3: those are smoothed, and have tangents.
    """
    assert rows.x is not None
    unit = _unit(rows)
    if unit is None:
        return View(rows.x)
    smooth = smoothed(_images(rows, unit))
    return View(smooth.flatten(1), lambda index: image_tangents(smooth[index]))


def views_of(model: AutoencoderModel, rows: Rows, codes: Tensor) -> list[View]:
    """The views of rows and of the ``codes`` (n, latent) that a model gives to them.

    That of the codes alone where rows are streamed, or some of a modality are missing: those have no distance to
    others. What the model makes of the tangents of images are the tangents of their codes.
    """
    if rows.x is None or not bool(rows.x.isfinite().all()):
        return [View(codes)]
    unit, view = _unit(rows), view_of(rows)
    if unit is None or view.tangents is None:
        return [View(codes), view]

    def encode(images: Tensor) -> Tensor:
        return model.encode(rows.scaling.apply(images.double() * unit)).float()

    with torch.no_grad(), one_thread():
        moved = along(encode, _images(rows, unit).flatten(1), view.tangents)
    return [View(codes, lambda index: moved[index]), view]


def _unit(rows: Rows) -> float | None:
    """The power of two, in the units of the input, above all values of rows that are images; None if they are none.

    In this unit no square overflows or vanishes, and no bit of what is computed depends on it.
    """
    shape = rows.source.row_shape
    if rows.x is None or shape is None or min(shape[:2]) < _SHORTEST:
        return None
    return 2.0 ** math.frexp(float(rows.scaling.undone(rows.x).abs().max()))[1]


def _images(rows: Rows, unit: float) -> Tensor:
    """Rows as images (n, height, width, channels), float32, in a unit."""
    assert rows.x is not None
    assert rows.source.row_shape is not None
    height, width, *channels = rows.source.row_shape
    return (rows.scaling.undone(rows.x) / unit).float().reshape(-1, height, width, math.prod(channels))
