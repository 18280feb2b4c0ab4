"""Codes in the plane, for pictures: UMAP of NumPy arrays."""

from __future__ import annotations

import numpy as np
import torch

from gpuclust.deep.clustering.manifold import Manifold

__all__ = ["umap_plane"]

#: Packed as tightly as for clustering, points would hide one another.
_MIN_DIST = 0.1


def umap_plane(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places of codes (n, latent) by UMAP, (n, 2) float32: always the same for a seed.

    Raises
    ------
    DataError
        Fewer than four distinct codes.
    MissingDependencyError
        umap-learn is not installed.
    """
    points = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32))
    return Manifold.fit(points, n_components=2, min_dist=_MIN_DIST, seed=seed).embedding
