"""Scores of a clustering against the truth. All start from the table of pairs of labels, and are symmetric in the names
of clusters: which number a cluster has does not matter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuclust.errors import ParameterError
from gpuclust.metrics.contingency import Contingency
from gpuclust.metrics.information import entropy, expected_mutual_information, mutual_information

__all__ = [
    "EXTERNAL",
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "clustering_accuracy",
    "fowlkes_mallows_score",
    "homogeneity_completeness_v_measure",
    "normalized_mutual_info_score",
    "purity_score",
]

_MEANS = {
    "min": min,
    "geometric": lambda a, b: math.sqrt(a * b),
    "arithmetic": lambda a, b: (a + b) / 2,
    "max": max,
}


def adjusted_rand_score(labels_true: Any, labels_pred: Any) -> float:
    """Return the Rand index adjusted for chance: 1 for equal partitions, around 0 for random labels.

    Pairs of rows are counted in integers of any size, so the value is right for any number of rows.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,), or path
        Integers or strings; memory maps and .npy files are read block by block.

    Raises
    ------
    DataError
        Labels of different lengths, none at all, or missing values.

    References
    ----------
    L. Hubert, P. Arabie, Comparing partitions, Journal of Classification 2, 1985.
    """
    return _adjusted_rand(Contingency.of(labels_true, labels_pred))


def fowlkes_mallows_score(labels_true: Any, labels_pred: Any) -> float:
    """Return the geometric mean of the precision and recall of pairs of rows in one cluster.

    Parameters and errors are those of `adjusted_rand_score`; E. Fowlkes, C. Mallows, JASA 78, 1983.
    """
    return _fowlkes_mallows(Contingency.of(labels_true, labels_pred))


def normalized_mutual_info_score(labels_true: Any, labels_pred: Any, *, average_method: str = "arithmetic") -> float:
    """Return the mutual information over a mean of both entropies, from 0 to 1; not adjusted for chance.

    Parameters and errors are those of `adjusted_rand_score`, and:

    Parameters
    ----------
    average_method : {"min", "geometric", "arithmetic", "max"}
        Which mean.
    """
    return _normalized_information(Contingency.of(labels_true, labels_pred), average_method)


def adjusted_mutual_info_score(labels_true: Any, labels_pred: Any, *, average_method: str = "arithmetic") -> float:
    """Return the mutual information adjusted for chance: 1 for equal partitions, around 0 for random labels.

    Parameters and errors are those of `normalized_mutual_info_score`; N. Vinh, J. Epps, J. Bailey, JMLR 11, 2010.
    """
    return _adjusted_information(Contingency.of(labels_true, labels_pred), average_method)


def homogeneity_completeness_v_measure(
    labels_true: Any, labels_pred: Any, *, beta: float = 1.0
) -> tuple[float, float, float]:
    """Return whether clusters hold one class only, whether classes lie in one cluster, and the mean of both.

    Parameters and errors are those of `adjusted_rand_score`, and:

    Parameters
    ----------
    beta : float
        Weight of completeness in the harmonic mean, at least 0.

    References
    ----------
    A. Rosenberg, J. Hirschberg, V-measure, EMNLP-CoNLL 2007.
    """
    return _homogeneity(Contingency.of(labels_true, labels_pred), beta)


def purity_score(labels_true: Any, labels_pred: Any) -> float:
    """Return the share of rows that belong to the most frequent class of their cluster.

    It rises with the number of clusters, to 1 where each row is its own. Parameters and errors are those of
    `adjusted_rand_score`.
    """
    return _purity(Contingency.of(labels_true, labels_pred))


def clustering_accuracy(labels_true: Any, labels_pred: Any) -> float:
    """Return the share of rows that are right when each cluster stands for one class and no two for the same.

    The best such matching is found (H. Kuhn, The Hungarian method, 1955; in scipy). Parameters and errors are those of
    `adjusted_rand_score`; more than 2**27 pairs of a class and a cluster raise ResourceError.
    """
    return _accuracy(Contingency.of(labels_true, labels_pred))


def _pairs_within(sizes: np.ndarray) -> int:
    """Ordered pairs of different rows within clusters of these sizes."""
    return sum(size * (size - 1) for size in sizes.tolist())


def _adjusted_rand(table: Contingency) -> float:
    both, classes, clusters = (_pairs_within(s) for s in (table.counts, table.class_sizes, table.cluster_sizes))
    everything = table.n_rows * (table.n_rows - 1)
    if both == classes == clusters:
        return 1.0
    # Times the number of all pairs: integers until the last division.
    expected = classes * clusters
    return 2 * (both * everything - expected) / ((classes + clusters) * everything - 2 * expected)


def _fowlkes_mallows(table: Contingency) -> float:
    both, classes, clusters = (_pairs_within(s) for s in (table.counts, table.class_sizes, table.cluster_sizes))
    return math.sqrt(both / classes) * math.sqrt(both / clusters) if both else 0.0


def _normalized_information(table: Contingency, average_method: str = "arithmetic") -> float:
    mean = _checked_mean(average_method)
    if len(table.classes) == len(table.clusters) == 1:
        return 1.0
    shared = mutual_information(table)
    if shared <= np.finfo(np.float64).eps:
        return 0.0
    return float(shared / mean(entropy(table.class_sizes), entropy(table.cluster_sizes)))


def _adjusted_information(table: Contingency, average_method: str = "arithmetic") -> float:
    mean = _checked_mean(average_method)
    k = len(table.classes)
    if k == len(table.clusters) and (k == 1 or k == table.n_rows or len(table.counts) == k):
        return 1.0
    shared, expected = mutual_information(table), expected_mutual_information(table)
    span = mean(entropy(table.class_sizes), entropy(table.cluster_sizes)) - expected
    # Both vanish where chance explains everything; their signs then are those of rounding.
    eps = np.finfo(np.float64).eps
    return float((shared - expected) / (min(span, -eps) if span < 0 else max(span, eps)))


def _homogeneity(table: Contingency, beta: float = 1.0) -> tuple[float, float, float]:
    if not beta >= 0:
        raise ParameterError(f"beta={beta!r} should be >= 0.")
    shared = mutual_information(table)
    homogeneity, completeness = (
        shared / own if own > 0 else 1.0 for own in (entropy(table.class_sizes), entropy(table.cluster_sizes))
    )
    weighted = beta * homogeneity + completeness
    v_measure = (1 + beta) * homogeneity * completeness / weighted if weighted > 0 else 0.0
    return homogeneity, completeness, v_measure


def _purity(table: Contingency) -> float:
    best = np.zeros(len(table.clusters), np.int64)
    np.maximum.at(best, table.columns, table.counts)
    return int(best.sum()) / table.n_rows


def _accuracy(table: Contingency) -> float:
    from scipy.optimize import linear_sum_assignment

    counts = table.dense()
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return int(counts[rows, columns].sum()) / table.n_rows


def _checked_mean(average_method: str) -> Any:
    if average_method not in _MEANS:
        raise ParameterError(f"average_method={average_method!r} should be one of {', '.join(_MEANS)}.")
    return _MEANS[average_method]


#: Scores of a table by name: what `gpuclust evaluate` shows.
EXTERNAL = {
    "adjusted_rand": _adjusted_rand,
    "normalized_mutual_info": _normalized_information,
    "adjusted_mutual_info": _adjusted_information,
    "homogeneity": lambda table: _homogeneity(table)[0],
    "completeness": lambda table: _homogeneity(table)[1],
    "v_measure": lambda table: _homogeneity(table)[2],
    "fowlkes_mallows": _fowlkes_mallows,
    "purity": _purity,
    "accuracy": _accuracy,
}
