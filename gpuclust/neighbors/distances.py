"""Distances to the k-th nearest row: of every row, or of a sample of them."""

from __future__ import annotations

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.errors import ParameterError
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.search import Progress
from gpuclust.sources import as_source

__all__ = ["k_distances", "some_rows"]


def k_distances(
    data: Dataset,
    k: int,
    *,
    rows: np.ndarray | None = None,
    memory: int | None = None,
    callback: Progress | None = None,
) -> np.ndarray:
    """The distance of each row to its k-th nearest other row.

    Parameters
    ----------
    data : Dataset
    k : int
        At least 1 and less than the number of rows. A row is not its own neighbour; an equal row is.
    rows : ndarray (m,) of int, optional
        Positions of the rows that are asked about; all, in order, by default.
    memory : int, optional
        Bytes for rows in flight and their candidates.
    callback : callable, optional
        ``callback(stage, done, total)``.

    Returns
    -------
    ndarray (m,) float64
        Euclidean distances, in the units of the rows of ``data`` (of unit length for a normalised dataset, where half
        of the square is one minus the cosine). Certified: those of a float64 brute force.

    Raises
    ------
    ParameterError
        ``k`` breaks its rule.
    MissingDependencyError
        FAISS is not installed.
    """
    if not 1 <= k < data.n_rows:
        raise ParameterError(
            f"k={k} should be at least 1 and less than n_samples={data.n_rows}: rows have so many others."
        )
    queries, own = (data, np.arange(data.n_rows)) if rows is None else (some_rows(data, rows), np.asarray(rows))
    index = FlatIndex(data, memory)
    found = index.nearest(queries, k, own, callback)
    return np.sqrt(found.distances[:, -1]) / index.canonical(queries).scale


def some_rows(data: Dataset, rows: np.ndarray) -> Dataset:
    """Some of the rows of a dataset, in the order asked for, as a dataset on the same engine."""
    return Dataset(data.engine, as_source(data.take(np.asarray(rows))))
