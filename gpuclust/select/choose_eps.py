"""Which radius for DBSCAN: the knee of the curve of distances to the k-th nearest neighbour.

J. Sander, M. Ester, H.-P. Kriegel, X. Xu ("Density-based clustering in spatial databases", Data Mining and Knowledge
Discovery 2, 1998) sort the rows by the distance to a neighbour of fixed number: where the curve leaves its slow rise,
clusters end and noise begins. Here:

1. ``min_samples`` is 2 d for d features, as there, but at least 5, DBSCAN's default: fewer let single rows between two
   clusters join them. At most ``MOST_SAMPLES`` and a tenth of the rows.
2. The neighbour is number max(min_samples, 2 d, log2 n): rows of one cluster, joined to fewer than some log n of their
   neighbours each, fall into pieces by chance (F. Xue, P. Kumar, "The number of neighbors needed for connectivity of
   wireless networks", Wireless Networks 10, 2004), and a radius from fewer would break clusters.
3. The knee is that of `gpuclust.select.knee`, of log distance over rank: a distance counts by its ratio to others.
   Distances of 0 (rows that are repeated) are left out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError
from gpuclust.select.knee import knee
from gpuclust.select.progress import Callback, Progress
from gpuclust.select.suggestion import EpsSuggestion
from gpuclust.sources import as_source
from gpuclust.sources.sphere import SphereSource
from gpuclust.validation import check_positive_int, parse_memory

__all__ = ["EPS_METRICS", "MOST_SAMPLES", "SAMPLE_SIZE", "check_eps_metric", "choose_eps", "suggest_eps"]

#: Metrics whose neighbours are those of Euclidean distances, of unit rows or of places on the unit sphere.
EPS_METRICS = ("euclidean", "cosine", "haversine")
#: Rows that the curve shows, where nobody says otherwise.
SAMPLE_SIZE = 20_000
MOST_SAMPLES = 64


def suggest_eps(
    X: Any,
    *,
    min_samples: int | None = None,
    metric: str = "euclidean",
    sample_size: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    device: str | None = None,
    max_memory: int | str | None = None,
    callback: Callback | None = None,
) -> EpsSuggestion:
    """Suggest ``eps`` and ``min_samples`` for DBSCAN.

    The rule is that of `gpuclust.select.choose_eps`: the knee of the k-distance curve.

    Parameters
    ----------
    X : array-like, table, path or Source of shape (n_samples, n_features)
        Rows, as for `DBSCAN`.
    min_samples : int, optional
        Neighbours that will make a core row. By default twice the number of features, within 5 and 64; at most a tenth
        of the rows, but at least 3.
    metric : {"euclidean", "cosine", "haversine"}, default="euclidean"
        As in `DBSCAN`; `eps` is in its units.
    sample_size : int, optional
        Rows whose distances make the curve, drawn by `random_state`; 20,000 by default. Their neighbours are sought
        among all rows.
    random_state : int, RandomState or None, default=0
        One seed is drawn from it.
    device, max_memory
        As in `DBSCAN`.
    callback : callable, optional
        Called as ``callback(stage, done, total)`` with the stages "search" and "scan". It may raise to stop.

    Returns
    -------
    EpsSuggestion

    Raises
    ------
    ParameterError
        The metric is another one, or `min_samples` or `sample_size` is not positive.
    DataError
        `X` has fewer than 4 rows or not more than `min_samples`, or all of its rows are repeated too often for any
        distance above 0; or it is not finite.
    MissingDependencyError
        FAISS is not installed.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from gpuclust import DBSCAN
    >>> from gpuclust.select import suggest_eps
    >>> X, _ = make_moons(500, noise=0.05, random_state=0)
    >>> labels = DBSCAN(**suggest_eps(X).values).fit(X).labels_
    >>> int(labels.max()) + 1
    2
    """
    check_eps_metric(metric)
    given = None if min_samples is None else check_positive_int(min_samples, "min_samples")
    size = SAMPLE_SIZE if sample_size is None else check_positive_int(sample_size, "sample_size")
    source = as_source(X, max_memory=max_memory)
    engine = get_engine(device, data_device=source.device, work=source.n_rows**2 * source.n_features)
    data = Dataset(engine, SphereSource(source) if metric == "haversine" else source, normalize=metric == "cosine")
    return choose_eps(
        data,
        given,
        metric,
        Progress(callback),
        n_features=source.n_features,
        sample_size=size,
        seed=int(check_random_state(random_state).randint(0, 2**63 - 1, dtype=np.int64)),
        memory=parse_memory(max_memory),
    )


def check_eps_metric(metric: str) -> None:
    """ParameterError for a metric in which neighbours cannot be sought."""
    if metric not in EPS_METRICS:
        raise ParameterError(
            f"metric={metric!r}: eps can be suggested for {', '.join(map(repr, EPS_METRICS))}, whose neighbours FAISS "
            "finds; give eps yourself for others."
        )


def choose_eps(
    data: Dataset,
    min_samples: int | None,
    metric: str,
    progress: Progress,
    *,
    n_features: int,
    sample_size: int = SAMPLE_SIZE,
    seed: int = 0,
    memory: int | None = None,
) -> EpsSuggestion:
    """`suggest_eps` for rows that are open, of unit length for "cosine" and on the unit sphere for "haversine".

    ``n_features`` are those of the rows as the caller has them; ``memory`` is that of `gpuclust.neighbors.k_distances`.
    """
    from gpuclust.neighbors.distances import k_distances

    n_rows = data.n_rows
    if n_rows < 4:
        raise DataError(f"n_samples={n_rows} should be >= 4 to see a curve of distances.")
    if min_samples is None:
        min_samples = _bounded(max(5, 2 * n_features), n_rows)
    elif min_samples >= n_rows:
        raise DataError(f"n_samples={n_rows} should be > min_samples={min_samples} to choose eps.")
    # A row counts as one of its own neighbours.
    neighbour = max(min_samples, _bounded(max(2 * n_features, math.ceil(math.log2(n_rows))), n_rows)) - 1
    rows = None
    if n_rows > sample_size:
        rows = np.sort(distinct(purpose_stream(seed, "rows of the curve"), n_rows, sample_size))
    distances = k_distances(data, neighbour, rows=rows, memory=memory, callback=progress)
    distances = np.sort(_in_metric(distances, metric))
    curve = distances[distances > 0]
    if not len(curve):
        raise DataError(
            f"Every row of X is repeated {neighbour} times or more: neighbours have no distances to choose eps from."
        )
    rank = np.arange(len(distances) - len(curve), len(distances)) / max(len(distances) - 1, 1)
    at = knee(rank, np.array([math.log(distance) for distance in curve.tolist()]))
    value = float(curve[at])
    reason = (
        f"eps={value:.4g} with min_samples={min_samples}: the knee of the curve of the rows' distances to their "
        f"{neighbour} nearest others, which {rank[at]:.0%} of the rows have nearer than that."
    )
    if rows is not None:
        reason += f" The curve is that of {len(rows):,} of {n_rows:,} rows."
    return EpsSuggestion(
        value=value,
        min_samples=min_samples,
        table={"rank": rank, "distance": curve},
        knee=at,
        reason=reason,
        metric=metric,
        n_rows=n_rows,
        n_sampled=len(distances),
    )


def _bounded(count: int, n_rows: int) -> int:
    """A number of neighbours that ``n_rows`` rows can show."""
    return max(3, min(count, MOST_SAMPLES, n_rows // 10))


def _in_metric(distances: np.ndarray, metric: str) -> np.ndarray:
    """Euclidean distances of the rows as they are held, in the units of the metric."""
    if metric == "cosine":
        return distances * distances / 2
    if metric == "haversine":
        return 2 * np.arcsin(np.minimum(distances / 2, 1.0))
    return distances
