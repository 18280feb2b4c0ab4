"""The silhouette of Rousseeuw (1987): how much nearer a row is to its own cluster than to the next one.

With a the mean distance of a row to the others of its cluster, and b the least, over the other clusters, of its mean
distance to the rows of one, s = (b - a) / max(a, b); 0 for a row alone in its cluster.

**Exact.** Rows sorted by cluster are compared block by block, each pair once, so that a row meets the clusters one
after the other: all that is kept of a row are a, b and the sum over the cluster that is not complete yet. Sums are
exact (gpuclust.engines.distance_sums); their order does not matter.

**Squared distances need no pairs.** For a cluster of n rows y with mean m, sum |x - y|^2 = n |x - m|^2 + sum |y - m|^2,
all terms positive. Silhouettes of squared distances, and of cosine distances, which are half the squares of those of
unit rows, are exact in O(n k).

**Simplified** (Hruschka et al. 2004): a and b are the distances to the means of clusters. **Sampled**: the exact
silhouettes of a random sample of the rows, each compared with all rows.

P. Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20, 1987. E. Hruschka, R. Campello, L. de Castro, Evolutionary
algorithms for clustering gene-expression data, ICDM 2004.
"""

from __future__ import annotations

import math

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.engines.distance_sums import SUMMED
from gpuclust.errors import ParameterError
from gpuclust.metrics.labels import check_between, compact
from gpuclust.metrics.mean_distances import by_centers, by_pairs, of_rows

__all__ = ["FORMS", "METRICS", "sample_rows", "silhouette_of", "silhouette_samples_of"]

FORMS = ("exact", "simplified", "sampled")
METRICS = (*SUMMED, "sqeuclidean", "cosine")
#: Rows of a sample where none are asked for: the mean is then within 0.01 or so of that of all rows.
SAMPLE = 4096


def silhouette_of(
    data: Dataset,
    labels: np.ndarray,
    *,
    form: str = "exact",
    rows: np.ndarray | None = None,
    metric: str = "euclidean",
    seed: int = 0,
) -> float:
    """Mean silhouette; parameters as in :func:`silhouette_samples_of`, where "sampled" draws its ``rows`` itself."""
    if form == "sampled" and rows is None:
        rows = sample_rows(labels, SAMPLE, seed)
    found = silhouette_samples_of(data, labels, form="exact" if form == "sampled" else form, rows=rows, metric=metric)
    found = found[~np.isnan(found)]
    return math.fsum(found) / len(found)


def silhouette_samples_of(
    data: Dataset,
    labels: np.ndarray,
    *,
    form: str = "exact",
    rows: np.ndarray | None = None,
    metric: str = "euclidean",
) -> np.ndarray:
    """Silhouette of each row, or of each of ``rows``, (m,) float64; NaN for rows without a cluster.

    Parameters
    ----------
    data : Dataset
        With ``metric="cosine"``, of rows scaled to unit length.
    labels : ndarray (n,) int32
        Clusters from 0 on; -1: a row of none, which counts nowhere.
    form : {"exact", "simplified"}
    rows : ndarray (m,) int64, optional
        Which rows; each is still compared with all.
    metric : {"euclidean", "manhattan", "sqeuclidean", "cosine"}

    Raises
    ------
    DataError
        Fewer than 2 clusters, or as many as rows.
    """
    labels = compact(labels)
    sizes = np.bincount(labels[labels >= 0])
    check_between(len(sizes), int(sizes.sum()), "silhouette_score")
    if form == "simplified" and metric not in ("euclidean", "sqeuclidean"):
        raise ParameterError(
            f"form='simplified' compares rows with means, which metric={metric!r} does not have; use 'exact' or "
            "'sampled'."
        )
    if metric in SUMMED and form == "exact":
        if rows is None:
            means = by_pairs(data, labels, sizes, metric)
        else:
            means = of_rows(data, labels, sizes, metric, rows)
    else:
        means = by_centers(data, labels, sizes, metric, form, rows)
    own = labels if rows is None else labels[rows]
    with np.errstate(invalid="ignore"):
        found = (means.apart - means.within) / np.maximum(means.apart, means.within)
    found[(means.within == 0) & (means.apart == 0)] = 0.0
    found[sizes[np.maximum(own, 0)] == 1] = 0.0
    found[own < 0] = np.nan
    return found


def sample_rows(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Numbers of ``size`` random rows that have a cluster, rising: a function of the seed."""
    available = np.flatnonzero(labels >= 0)
    chosen = distinct(purpose_stream(seed, "silhouette"), len(available), min(size, len(available)))
    return available[np.sort(chosen)]
