"""Tangent distance: how far apart two points are, apart from the directions in which each of them may move.

An image that is shifted, turned or written with a thicker pen shows the same, but is far away as a vector of pixels. To
first order it moves along tangents, one for each such change; so the distance of two images is taken between the two
planes that the tangents span at them, rather than between the points. What a network makes of an image moves too, along
what the encoder makes of the tangents, and codes are compared in the same way.

P. Simard, Y. LeCun, J. Denker, "Efficient pattern recognition using a new transformation distance", NIPS 1992; the
damping, which keeps points from moving far along their tangents, is a Gaussian prior of the moves: D. Keysers et al.,
"Tangent distance kernels ... and probabilistic extensions", DAGM 2000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["TANGENTS", "Tangents", "along", "image_tangents", "smoothed", "tangent_distances"]

#: How many tangents an image has.
TANGENTS = 7
#: Width of the Gaussian by which images are smoothed, as a share of their shorter side: where an edge is wide, the
#: tangent stays true for longer.
_SMOOTHING = 1 / 20
#: Weight of the prior: the squared length of a move in units of the mean squared length of the tangent.
_DAMPING = 0.1
#: Length of a step along a tangent, as a share of the range of the values, by which codes are differentiated.
_STEP = 0.05
#: Bytes of the tangents that are looked at together.
_BYTES = 2**26

#: Tangents (b, t, d) of points, by their numbers (b,).
Tangents: TypeAlias = Callable[[Tensor], Tensor]


def smoothed(images: Tensor) -> Tensor:
    """Images (n, height, width, channels), each channel convolved with a Gaussian; beyond its edges it is mirrored."""
    _, height, width, _ = images.shape
    deviation = min(height, width) * _SMOOTHING
    down, across = (_gaussian(side, deviation).to(images) for side in (height, width))
    return torch.einsum("ij,njkc,lk->nilc", down, images, across)


def image_tangents(images: Tensor) -> Tensor:
    """How images change when they are shifted, turned, scaled, sheared and thickened, by unit of each.

    Parameters
    ----------
    images : Tensor of shape (n, height, width, channels)
        Smooth ones, of at least 2 x 2 pixels.

    Returns
    -------
    tangents : Tensor of shape (n, 7, height * width * channels)
        Shift across and down, rotation, scaling, stretching along the axes and along the diagonals, thickness: the
        seven of Simard et al.
    """
    _, height, width, _ = images.shape
    down, across = torch.gradient(images, dim=(1, 2))
    side = max(height, width)
    v = ((torch.arange(height, device=images.device) - (height - 1) / 2) / side)[:, None, None]
    u = ((torch.arange(width, device=images.device) - (width - 1) / 2) / side)[None, :, None]
    changes = (
        across,
        down,
        u * down - v * across,
        u * across + v * down,
        u * across - v * down,
        v * across + u * down,
        across.square() + down.square(),
    )
    return torch.stack([change.flatten(1) for change in changes], 1)


def along(function: Callable[[Tensor], Tensor], points: Tensor, tangents: Tangents) -> Tensor:
    """Tangents of the values of a function, (n, t, m), from those of its arguments: the derivative along each.

    Parameters
    ----------
    function : callable
        From points (b, d) to (b, m), each by itself.
    points : Tensor of shape (n, d)
    tangents : callable

    Notes
    -----
    By differences of finite steps: networks of rectifiers are linear by pieces, of which a step should cross some.
    """
    low, high = points.aminmax()
    step, out = _STEP * torch.where(high > low, high - low, 1.0), []
    for index in _parts(len(points), tangents, 1):
        found = tangents(index)
        lengths = found.norm(dim=2, keepdim=True)
        steps = step * found / lengths.clamp(min=torch.finfo(found.dtype).tiny)
        ahead, behind = (function((points[index, None] + move).flatten(0, 1)) for move in (steps, -steps))
        out.append((ahead - behind).unflatten(0, found.shape[:2]) / (2 * step) * lengths)
    return torch.cat(out)


def tangent_distances(points: Tensor, tangents: Tangents, others: Tensor) -> Tensor:
    """Distances of points to some others of them, both moved along their tangents to where they are nearest.

    Parameters
    ----------
    points : Tensor of shape (n, d), float32
    tangents : callable
    others : int64 Tensor of shape (n, k)
        Numbers of points.

    Returns
    -------
    distances : float64 Tensor of shape (n, k)
        The square root of the minimum of |x + a T - y - b U|**2 + lambda (|a|**2 + |b|**2) over the moves a, b along
        the tangents T of x and U of y, in units of the tangents' root mean square lengths.
    """
    n, k = others.shape
    grams = torch.cat([_gram(tangents(index)) for index in _parts(n, tangents, 1)])
    t = grams.shape[1]
    # A tangent that is zero everywhere leaves no way to move, whatever it weighs.
    mean = grams.diagonal(dim1=1, dim2=2).mean(0)
    grams = grams + torch.diag(_DAMPING * torch.where(mean > 0, mean, 1.0))
    factors = torch.linalg.cholesky(grams)
    out = torch.empty(n, k, dtype=torch.float64, device=points.device)
    for index in _parts(n, tangents, k + 1):
        far = others[index]
        named, place = far.unique(return_inverse=True)
        own, theirs = tangents(index), tangents(named)[place]  # (b, t, d), (b, k, t, d)
        apart = points[index, None] - points[far]  # (b, k, d)
        # The moves of x are eliminated first: its block is the same for all k. What is left is a t x t system a pair.
        crossed = (own @ theirs.flatten(1, 2).mT).double()
        crossed = torch.linalg.solve_triangular(factors[index], crossed, upper=False).unflatten(2, (k, t)).movedim(1, 2)
        first = torch.linalg.solve_triangular(factors[index], (own @ apart.mT).double(), upper=False).mT  # (b, k, t)
        second = (theirs @ apart[..., None]).double() - crossed.mT @ first[..., None]
        second = torch.linalg.solve_triangular(
            torch.linalg.cholesky(grams[far] - crossed.mT @ crossed), second, upper=False
        )
        squares = apart.double().square().sum(2) - first.square().sum(2) - second.square().sum((2, 3))
        out[index] = squares.clamp(min=0).sqrt()
    return out


def _parts(n: int, tangents: Tangents, each: int) -> list[Tensor]:
    """The numbers 0 to n - 1 in runs, of which so many points for each have tangents of no more than `_BYTES`."""
    one = tangents(torch.zeros(1, dtype=torch.int64))
    size = max(1, _BYTES // (one.numel() * one.element_size() * each))
    return list(torch.arange(n, device=one.device).split(size))


def _gram(tangents: Tensor) -> Tensor:
    return (tangents @ tangents.mT).double()


def _gaussian(side: int, deviation: float) -> Tensor:
    """The matrix (side, side) that smooths a column of pixels, which is mirrored at its edges as often as it takes."""
    reach = math.ceil(4 * deviation)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / deviation).square())
    weights = weights / weights.sum()
    at = (torch.arange(side)[:, None] + offsets) % (2 * side)
    at = torch.where(at < side, at, 2 * side - 1 - at)
    return torch.zeros(side, side).scatter_add_(1, at, weights.expand(side, -1))
