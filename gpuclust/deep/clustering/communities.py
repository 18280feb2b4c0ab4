"""Where the mixture of a manifold begins: with communities of its graph, each made of small groups of places.

A layout shows which codes belong together, but no shape: a mixture that begins anywhere may halve one class and join
two others, and its likelihood does not tell. The graph does. Places are first put into some hundred groups by k-means;
these are joined by :mod:`gpuclust.deep.clustering.linkage` until a third more are left than are asked for, which keeps
classes apart whatever their sizes, but also halves of one; then those two are merged, again and again, whose union
raises the modularity of the graph most: which are joined by more than their numbers of edges let expect.

A. Clauset, M. Newman, C. Moore, "Finding community structure in very large networks", Physical Review E 70, 2004.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from gpuclust.cluster import GaussianMixture, KMeans
from gpuclust.deep.clustering.linkage import linked
from gpuclust.deep.clustering.manifold import Manifold

__all__ = ["begun", "merged"]

#: Groups that linkage leaves, for each cluster. Measured with 1, 1.2, 1.3, 1.5 and 2 (docs/deep.md).
_LEFT = 1.3
#: Groups of k-means, at most: fewer for many codes, of which linkage would take too much memory.
_GROUPS = 500
_NUMBERS = 2**24


def begun(clusterer: Any, manifold: Manifold) -> Any:
    """The clusterer, not fitted yet; a `GaussianMixture` of defaults now begins with the communities of a manifold.

    Other clusterers, and a mixture with a start of its own (given means, several runs, another method than k-means,
    covariances that are not "full"), are left as they are; so is one with nothing to merge.
    """
    if not isinstance(clusterer, GaussianMixture) or manifold.affinity is None or manifold.vertices is None:
        return clusterer
    own = clusterer.means_init is not None or clusterer.n_init > 1 or clusterer.init_params != "kmeans"
    k, places = clusterer.n_components, manifold.embedding.astype(np.float64)
    if own or clusterer.covariance_type != "full" or not 1 < k < len(manifold.vertices):
        return clusterer
    labels = _communities(manifold.embedding, manifold.affinity, manifold.vertices, k, clusterer.random_state)
    if len(np.unique(labels)) < k:  # places coincide
        return clusterer
    weights, means, covariances = np.empty(k), np.empty((k, places.shape[1])), []
    for label in range(k):
        members = places[labels == label]
        weights[label], means[label] = len(members) / len(places), members.mean(0)
        centered = members - means[label]
        covariances.append(np.einsum("ni,nj->ij", centered, centered) / len(members))  # no BLAS: in a fixed order
    regular = np.stack(covariances) + clusterer.reg_covar * np.eye(places.shape[1])
    return clusterer.set_params(weights_init=weights, means_init=means, precisions_init=np.linalg.inv(regular))


def _communities(
    places: NDArray[np.float32], affinity: csr_matrix, vertices: NDArray[np.intp], k: int, seed: Any
) -> NDArray[np.int64]:
    """The community of each place, (n,), of k."""
    n = len(vertices)
    n_left = min(math.ceil(_LEFT * k), n)
    n_groups = min(max(min(_GROUPS, n // 4, _NUMBERS // n), n_left), n)
    found = KMeans(n_groups, n_init=1, random_state=seed).fit(places).labels_
    # Of the codes that are vertices, and without groups that are empty.
    names, groups = np.unique(found[vertices], return_inverse=True)
    larger = linked(groups, affinity, min(n_left, len(names)))
    smaller = merged(larger[groups].astype(np.int32), (affinity + affinity.T).tocsr(), min(k, int(larger.max()) + 1))
    return smaller[larger][np.searchsorted(names, found)]


def merged(groups: NDArray[np.int32], graph: csr_matrix, n_communities: int) -> NDArray[np.int64]:
    """Which community each group belongs to, (n_groups,), from 0: groups merged by the gain of modularity.

    Parameters
    ----------
    groups : int32 array of shape (n,)
        Group of each vertex; every group has some.
    graph : sparse matrix of shape (n, n), symmetric
    n_communities : int
        At most as many as groups.
    """
    n_groups = int(groups.max()) + 1
    edges = graph.tocoo()
    cells = groups[edges.row].astype(np.int64) * n_groups + groups[edges.col]
    joined = np.bincount(cells, edges.data.astype(np.float64), n_groups**2).reshape(n_groups, n_groups)
    community = np.arange(n_groups)
    for _ in range(n_groups - n_communities):
        degrees = joined.sum(1)
        gains = joined - np.outer(degrees, degrees) / degrees.sum()
        gains[np.tril_indices(len(gains))] = -np.inf
        kept, gone = np.unravel_index(int(gains.argmax()), gains.shape)  # the first of equal ones
        joined[kept] += joined[gone]
        joined[:, kept] += joined[:, gone]
        joined = np.delete(np.delete(joined, gone, 0), gone, 1)
        community[community == gone] = kept
        community -= community > gone
    return community
