"""UMAP's fuzzy set of neighbours: from distances to memberships, and from memberships of rows to one symmetric graph.

L. McInnes, J. Healy, J. Melville, "UMAP: Uniform manifold approximation and projection for dimension reduction",
arXiv:1802.03426, sections 3.1 and 4. Every row is computed on its own, in float64, in a fixed order.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

__all__ = ["directed", "memberships", "union"]

#: Halvings of the interval that holds a bandwidth: those of umap-learn.
_STEPS = 64
#: Least bandwidth, as a share of the mean distance.
_LEAST = 1e-3
#: Rows that are computed at a time.
_BLOCK = 2**14


def memberships(distances: NDArray[np.float64], nearest: NDArray[np.float64] | float, total: float) -> NDArray:
    """How far each neighbour belongs to its row: exp(-(distance - nearest) / bandwidth), at most 1.

    Parameters
    ----------
    distances : float64 array of shape (n, k)
        From each row to its neighbours, rising.
    nearest : float64 array of shape (n,), or 0.0
        Distance up to which a neighbour belongs to its row altogether.
    total : float
        Sum of the memberships of a row, which determines its bandwidth.

    Returns
    -------
    memberships : float64 array of shape (n, k)
        A row whose neighbours are all as near as ``nearest`` has ones, whatever the total.
    """
    out = np.empty_like(distances)
    offsets = np.broadcast_to(nearest, len(distances))
    for first in range(0, len(distances), _BLOCK):
        run = slice(first, first + _BLOCK)
        beyond = np.maximum(distances[run] - offsets[run, None], 0.0)
        out[run] = np.exp(-beyond / _bandwidths(beyond, distances[run].mean(1), total)[:, None])
    return out


def _bandwidths(beyond: NDArray, means: NDArray, total: float) -> NDArray:
    """The bandwidth of each row, by bisection: the sum of memberships rises with it."""
    low, high = np.zeros(len(beyond)), np.full(len(beyond), np.inf)
    tried = np.where(means > 0, means, 1.0)
    for _ in range(_STEPS):
        above = np.exp(-beyond / tried[:, None]).sum(1) > total
        low, high = np.where(above, low, tried), np.where(above, tried, high)
        tried = np.where(np.isinf(high), 2 * tried, (low + high) / 2)
    return np.maximum(tried, np.where(means > 0, _LEAST * means, 1.0))


def directed(memberships: NDArray, neighbors: NDArray[np.int64]) -> scipy.sparse.csr_matrix:
    """The graph in which row i has the memberships (k,) of its neighbours, (n, n), in order of columns."""
    n, k = neighbors.shape
    starts = np.arange(0, n * k + 1, k)
    graph = scipy.sparse.csr_matrix((memberships.ravel(), neighbors.ravel(), starts), shape=(n, n))
    graph.sort_indices()
    return graph


def union(memberships: NDArray, neighbors: NDArray[np.int64]) -> scipy.sparse.csr_matrix:
    """The graph in which i and j are joined by p + q - p q, of the membership p of j to i and q of i to j.

    Parameters
    ----------
    memberships, neighbors : arrays of shape (n, k)
        Of each row's neighbours; no row is its own.

    Returns
    -------
    graph : sparse CSR matrix of shape (n, n), float32, symmetric, without zeros
    """
    one_way = directed(memberships, neighbors)
    reverse = one_way.T.tocsr()
    graph = (one_way + reverse - one_way.multiply(reverse)).astype(np.float32)
    graph.eliminate_zeros()
    return graph.tocsr()
