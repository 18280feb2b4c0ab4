"""Soft assignment of codes to centres, and the target that sharpens it.

J. Xie, R. Girshick, A. Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016, section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sharpen", "squared_distances", "student_t"]


def squared_distances(codes: Tensor, centers: Tensor) -> Tensor:
    """Squared distances of codes (b, latent) to centres (k, latent), (b, k) float32, at least 0, differentiable.

    By one matrix product: nothing of b x k x latent is made. Both are taken relative to the mean of the centres, so
    that far from the origin few digits are lost, and products are of float32 whatever the network's are.
    """
    with torch.autocast(codes.device.type, enabled=False):
        origin = centers.detach().mean(0)
        codes, centers = codes.float() - origin, centers - origin
        squares = codes.square().sum(1, keepdim=True) + centers.square().sum(1)
        return squares.addmm(codes, centers.T, alpha=-2).clamp(min=0)


def student_t(codes: Tensor, centers: Tensor) -> Tensor:
    """Soft assignment, (b, k) float32, differentiable: of a Student t distribution with one degree of freedom.

    q_ij is proportional to 1 / (1 + |z_i - c_j|**2); rows sum to one. Its largest is the nearest centre's.
    """
    near = 1 / (1 + squared_distances(codes, centers))
    return near / near.sum(1, keepdim=True)


def sharpen(q: Tensor, frequencies: Tensor | None = None) -> Tensor:
    """The target of DEC, (b, k): p_ij proportional to q_ij**2 / f_j, rows sum to one.

    Parameters
    ----------
    q : Tensor (b, k)
        Soft assignment.
    frequencies : Tensor (k,), optional
        f_j, the sum over *all* rows of q_ij; where it is not given, ``q`` is of all rows.
    """
    weight = q.square() / (q.sum(0) if frequencies is None else frequencies)
    return weight / weight.sum(1, keepdim=True)
