"""Scores of a clustering from the rows and their labels alone."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError
from gpuclust.metrics.centroids import calinski_harabasz_of, davies_bouldin_of, inertia_of
from gpuclust.metrics.density import DENSITY_METRICS, dbcv_of
from gpuclust.metrics.labels import Encoded, encode
from gpuclust.metrics.silhouette import (
    FORMS,
    METRICS,
    SAMPLE,
    sample_rows,
    silhouette_of,
    silhouette_samples_of,
)
from gpuclust.sources import as_source
from gpuclust.validation import check_matrix_shape, check_n_features, check_positive_int, check_sample_weight, to_host

__all__ = [
    "calinski_harabasz_of",
    "calinski_harabasz_score",
    "davies_bouldin_of",
    "davies_bouldin_score",
    "dbcv_of",
    "dbcv_score",
    "inertia",
    "inertia_of",
    "silhouette_of",
    "silhouette_samples",
    "silhouette_samples_of",
    "silhouette_score",
]


def silhouette_score(
    X: Any,
    labels: Any,
    *,
    metric: str = "euclidean",
    form: str = "exact",
    sample_size: int | None = None,
    random_state: Any = None,
    noise: str = "cluster",
    device: str | None = None,
    max_memory: int | str | None = None,
) -> float:
    """Return the mean silhouette of all rows: 1 is best, near 0 clusters overlap, below 0 rows are in the wrong ones.

    Exact for any number of rows, with memory of O(n) and a workspace of tens of megabytes; every pair of rows is looked
    at once. The value is the same on every device.

    Parameters
    ----------
    X : array-like, table, path or Source of shape (n_samples, n_features)
        Rows.
    labels : array-like of shape (n_samples,), or path
        Cluster of each row: integers or strings; a file may be .npy or .parquet.
    metric : {"euclidean", "manhattan", "sqeuclidean", "cosine"}
        Distance. "sqeuclidean" and "cosine" need no pairs and take time of O(n k).
    form : {"exact", "simplified", "sampled"}
        "simplified": distances to the means of clusters in place of mean distances, O(n k); "euclidean" and
        "sqeuclidean" only. "sampled": the mean over a random sample of rows, each compared with all rows.
    sample_size : int, optional
        Rows of the sample, by default 4096; with ``form="sampled"`` only.
    random_state : int, RandomState or None
        Seed of the sample. An int gives the same sample everywhere.
    noise : {"cluster", "ignore"}
        What rows with label -1 are: a cluster like any other, as in scikit-learn, or left out.
    device : str, optional
        "auto", "cpu", "cuda" or "cuda:1", as for `KMeans`.
    max_memory : int or str, optional
        Memory for rows in flight when they are streamed: bytes, or "512MB".

    Returns
    -------
    float
        In [-1, 1].

    Raises
    ------
    DataError
        Another number of labels than rows; fewer than 2 clusters, or as many as rows; missing labels; rows that are not
        finite.
    ParameterError
        A parameter breaks its rule.
    """
    if form != "sampled" and sample_size is not None:
        raise ParameterError(f"sample_size={sample_size!r} is for form='sampled' only, but form={form!r}.")
    _check_choice("form", form, FORMS)
    data, found = _opened(X, labels, metric, noise, device, max_memory)
    rows = None
    if form == "sampled":
        size = SAMPLE if sample_size is None else check_positive_int(sample_size, "sample_size")
        rows = sample_rows(found.codes, size, _seed(random_state))
    return silhouette_of(data, found.codes, form=form, rows=rows, metric=metric)


def silhouette_samples(
    X: Any,
    labels: Any,
    *,
    metric: str = "euclidean",
    form: str = "exact",
    noise: str = "cluster",
    device: str | None = None,
    max_memory: int | str | None = None,
) -> np.ndarray:
    """Return the silhouette of each row, (n_samples,) float64: how much nearer its own cluster is than the next one.

    Parameters
    ----------
    X, labels, metric, device, max_memory
        As in `silhouette_score`.
    form : {"exact", "simplified"}
        As in `silhouette_score`.
    noise : {"cluster", "ignore"}
        With "ignore", rows with label -1 get NaN.

    Raises
    ------
    DataError, ParameterError
        As in `silhouette_score`.
    """
    _check_choice("form", form, FORMS[:2])
    data, found = _opened(X, labels, metric, noise, device, max_memory)
    return silhouette_samples_of(data, found.codes, form=form, metric=metric)


def davies_bouldin_score(
    X: Any, labels: Any, *, noise: str = "cluster", device: str | None = None, max_memory: int | str | None = None
) -> float:
    """Return the Davies-Bouldin score: the mean similarity of each cluster to the one most like it; 0 is best.

    The similarity of two clusters is the sum of their rows' mean distances to their means, over the distance of the
    means (D. Davies, D. Bouldin, A cluster separation measure, IEEE PAMI 1, 1979).

    Parameters
    ----------
    X, labels, noise, device, max_memory
        As in `silhouette_score`.

    Raises
    ------
    DataError, ParameterError
        As in `silhouette_score`.
    """
    data, found = _opened(X, labels, "euclidean", noise, device, max_memory)
    return davies_bouldin_of(data, found.codes)


def calinski_harabasz_score(
    X: Any, labels: Any, *, noise: str = "cluster", device: str | None = None, max_memory: int | str | None = None
) -> float:
    """Return the Calinski-Harabasz score, the ratio of the variances between and within clusters; larger is better.

    T. Calinski, J. Harabasz, A dendrite method for cluster analysis, Communications in Statistics 3, 1974.

    Parameters
    ----------
    X, labels, noise, device, max_memory
        As in `silhouette_score`.

    Raises
    ------
    DataError, ParameterError
        As in `silhouette_score`.
    """
    data, found = _opened(X, labels, "euclidean", noise, device, max_memory)
    return calinski_harabasz_of(data, found.codes)


def inertia(
    X: Any,
    labels: Any,
    *,
    centers: Any = None,
    sample_weight: Any = None,
    noise: str = "cluster",
    device: str | None = None,
    max_memory: int | str | None = None,
) -> float:
    """Return the sum of the squared distances of the rows to the centre of their cluster, correctly rounded.

    Parameters
    ----------
    X, labels, noise, device, max_memory
        As in `silhouette_score`.
    centers : array-like of shape (n_clusters, n_features), optional
        The centre of cluster ``labels[i]`` is ``centers[labels[i]]``. By default the (weighted) mean of its rows.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows.

    Raises
    ------
    DataError, ParameterError
        As in `silhouette_score`, but one cluster is enough; labels that are not numbers of centres.
    """
    source = as_source(X, max_memory=max_memory)
    found = encode(labels, source.n_rows, noise=noise)
    weights = check_sample_weight(sample_weight, source.n_rows)
    engine = get_engine(device, data_device=source.device, work=source.n_rows * source.n_features)
    data = Dataset(engine, source, weights)
    if centers is None:
        return inertia_of(data, found.codes)
    given = _centers(centers, source.n_features)
    if found.classes.dtype.kind not in "iu" or found.classes[0] < 0 or found.classes[-1] >= len(given):
        raise DataError(
            f"labels should be numbers of centers, from 0 to {len(given) - 1}, but are from {found.classes[0]} to "
            f"{found.classes[-1]}; leave noise (-1) out with noise='ignore'."
        )
    return inertia_of(data, found.codes, given[found.classes])


def dbcv_score(
    X: Any,
    labels: Any,
    *,
    metric: str = "euclidean",
    device: str | None = None,
    max_memory: int | str | None = None,
) -> float:
    """Return the density-based clustering validation of Moulavi et al. (SDM 2014): 1 is best, below 0 is bad.

    For clusters of any shape, where silhouettes mislead. Label -1 is noise: it lowers the value by its share of rows.

    Parameters
    ----------
    X, labels, device, max_memory
        As in `silhouette_score`.
    metric : {"euclidean", "cosine"}
        Distance.

    Raises
    ------
    DataError, ParameterError
        As in `silhouette_score`; fewer than 2 clusters of at least 2 rows.

    Notes
    -----
    Time is O(n^2), memory O(n). `gpuclust.metrics.density` says how details are settled that the paper leaves open.
    """
    _check_choice("metric", metric, DENSITY_METRICS)
    data, found = _opened(X, labels, metric, "ignore", device, max_memory)
    return dbcv_of(data, found.codes, metric=metric)


def _opened(
    X: Any, labels: Any, metric: str, noise: str, device: str | None, max_memory: int | str | None
) -> tuple[Dataset, Encoded]:
    """The rows on an engine, and their clusters."""
    _check_choice("metric", metric, METRICS)
    source = as_source(X, max_memory=max_memory)
    found = encode(labels, source.n_rows, noise=noise)
    engine = get_engine(device, data_device=source.device, work=source.n_rows**2 * source.n_features)
    return Dataset(engine, source, normalize=metric == "cosine"), found


def _centers(centers: Any, n_features: int) -> np.ndarray:
    try:
        given = np.asarray(to_host(centers), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"centers should be a matrix of numbers: {error}.") from error
    check_n_features(check_matrix_shape(given.shape, array=given)[1], n_features, "inertia (by its rows)")
    if not np.isfinite(given).all():
        raise DataError("centers contain NaN or infinity; every value must be finite.")
    return given


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ParameterError(f"{name}={value!r} should be one of {', '.join(choices)}.")


def _seed(random_state: Any) -> int:
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
