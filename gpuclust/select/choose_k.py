"""How many clusters: k-means for every candidate, judged by several criteria, and one recommendation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.lloyd import LloydResult
from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError
from gpuclust.metrics.internal import calinski_harabasz_of, davies_bouldin_of, silhouette_of
from gpuclust.select.criteria import check_criteria, choice
from gpuclust.select.fits import fits
from gpuclust.select.gap import gap
from gpuclust.select.progress import Callback, Progress
from gpuclust.select.recommend import recommend
from gpuclust.select.stability import stability
from gpuclust.select.suggestion import Suggestion
from gpuclust.sources import as_source
from gpuclust.validation import check_positive_int

__all__ = ["AUTOMATIC", "SAMPLE_SIZE", "candidates", "choose_k", "suggest_k"]

#: Rows that silhouette, gap and stability look at, where nobody says otherwise.
SAMPLE_SIZE = 5000
#: The criteria that the rule asks, and those that cost next to nothing.
AUTOMATIC = ("inertia", "calinski_harabasz", "davies_bouldin", "stability")
_MOST_CLUSTERS = 64


def suggest_k(
    X: Any,
    *,
    k: Any = None,
    criteria: Any = "all",
    sample_size: int | None = None,
    metric: str = "euclidean",
    random_state: int | np.random.RandomState | None = None,
    device: str | None = None,
    max_memory: int | str | None = None,
    max_time: float | None = None,
    callback: Callback | None = None,
) -> Suggestion:
    """Suggest a number of clusters for k-means.

    k-means runs on all rows for one number of clusters after the other, each fit starting where the one before ended
    and, a second time, from k-means++ seeds. The criteria are those of `gpuclust.select.criteria`; the rule is that of
    `gpuclust.select.recommend`.

    Parameters
    ----------
    X : array-like, table, path or Source of shape (n_samples, n_features)
        Rows, as for `KMeans`.
    k : range, sequence of int, or tuple (low, high), optional
        Numbers of clusters to try, within 2 to n_samples - 1; a tuple of two is a range with both ends. By default from
        2 to the square root of n_samples, rounded up, and at most 64.
    criteria : "all", str or sequence of str, default="all"
        Of "inertia", "silhouette", "calinski_harabasz", "davies_bouldin", "gap" and "stability".
    sample_size : int, optional
        Rows that silhouette, gap and stability look at, drawn by `random_state`; 5,000 by default. The others look at
        all rows.
    metric : {"euclidean", "cosine"}, default="euclidean"
        As in `KMeans`: "cosine" scales rows to unit length.
    random_state : int, RandomState or None, default=None
        One seed is drawn from it. With the same seed, the suggestion is the same on every device.
    device, max_memory
        As in `KMeans`.
    max_time : float, optional
        Seconds after which to stop: half of them for the fits of all rows, then stability, then gap. What is missing is
        said in the reason.
    callback : callable, optional
        Called as ``callback(stage, done, total)`` with the stages "fits", "stability" and "gap". It may raise to stop.

    Returns
    -------
    Suggestion

    Raises
    ------
    ParameterError
        `k` leaves 2 to n_samples - 1, a criterion or metric is unknown, `max_time` or `sample_size` is not positive.
    DataError
        `X` has fewer than three rows or all its rows are equal: there is nothing to choose; or it is not finite.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpuclust.select import suggest_k
    >>> suggest_k(load_iris().data, random_state=0).value
    3
    """
    progress = Progress(callback, max_time)
    names = check_criteria(criteria)
    size = SAMPLE_SIZE if sample_size is None else check_positive_int(sample_size, "sample_size")
    if metric not in ("euclidean", "cosine"):
        raise ParameterError(f"metric={metric!r} should be 'euclidean' or 'cosine', as for k-means.")
    source = as_source(X, max_memory=max_memory)
    ks = candidates(k, source.n_rows)
    engine = get_engine(device, data_device=source.device, work=source.n_rows * source.n_features * ks[-1])
    data = Dataset(engine, source, normalize=metric == "cosine")
    seed = int(check_random_state(random_state).randint(0, 2**63 - 1, dtype=np.int64))
    return choose_k(data, ks, seed, names, progress, sample_size=size, spherical=metric == "cosine")


def candidates(k: Any, n_rows: int) -> list[int]:
    """The numbers of clusters to try, rising; see `suggest_k`."""
    if n_rows < 3:
        raise DataError(f"n_samples={n_rows} should be >= 3 to choose a number of clusters from 2 to n_samples - 1.")
    if k is None:
        return list(range(2, min(_MOST_CLUSTERS, math.isqrt(n_rows - 1) + 1, n_rows - 1) + 1))
    if not isinstance(k, Sequence | np.ndarray) or isinstance(k, str):
        raise ParameterError(f"k={k!r} should be a range, a sequence of numbers, or a tuple (low, high).")
    given = list(k)
    if not given or not all(isinstance(one, Integral) and not isinstance(one, bool) for one in given):
        raise ParameterError(f"k={k!r} should hold at least one number of clusters, all of them integers.")
    if min(given) < 2 or max(given) > n_rows - 1:
        raise ParameterError(f"k={k!r} should be within 2 to n_samples - 1 = {n_rows - 1}.")
    if isinstance(k, tuple) and len(k) == 2:
        if k[0] > k[1]:
            raise ParameterError(f"k={k!r} should be (low, high) with low <= high.")
        given = list(range(k[0], k[1] + 1))
    return sorted({int(one) for one in given})


def choose_k(
    data: Dataset,
    ks: Sequence[int],
    seed: int,
    criteria: Sequence[str],
    progress: Progress,
    *,
    sample_size: int = SAMPLE_SIZE,
    spherical: bool = False,
) -> Suggestion:
    """`suggest_k` for rows that are open and parameters that are checked."""
    low, high = data.extent
    if np.array_equal(low, high):
        raise DataError(f"All {data.n_rows} rows of X are equal: there is no number of clusters to suggest.")
    sample = _Sample.of(data, sample_size, seed)
    resampling = [name for name in criteria if name in _RESAMPLING]
    tried, values = [], []
    progress("fits", 0, len(ks))
    for k, fit in zip(ks, fits(data, ks, seed, spherical=spherical), strict=False):
        tried.append(k)
        values.append([_value(name, fit, data, sample) for name in criteria if name not in resampling])
        progress("fits", len(tried), len(ks))
        # An inertia of 0 is one cluster for each distinct row: more there cannot be.
        if fit.inertia == 0 or progress.over(0.5 if resampling else 1.0):
            break
    cut = [f"more than {tried[-1]} clusters"] if tried[-1] < ks[-1] and fit.inertia > 0 else []
    names = [name for name in criteria if name not in resampling]
    table: dict[str, np.ndarray] = {"k": np.array(tried, np.int64)}
    table |= {name: np.array(column) for name, column in zip(names, zip(*values, strict=True), strict=True)}
    for name in resampling:
        found = _RESAMPLING[name](sample.data, tried, seed, progress, spherical=spherical)
        table |= dict(zip((name, f"{name}_error"), found, strict=True))
        if progress.over() and np.isnan(table[name]).all():
            cut.append(name)
    return _suggestion(table, criteria, data.n_rows, sample.data.n_rows, cut)


class _Sample(NamedTuple):
    """Some rows as a dataset of their own, and their numbers."""

    data: Dataset
    rows: np.ndarray | slice

    @classmethod
    def of(cls, data: Dataset, size: int, seed: int) -> _Sample:
        if data.n_rows <= size:
            return cls(data, slice(None))
        rows = np.sort(distinct(purpose_stream(seed, "rows to judge by"), data.n_rows, size))
        return cls(Dataset(data.engine, as_source(data.take(rows))), rows)


def _value(criterion: str, fit: LloydResult, data: Dataset, sample: _Sample) -> float:
    """What an index says of one fit."""
    if criterion == "inertia":
        return fit.inertia
    if criterion == "calinski_harabasz":
        # Its limit; scikit-learn's formula gives 1 there.
        return calinski_harabasz_of(data, fit.labels) if fit.inertia > 0 else math.inf
    if criterion == "davies_bouldin":
        return davies_bouldin_of(data, fit.labels)
    clusters, labels = np.unique(fit.labels[sample.rows], return_inverse=True)
    if not 2 <= len(clusters) < len(labels):
        return math.nan
    return silhouette_of(sample.data, labels.astype(np.int32), form="exact")


_RESAMPLING = {"stability": stability, "gap": gap}


def _suggestion(
    table: dict[str, np.ndarray], criteria: Sequence[str], n_rows: int, n_sampled: int, cut: list[str]
) -> Suggestion:
    value, reason = recommend(table)
    own = {name: choice(name, table) for name in criteria}
    if value == table["k"][-1] and len(table["k"]) > 1:
        reason += " It is the largest that was tried: a wider range may hold a better one."
    if n_sampled < n_rows and not {"silhouette", "stability", "gap"}.isdisjoint(criteria):
        reason += f" Silhouette, stability and gap look at {n_sampled:,} of {n_rows:,} rows; the others at all."
    if cut:
        reason += f" max_time left no time for {', '.join(cut)}."
    return Suggestion(
        value=value,
        table=table,
        choices={name: k for name, k in own.items() if k is not None},
        reason=reason,
        n_rows=n_rows,
        n_sampled=n_sampled,
        complete=not cut,
    )
