"""DBSCAN, on any engine and any source, with scikit-learn's interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import Clustering, dbscan, nearest_core
from gpuclust.algorithms.precomputed import DenseDistances, Distances, SparseDistances, dbscan_of_distances
from gpuclust.engines import get_engine
from gpuclust.engines.neighborhood import Neighborhood
from gpuclust.errors import DataError, ParameterError
from gpuclust.protocol import SYNONYMS, check_features, checked_metric, in_kind_of
from gpuclust.select.choose_eps import check_eps_metric, choose_eps
from gpuclust.select.progress import Progress
from gpuclust.select.suggestion import EpsSuggestion
from gpuclust.sources import Source, as_source
from gpuclust.sources.sphere import SphereSource, chord
from gpuclust.validation import check_counting_weight, parse_memory

__all__ = ["DBSCAN"]

_METRICS = {"euclidean", "manhattan", "chebyshev", "cosine", "haversine", "minkowski", "precomputed", *SYNONYMS}
_MOST_ROWS = 2**31 - 1


class DBSCAN(ClusterMixin, BaseEstimator):
    """Clusters of rows in dense regions [1]_, exact at any size, with scikit-learn's numbering.

    A row is a *core row* if at least `min_samples` rows, itself included, lie within `eps` of it. Core rows within
    `eps` of each other are in one cluster; other rows are in the lowest cluster that has a core row within `eps`, or
    are noise. Clusters are numbered by their smallest core row. Labels do not depend on the device, the number of
    threads, or whether the rows come from memory or from a file, and no list of neighbours is ever stored: memory is
    O(n) beyond the rows.

    Parameters
    ----------
    eps : float or "auto", default=0.5
        Largest distance of neighbours, above 0. In float64, also for float32 rows. "auto" is the knee of the curve of
        distances to the k-th neighbour, by the rule of `gpuclust.select.suggest_eps`, with the metrics "euclidean",
        "cosine" and "haversine"; `selection_` says what was chosen and why. It needs FAISS. Each row counts once in the
        choice, whatever its weight.
    min_samples : int, default=5
        Neighbours, or their weight, that make a core row; at least 1.
    metric : str, default="euclidean"
        "euclidean" ("l2"), "manhattan" ("l1", "cityblock"), "chebyshev", "minkowski" with a `p` of 1, 2 or infinity,
        "cosine" (one minus the cosine of the angle; rows are scaled to unit length), "haversine" (the angle between
        places; rows are latitude and longitude, and `eps` is, in radians) or "precomputed": `X` is a symmetric matrix
        of distances, dense or sparse, of which what is not stored is too far.
    metric_params : dict, optional
        For compatibility: {"p": p} in place of `p`.
    algorithm : {"auto", "ball_tree", "kd_tree", "brute"}, default="auto"
        For compatibility: how neighbours are found changes no result, and is chosen by the rows.
    leaf_size : int, default=30
        For compatibility: there is no tree.
    p : float, optional
        Of the metric "minkowski": 1, 2 (also None) or infinity.
    n_jobs : int, optional
        For compatibility: the threads are numba's (``numba.set_num_threads``, NUMBA_NUM_THREADS).
    device : str, optional
        "auto", "cpu", "cuda" or "cuda:1", as for `KMeans`; neighbours are sought on one GPU.
    max_memory : int or str, optional
        Memory for rows in flight when they are streamed, and for the pairs of rows that are remembered: bytes, or
        "512MB", "2GiB".
    callback : callable, optional
        Called as ``callback(stage, done, total)``, in the thread that fits, while the stages "count", "link" and
        "claim" last and at the end of each. It may raise to stop: the estimator can be used again.

    Attributes
    ----------
    labels_ : int32 array of shape (n_samples,)
        Cluster of each row, -1 for noise.
    core_sample_indices_ : int64 array of shape (n_core_samples,)
        Core rows, rising.
    components_ : array of shape (n_core_samples, n_features), float32 or float64 as the rows
        A copy of the core rows: what `predict` compares with. No rows for precomputed distances.
    eps_ : float
        `eps`, or what "auto" chose.
    selection_ : gpuclust.select.EpsSuggestion
        With ``eps="auto"`` only: the curve, and the reason for the choice.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    Notes
    -----
    Rows x and y are neighbours if the sum of the squares of x_j - y_j, in float64, is at most ``eps * eps``. In two
    dimensions that is what scikit-learn's trees compute, bit for bit; in more they add in another order, and its brute
    force expands the square, so that all three may differ where a distance equals `eps` up to rounding.

    References
    ----------
    .. [1] M. Ester, H.-P. Kriegel, J. Sander, X. Xu, "A density-based algorithm for discovering clusters in large
       spatial databases with noise", KDD 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust import DBSCAN
    >>> X = np.array([[1, 2], [2, 2], [2, 3], [8, 7], [8, 8], [25, 80]])
    >>> clustering = DBSCAN(eps=3, min_samples=2).fit(X)
    >>> clustering.labels_
    array([ 0,  0,  0,  1,  1, -1], dtype=int32)
    >>> clustering.predict([[2, 4], [50, 50]])
    array([ 0, -1], dtype=int32)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "eps": [StrOptions({"auto"}), Interval(Real, 0, math.inf, closed="neither")],
        "min_samples": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(_METRICS)],
        "metric_params": [dict, None],
        "algorithm": [StrOptions({"auto", "ball_tree", "kd_tree", "brute"})],
        "leaf_size": [Interval(Integral, 1, None, closed="left")],
        "p": [Real, None],
        "n_jobs": [Integral, None],
        "device": [str, None],
        "max_memory": [str, Integral, None],
        "callback": [callable, None],
    }

    labels_: np.ndarray
    core_sample_indices_: np.ndarray
    components_: np.ndarray
    eps_: float
    selection_: EpsSuggestion
    n_features_in_: int

    def __init__(
        self,
        eps: float | str = 0.5,
        *,
        min_samples: int = 5,
        metric: str = "euclidean",
        metric_params: dict[str, Any] | None = None,
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float | None = None,
        n_jobs: int | None = None,
        device: str | None = None,
        max_memory: int | str | None = None,
        callback: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.eps = eps
        self.min_samples = min_samples
        self.metric = metric
        self.metric_params = metric_params
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.p = p
        self.n_jobs = n_jobs
        self.device = device
        self.max_memory = max_memory
        self.callback = callback

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute the clustering.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows; or distances, (n_samples, n_samples), also as a scipy sparse matrix, with ``metric="precomputed"``.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Count a row as so many neighbours: finite, of any sign. A row whose weight is at least `min_samples` is a
            core row by itself; a negative weight keeps neighbours from being core rows. Sums are exact.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule, or `device` names several GPUs.
        DataError
            `X` is empty, not finite, out of the metric's range, has 2**31 rows or more, or is no matrix of distances.
        """
        metric = checked_metric(self, _METRICS)
        if self.eps == "auto":
            check_eps_metric(metric)
        else:
            self.eps_ = float(self.eps)
        if metric == "precomputed":
            found, cores = self._fit_distances(X, sample_weight)
        else:
            source = self._source(X, reset=True)
            weights = None if sample_weight is None else check_counting_weight(sample_weight, source.n_rows)
            data = self._dataset(source, metric)
            if self.eps == "auto":
                self._choose_eps(data, metric)
            found = dbscan(
                data,
                self._neighborhood(metric),
                int(self.min_samples),
                weights=weights,
                max_memory=parse_memory(self.max_memory),
                callback=self.callback,
            )
            cores = source.take(np.flatnonzero(found.core))
        self.labels_ = found.labels
        self.core_sample_indices_ = np.flatnonzero(found.core).astype(np.int64)
        self.components_ = cores
        self._component_labels = self.labels_[self.core_sample_indices_][: len(cores)]
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit and return the labels of the rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        labels : int32 array of shape (n_samples,)
            ``labels_``; a torch tensor or CuPy array if `X` is one.
        """
        return in_kind_of(X, self.fit(X, sample_weight=sample_weight).labels_)

    def predict(self, X: Any) -> Any:
        """Return for each row of `X` the cluster of its nearest core row within `eps`, the first of equals, or -1.

        A border row of the training data may get another label than in ``labels_``, where it has that of the lowest
        cluster in reach and not of the nearest.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows to label.

        Returns
        -------
        labels : int32 array of shape (n_samples,)
            A torch tensor or CuPy array, on its device, if `X` is one; a NumPy array otherwise.

        Raises
        ------
        ParameterError
            The metric is "precomputed": distances say nothing about new rows.
        DataError
            `X` is not finite, is empty, or has another number of features than the training rows.
        """
        check_is_fitted(self)
        metric = checked_metric(self, _METRICS)
        if metric == "precomputed":
            raise ParameterError("metric='precomputed': distances among training rows say nothing about new rows.")
        data = self._dataset(self._source(X), metric)
        cores = self.components_
        if len(cores) and metric in ("cosine", "haversine"):
            # Core rows as the data holds its rows.
            held = self._dataset(as_source(cores), metric)
            cores = held.take(np.arange(len(cores)))
        nearest = nearest_core(data, cores, self._neighborhood(metric))
        labels = np.append(self._component_labels, np.int32(-1))
        return in_kind_of(X, labels[nearest])

    def _choose_eps(self, data: Dataset, metric: str) -> None:
        """Choose eps from the distances of the rows, and keep the reasons."""
        self.selection_ = choose_eps(
            data,
            int(self.min_samples),
            metric,
            Progress(self.callback),
            n_features=self.n_features_in_,
            memory=parse_memory(self.max_memory),
        )
        self.eps_ = self.selection_.value

    # -- opening -----------------------------------------------------------------------------------------------------

    def _neighborhood(self, metric: str) -> Neighborhood:
        eps = self.eps_ if self.eps == "auto" else float(self.eps)
        if metric == "haversine":
            return Neighborhood.within(chord(eps), "euclidean")
        if metric == "cosine":
            # Of unit rows, half the squared distance is one minus the cosine.
            found = Neighborhood.within(math.sqrt(2 * eps), "euclidean")
            return found._replace(limit=2 * eps * found.scale * found.scale)
        return Neighborhood.within(eps, metric)

    def _source(self, X: Any, *, reset: bool = False) -> Source:
        source = as_source(X, max_memory=self.max_memory)
        check_features(self, X, source, reset=reset)
        if source.n_rows > _MOST_ROWS:
            raise DataError(f"X has {source.n_rows} rows; DBSCAN takes at most 2**31 - 1, whose numbers are int32.")
        return source

    def _dataset(self, source: Source, metric: str) -> Dataset:
        work = source.n_rows**2 * source.n_features
        engine = get_engine(self.device, data_device=source.device, work=work)
        rows = SphereSource(source) if metric == "haversine" else source
        return Dataset(engine, rows, normalize=metric == "cosine")

    def _fit_distances(self, X: Any, sample_weight: Any) -> tuple[Clustering, np.ndarray]:
        distances: Distances
        if scipy.sparse.issparse(X):
            distances = SparseDistances(X)
            self.n_features_in_ = distances.n_rows
        else:
            distances = DenseDistances(self._source(X, reset=True))
        weights = None if sample_weight is None else check_counting_weight(sample_weight, distances.n_rows)
        found = dbscan_of_distances(
            distances, self.eps_, int(self.min_samples), weights=weights, callback=self.callback
        )
        return found, np.empty((0, distances.n_rows))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        tags.input_tags.sparse = self.metric == "precomputed"
        return tags
