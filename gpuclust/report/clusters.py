"""A fitted clustering as pictures and explanations see it: a sample of rows, their codes, clusters and centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuclust.errors import DataError, ParameterError
from gpuclust.report.sample import Sample, draw_sample, names_left_out
from gpuclust.validation import to_host

__all__ = ["Clusters", "column_means", "find_clusters"]


@dataclass(frozen=True, eq=False)
class Clusters:
    """What is known of k clusters.

    Attributes
    ----------
    sample : Sample
        m of the rows.
    sizes : int64 array of shape (k,)
        Of all rows; ``n_noise`` are in no cluster.
    n_noise : int
    labels : int64 array of shape (m,)
        Cluster of each row of the sample, -1 for none.
    codes : array of shape (m, latent)
        Of the sample; the rows themselves for estimators without codes.
    centers : array of shape (k, latent)
        Among the codes: the estimator's own, or the means of the members in the sample.
    decoded : array of shape (k, d)
        The centres in the units of the rows.
    """

    sample: Sample
    sizes: np.ndarray
    n_noise: int
    labels: np.ndarray
    codes: np.ndarray
    centers: np.ndarray
    decoded: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    def members(self, label: int) -> np.ndarray:
        """Positions in the sample of a cluster's rows."""
        return np.flatnonzero(self.labels == label)

    def nearest(self, label: int, count: int) -> np.ndarray:
        """Positions in the sample of the members nearest to their centre, nearest first; the first of equals."""
        members = self.members(label)
        distances = np.square(self.codes[members] - self.centers[label].astype(np.float64)).sum(axis=1)
        return members[np.argsort(distances, kind="stable")[:count]]


def find_clusters(estimator: Any, X: Any, labels: Any, sample_size: int, seed: int) -> Clusters:
    """Label all rows, and look closer at a sample of them.

    Parameters
    ----------
    estimator
        Fitted, with ``predict`` unless ``labels`` are given.
    X
        What the estimator takes.
    labels : int array of shape (n_rows,) or None
        Cluster of each row, -1 for none; by default as predicted.
    sample_size, seed : int

    Raises
    ------
    DataError
        Not one integer for each row, or more clusters than the estimator has.
    ParameterError
        There are neither labels nor ``predict``.
    """
    sample = draw_sample(estimator, X, sample_size, seed)
    everywhere = _labels_of(estimator, X, labels, sample.n_rows)
    own, centers = everywhere[sample.numbers], _own_centers(estimator)
    k = int(everywhere.max(initial=-1)) + 1
    if centers is not None and k > len(centers):
        raise DataError(f"labels reach {k - 1}, but the {type(estimator).__name__} has {len(centers)} clusters.")
    with names_left_out():
        codes = estimator.codes(sample.rows).cpu().numpy() if hasattr(estimator, "codes") else sample.flat
    if centers is None:
        centers = np.empty((k, codes.shape[1]))
        for label in range(k):
            centers[label] = column_means(codes[own == label])
    sizes = np.bincount(everywhere[everywhere >= 0], minlength=len(centers))
    n_noise = int(np.count_nonzero(everywhere < 0))
    return Clusters(sample, sizes, n_noise, own, codes, centers, _decoded(estimator, sample, centers))


def column_means(rows: np.ndarray) -> np.ndarray:
    """Of what is not NaN, (d,) float64; NaN for columns without a value."""
    with np.errstate(invalid="ignore"):
        return np.nansum(rows, axis=0, dtype=np.float64) / np.count_nonzero(~np.isnan(rows), axis=0)


def _labels_of(estimator: Any, X: Any, labels: Any, n_rows: int) -> np.ndarray:
    if labels is None:
        if not hasattr(estimator, "predict"):
            raise ParameterError(f"{type(estimator).__name__} has no predict: pass labels=, the cluster of each row.")
        labels = estimator.predict(X)
    found = np.asarray(to_host(labels))
    if found.shape != (n_rows,):
        raise DataError(f"labels of shape {found.shape} should be one for each of the {n_rows} rows of X.")
    if found.dtype.kind not in "iu":
        raise DataError(f"labels of dtype {found.dtype} should be integers: 0 to n_clusters - 1, or -1 for no cluster.")
    return found.astype(np.int64)


def _own_centers(estimator: Any) -> np.ndarray | None:
    for name in ("cluster_centers_", "means_"):  # of mixtures
        if hasattr(estimator, name):
            return np.asarray(to_host(getattr(estimator, name)))
    return None


def _decoded(estimator: Any, sample: Sample, centers: np.ndarray) -> np.ndarray:
    if hasattr(estimator, "decoded_centers_"):
        return sample.flatten(estimator.decoded_centers_)
    if not hasattr(estimator, "codes"):
        return centers
    found = np.full((len(centers), sample.flat.shape[1]), np.nan)
    there = ~np.isnan(centers).any(axis=1)
    if there.any():
        found[there] = sample.flatten(estimator.inverse_transform(centers[there].astype(np.float32)))
    return found
