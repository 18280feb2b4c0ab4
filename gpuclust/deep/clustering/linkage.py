"""Graph degree linkage: groups of a directed graph's vertices joined step by step, those two that are linked best.

Two groups are linked by the vertices of each to which, and from which, the other has edges: the affinity of a to b is
the sum over the vertices of b of the product of both sums, by the square of the size of a. That product is small along
a few chance edges and large where neighbours are mutual, so that uneven and winding groups stay whole.

W. Zhang, X. Wang, D. Zhao, X. Tang, "Graph degree linkage: agglomerative clustering on a directed graph", ECCV 2012.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

__all__ = ["linked"]


def linked(groups: NDArray[np.integer], affinity: csr_matrix, n_left: int) -> NDArray[np.int64]:
    """Which of ``n_left`` larger groups each group belongs to, (n_groups,), from 0.

    Parameters
    ----------
    groups : int array of shape (n,)
        Group of each vertex, from 0; every group has some.
    affinity : sparse matrix of shape (n, n)
        Weights of the edges: row i has those of vertex i to others.
    n_left : int
        At most as many as groups.

    Notes
    -----
    Takes two dense arrays of n_groups x n float64. Of pairs that are linked equally, the first is joined.
    """
    n, n_groups = len(groups), int(groups.max()) + 1
    members = csr_matrix((np.ones(n), (groups, np.arange(n))), shape=(n_groups, n))
    into, out_of = (members @ affinity).toarray(), (members @ affinity.T).toarray()
    sizes, owner = np.bincount(groups).astype(np.float64), groups.astype(np.int64)

    def links(group: int) -> NDArray[np.float64]:
        return np.bincount(owner, into[group] * out_of[group], n_groups) / sizes[group] ** 2

    one_way = np.stack([links(group) for group in range(n_groups)])
    both_ways = one_way + one_way.T
    np.fill_diagonal(both_ways, -np.inf)
    joined, gone = np.arange(n_groups), np.zeros(n_groups, bool)
    for _ in range(n_groups - n_left):
        first, second = sorted(divmod(int(both_ways.argmax()), n_groups))
        for sums in (into, out_of):
            sums[first] += sums[second]
        one_way[:, first] += one_way[:, second]
        sizes[first] += sizes[second]
        owner[owner == second] = first
        joined[joined == second] = first
        gone[second] = True
        one_way[first] = links(first)
        both_ways[first] = both_ways[:, first] = np.where(gone, -np.inf, one_way[first] + one_way[:, first])
        both_ways[first, first] = both_ways[second] = both_ways[:, second] = -np.inf
    return np.unique(joined, return_inverse=True)[1]
