"""NearestNeighbors: scikit-learn's interface to exact and approximate search, on any engine and any source."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.errors import DeviceError, ParameterError
from gpuclust.neighbors.approximate import PARAMETERS, ApproximateIndex, checked_parameters
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.radius import within
from gpuclust.protocol import SYNONYMS, InvalidParameter, check_features, checked_metric, in_kind_of
from gpuclust.sources import Source, as_source
from gpuclust.validation import parse_memory

__all__ = ["NearestNeighbors"]

_METRICS = {"euclidean", "cosine", "manhattan", "chebyshev", "minkowski", *SYNONYMS}


class NearestNeighbors(BaseEstimator):
    """The rows nearest to each row, or within a radius of it: exact and certified, or by an approximate index.

    Exact neighbours are those of a brute force in float64, equally near ones in order of their index, whatever the
    device, the number of threads, or whether the rows come from memory or from a file. FAISS [1]_ searches in float32;
    what is too close to call for it is decided by canonical distances.

    Parameters
    ----------
    n_neighbors : int, default=5
        Neighbours of a row, at least 1.
    radius : float, default=1.0
        Distance within which `radius_neighbors` finds rows, at least 0.
    index : {"flat", "ivf_flat", "ivf_pq", "hnsw"}, default="flat"
        How neighbours are sought. "flat" is exact. The others look at a part of the rows only; their distances are
        exact, but some neighbours are missed: see `recall_`. `radius_neighbors` is exact with any of them.
    index_params : dict, optional
        Of the index: "ivf_flat" takes nlist, nprobe; "ivf_pq" nlist, nprobe, m, nbits, refine; "hnsw" M,
        efConstruction, efSearch. Defaults: :mod:`gpuclust.neighbors.approximate`.
    metric : str, default="euclidean"
        "euclidean" ("l2"), "cosine" (one minus the cosine of the angle; rows are scaled to unit length), "manhattan"
        ("l1", "cityblock"), "chebyshev", or "minkowski" with a `p` of 1, 2 or infinity. Manhattan and chebyshev
        distances are computed of all pairs, on the CPU, without FAISS.
    p : float, optional
        Of the metric "minkowski": 1, 2 (also None) or infinity.
    metric_params : dict, optional
        For compatibility: {"p": p} in place of `p`.
    algorithm : {"auto", "ball_tree", "kd_tree", "brute"}, default="auto"
        For compatibility: see `index`.
    leaf_size : int, default=30
        For compatibility: there is no tree.
    n_jobs : int, optional
        For compatibility: the threads are numba's (``numba.set_num_threads``, NUMBA_NUM_THREADS).
    device : str, optional
        "auto", "cpu", "cuda" or "cuda:1", as for `KMeans`; neighbours are sought on one GPU.
    max_memory : int or str, optional
        Memory for rows in flight when they are streamed, and for candidates: bytes, or "512MB", "2GiB".
    callback : callable, optional
        Called as ``callback(stage, done, total)`` with the stages "search" and, for what float32 cannot tell apart,
        "scan". It may raise to stop.

    Attributes
    ----------
    n_samples_fit_ : int
        Number of rows.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.
    effective_metric_ : str
        The metric by its first name.
    index_params_ : dict
        Parameters of the index, defaults included; empty for "flat".
    recall_ : float
        Share of the `n_neighbors` nearest rows that the index finds, compared with an exact search for at most 256 of
        the rows; 1.0 for "flat".

    References
    ----------
    .. [1] M. Douze et al., "The Faiss library", 2024, https://arxiv.org/abs/2401.08281.

    Examples
    --------
    >>> from gpuclust import NearestNeighbors
    >>> neighbors = NearestNeighbors(n_neighbors=2).fit([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    >>> distances, indices = neighbors.kneighbors([[1.5, 0.0]])
    >>> distances, indices
    (array([[0.5, 1.5]]), array([[1, 0]]))
    >>> neighbors.kneighbors(n_neighbors=1, return_distance=False)  # of the rows themselves, among each other
    array([[1],
           [0],
           [1]])
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "radius": [Interval(Real, 0, None, closed="both")],
        "index": [StrOptions({"flat", *PARAMETERS})],
        "index_params": [dict, None],
        "metric": [StrOptions(_METRICS)],
        "p": [Real, None],
        "metric_params": [dict, None],
        "algorithm": [StrOptions({"auto", "ball_tree", "kd_tree", "brute"})],
        "leaf_size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str, None],
        "max_memory": [str, Integral, None],
        "callback": [callable, None],
    }

    n_samples_fit_: int
    n_features_in_: int
    effective_metric_: str
    index_params_: dict[str, int]
    recall_: float

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        radius: float = 1.0,
        index: str = "flat",
        index_params: dict[str, int] | None = None,
        metric: str = "euclidean",
        p: float | None = None,
        metric_params: dict[str, Any] | None = None,
        algorithm: str = "auto",
        leaf_size: int = 30,
        n_jobs: int | None = None,
        device: str | None = None,
        max_memory: int | str | None = None,
        callback: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.index = index
        self.index_params = index_params
        self.metric = metric
        self.p = p
        self.metric_params = metric_params
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.n_jobs = n_jobs
        self.device = device
        self.max_memory = max_memory
        self.callback = callback

    def fit(self, X: Any, y: Any = None) -> Self:
        """Take the rows among which neighbours are sought, and index them.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows; they are not copied, and must stay as they are.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule, or `device` names several GPUs.
        DataError
            `X` is empty, not finite, or no matrix of numbers.
        MissingDependencyError
            FAISS is not installed.
        """
        metric = checked_metric(self, _METRICS)
        source = self._source(X, reset=True)
        params = checked_parameters(self.index, self.index_params, source.n_rows, source.n_features)
        if self.index != "flat" and metric not in ("euclidean", "cosine"):
            raise InvalidParameter(
                f"index={self.index!r} is for euclidean and cosine distances, not metric={metric!r}."
            )
        self.effective_metric_, self.index_params_ = metric, params
        self.n_samples_fit_ = source.n_rows
        self._rows = source
        self._opened: _Opened | None = None
        opened = self._open()
        self.recall_ = 1.0
        if isinstance(opened.searched, ApproximateIndex) and source.n_rows > 1:
            self.recall_ = opened.searched.recall(min(int(self.n_neighbors), source.n_rows - 1))
        return self

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """Find the nearest rows of each query.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_queries, n_features), optional
            Queries; by default the rows themselves, and then no row is its own neighbour.
        n_neighbors : int, optional
            By default that of the constructor.
        return_distance : bool, default=True
            Whether distances are returned.

        Returns
        -------
        distances : float64 array of shape (n_queries, n_neighbors)
            Rising. Only if `return_distance`.
        indices : int64 array of shape (n_queries, n_neighbors)
            The rows' numbers; of equally near rows the lowest come first. Both are torch tensors or CuPy arrays, on its
            device, if `X` is one.

        Raises
        ------
        ParameterError
            `n_neighbors` breaks its rule, or there are not so many (other) rows.
        DataError
            `X` is not finite, is empty, or has another number of features than the rows.
        """
        distances, indices = self._nearest(X, n_neighbors)
        if not return_distance:
            return in_kind_of(X, indices)
        return in_kind_of(X, distances), in_kind_of(X, indices)

    def radius_neighbors(
        self, X: Any = None, radius: float | None = None, return_distance: bool = True, sort_results: bool = False
    ) -> Any:
        """Find the rows within a radius of each query, exactly: canonical distances of at most `radius`.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_queries, n_features), optional
            Queries; by default the rows themselves, and then no row is its own neighbour.
        radius : float, optional
            By default that of the constructor.
        return_distance : bool, default=True
            Whether distances are returned.
        sort_results : bool, default=False
            Order rows by distance; otherwise they are in order of their numbers. Needs `return_distance`.

        Returns
        -------
        distances : object array of shape (n_queries,) of float64 arrays
            Only if `return_distance`.
        indices : object array of shape (n_queries,) of int64 arrays

        Raises
        ------
        ParameterError
            `radius` is negative or NaN, or `sort_results` without `return_distance`.
        DataError
            `X` is not finite, is empty, or has another number of features than the rows.
        """
        if sort_results and not return_distance:
            raise ParameterError("return_distance must be True if sort_results is True.")
        starts, indices, distances = self._within(X, radius, sort_results)
        if not return_distance:
            return _lists(indices, starts)
        return _lists(distances, starts), _lists(indices, starts)

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> scipy.sparse.csr_matrix:
        """The graph of the nearest rows of each query.

        Parameters
        ----------
        X, n_neighbors
            As in `kneighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            What an edge weighs: 1, or the distance.

        Returns
        -------
        graph : sparse CSR matrix of shape (n_queries, n_samples_fit), float64
        """
        distances, indices = self._nearest(X, n_neighbors)
        starts = np.arange(0, indices.size + 1, indices.shape[1])
        return self._graph(starts, indices.ravel(), distances.ravel(), mode)

    def radius_neighbors_graph(
        self, X: Any = None, radius: float | None = None, mode: str = "connectivity", sort_results: bool = False
    ) -> scipy.sparse.csr_matrix:
        """The graph of the rows within a radius of each query.

        Parameters
        ----------
        X, radius, sort_results
            As in `radius_neighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            What an edge weighs: 1, or the distance.

        Returns
        -------
        graph : sparse CSR matrix of shape (n_queries, n_samples_fit), float64
        """
        return self._graph(*self._within(X, radius, sort_results), mode)

    # -- searching ---------------------------------------------------------------------------------------------------

    def _nearest(self, X: Any, n_neighbors: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        k = _count(self.n_neighbors if n_neighbors is None else n_neighbors)
        queries, own = self._queries(X)
        if k > self.n_samples_fit_ - (own is not None):
            raise ParameterError(
                f"Expected n_neighbors {'<=' if own is None else '<'} n_samples_fit, but n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {queries.n_rows}"
            )
        found = self._open().searched.nearest(queries, k, own, self.callback)
        return self._measured(found.distances, queries), found.indices

    def _within(self, X: Any, radius: Any, sort_results: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts (m + 1,), indices and distances of the rows within a radius, one query after the other."""
        check_is_fitted(self)
        radius = self.radius if radius is None else radius
        if isinstance(radius, bool) or not isinstance(radius, Real) or not float(radius) >= 0:
            raise ParameterError(f"radius={radius!r} should be a number >= 0.")
        queries, own = self._queries(X)
        exact = self._open().exact
        starts, indices, distances = within(exact, queries, self._limit(float(radius), queries), own, self.callback)
        if sort_results:
            order = np.lexsort((indices, distances, np.repeat(np.arange(len(starts) - 1), np.diff(starts))))
            indices, distances = indices[order], distances[order]
        return starts, indices, self._measured(distances, queries)

    def _queries(self, X: Any) -> tuple[Dataset, np.ndarray | None]:
        """The queries, opened; if they are the rows themselves, the number of each."""
        data = self._open().data
        if X is None:
            return data, np.arange(data.n_rows)
        source = self._source(X)
        if source.device is not None and data.engine.name == "cpu":
            raise DeviceError(
                f"X lies on {source.device}, but the fitted rows are searched on the CPU: bring X to the host."
            )
        return Dataset(data.engine, source, normalize=self.effective_metric_ == "cosine"), None

    def _limit(self, radius: float, queries: Dataset) -> float:
        """The largest canonical distance within the radius."""
        scale = self._open().exact.canonical(queries).scale
        match self.effective_metric_:
            case "euclidean":
                return (radius * scale) * (radius * scale)
            case "cosine":
                return 2 * radius * scale * scale
            case _:
                return radius * scale

    def _measured(self, canonical: np.ndarray, queries: Dataset) -> np.ndarray:
        """Distances in the units of the rows."""
        scale = self._open().exact.canonical(queries).scale
        match self.effective_metric_:
            case "euclidean":
                return np.sqrt(canonical) / scale
            case "cosine":
                # Of unit rows, half the squared distance is one minus the cosine.
                return canonical / (2 * scale * scale)
            case _:
                return canonical / scale

    def _graph(
        self, starts: np.ndarray, indices: np.ndarray, distances: np.ndarray, mode: str
    ) -> scipy.sparse.csr_matrix:
        if mode not in ("connectivity", "distance"):
            raise ParameterError(
                f'Unsupported mode, must be one of "connectivity", or "distance" but got "{mode}" instead'
            )
        weights = distances if mode == "distance" else np.ones(len(indices))
        shape = (len(starts) - 1, self.n_samples_fit_)
        return scipy.sparse.csr_matrix((weights, indices, starts), shape=shape)

    # -- opening -----------------------------------------------------------------------------------------------------

    def _open(self) -> _Opened:
        """The rows on an engine, and their indexes: made once, and anew after unpickling."""
        if self._opened is not None:
            return self._opened
        source, metric = self._rows, self.effective_metric_
        work = source.n_rows**2 * source.n_features
        engine = get_engine(self.device, data_device=source.device, work=work)
        data = Dataset(engine, source, normalize=metric == "cosine")
        memory, plain = parse_memory(self.max_memory), "euclidean" if metric == "cosine" else metric
        exact = FlatIndex(data, memory, plain, keep=self.index == "flat")
        searched = exact if self.index == "flat" else ApproximateIndex(data, self.index, self.index_params_, exact)
        self._opened = _Opened(data, exact, searched)
        return self._opened

    def _source(self, X: Any, *, reset: bool = False) -> Source:
        source = as_source(X, max_memory=self.max_memory)
        check_features(self, X, source, reset=reset)
        return source

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: None if name == "_opened" else value for name, value in state.items()}


class _Opened(NamedTuple):
    """The fitted rows, the exact index of them, and the one that was asked for."""

    data: Dataset
    exact: FlatIndex
    searched: FlatIndex | ApproximateIndex


def _count(value: Any) -> int:
    """A number of neighbours."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise NotACount(f"n_neighbors does not take {type(value)} value, enter integer value")
    if value < 1:
        raise ParameterError(f"Expected n_neighbors > 0. Got {value}")
    return int(value)


class NotACount(ParameterError, TypeError):
    """A number of neighbours that is no integer: gpuclust's error and the one that scikit-learn raises."""


def _lists(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Object array (m,) of arrays, one a query."""
    out = np.empty(len(starts) - 1, dtype=object)
    out[:] = np.split(values, starts[1:-1])
    return out
