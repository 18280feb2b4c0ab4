"""The oracle: neighbours by a float64 brute force with canonical distances, equally near ones by index."""

from __future__ import annotations

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.sources import as_source
from tests.reference import distances, scale

__all__ = ["brute_force", "opened", "own"]


def brute_force(X: np.ndarray, k: int, queries: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distances (m, k), not squared, and indices of the k nearest rows; without queries of the rows' others."""
    both = X if queries is None else np.concatenate([X.astype(np.float64), queries.astype(np.float64)])
    s = scale(both)
    squares = distances(X if queries is None else queries, X, s)
    if queries is None:
        np.fill_diagonal(squares, np.inf)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squares, order, axis=1)) / s, order


def opened(X: np.ndarray, engine=None, chunk_rows: int | None = None) -> Dataset:
    """Rows as a dataset."""
    return Dataset(engine or get_engine("cpu"), as_source(X, chunk_rows=chunk_rows))


def own(X: np.ndarray) -> np.ndarray:
    """Each row's own number."""
    return np.arange(len(X))
