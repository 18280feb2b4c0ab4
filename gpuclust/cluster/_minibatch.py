"""Mini-batch k-means: centres from random batches of rows, with scikit-learn's interface."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from gpuclust.algorithms import assignment, minibatch, sampling
from gpuclust.algorithms.dataset import Dataset
from gpuclust.cluster._base import BaseKMeans
from gpuclust.cluster._initial import draw_seed
from gpuclust.protocol import check_parameters

__all__ = ["MiniBatchKMeans"]


class MiniBatchKMeans(BaseKMeans):
    """K-means from random batches of rows [1]_: approximate centres, at the cost of a few passes at most.

    The batches, and so the result, are a function of the rows, the parameters and the seed alone. Rows of a file are
    read batch by batch; memory does not grow with the file.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    init : {"k-means++", "k-means||", "random"}, array-like of shape (n_clusters, n_features) or callable, \
default="k-means++"
        Initial centres, as for `KMeans`, but found on `init_size` random rows.
    max_iter : int, default=100
        Most passes over the rows: batches are drawn until ``max_iter * n_samples`` rows have been seen.
    batch_size : int, default=1024
        Rows per batch, drawn with replacement, with probabilities proportional to the weights.
    verbose : int, default=0
        Print the progress of each batch.
    compute_labels : bool, default=True
        Label all rows for the final centres at the end of `fit`.
    random_state : int, RandomState or None, default=None
        One integer seed is drawn from it for the batches and one for each initialisation.
    tol : float, default=0.0
        Stop when the squared movement of the centres in one batch is at most `tol` times the mean variance of the
        features. 0 never stops this way.
    max_no_improvement : int or None, default=10
        Stop after as many batches without a new minimum of the smoothed inertia. None never stops this way.
    init_size : int, optional
        Number of random rows for the initialisation: by default three batches, or ``3 * n_clusters`` if that is less
        than `n_clusters`.
    n_init : int or "auto", default="auto"
        Number of initialisations; the best on a random sample of `init_size` rows is kept. "auto" is 3 for "random" and
        callables and 1 otherwise.
    reassignment_ratio : float, default=0.01
        Centres that saw fewer rows than this fraction of the most seen one are now and then moved to random rows.
    metric, device, precision, max_memory
        As for `KMeans`.
    callback : callable, optional
        Called after each batch as ``callback(step, batch_inertia, center_shift)``: the step counted from 1, the mean
        inertia of a row for the centres before it, and their squared movement. It may raise to stop.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features), float32 or float64 as the rows
        Centres.
    labels_ : int32 array of shape (n_samples,)
        Index of the nearest of `cluster_centers_` for each row of the last `fit` or `partial_fit`, if `compute_labels`.
    inertia_ : float
        Sum over those rows of weight times squared distance; without `compute_labels` an estimate from the batches.
    n_iter_ : int
        Passes over the rows that were begun.
    n_steps_ : int
        Batches processed.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    References
    ----------
    .. [1] D. Sculley, "Web-scale k-means clustering", WWW 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust import MiniBatchKMeans
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> kmeans = MiniBatchKMeans(n_clusters=2, init=X[[0, 3]], batch_size=3, random_state=0).fit(X)
    >>> kmeans.predict([[0, 0], [12, 3]])
    array([0, 1], dtype=int32)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseKMeans._parameter_constraints,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "compute_labels": ["boolean"],
        "max_no_improvement": [Interval(Integral, 0, None, closed="left"), None],
        "init_size": [Interval(Integral, 1, None, closed="left"), None],
        "reassignment_ratio": [Interval(Real, 0, None, closed="left")],
    }

    inertia_: float
    n_iter_: int
    n_steps_: int

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        verbose: int = 0,
        compute_labels: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | str = "auto",
        reassignment_ratio: float = 0.01,
        metric: str = "euclidean",
        device: str | None = None,
        precision: str = "exact",
        max_memory: int | str | None = None,
        callback: Callable[[int, float, float], None] | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose
        self.compute_labels = compute_labels
        self.random_state = random_state
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.metric = metric
        self.device = device
        self.precision = precision
        self.max_memory = max_memory
        self.callback = callback

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute centres from random batches of `X`, then label all rows.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows, as for `KMeans.fit`.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, at least 0 and not all 0.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule.
        DataError
            `X` has fewer rows than clusters, is empty, not finite or not a matrix of numbers.
        """
        check_parameters(self)
        data = self._open(X, sample_weight, reset=True)
        self._resolve_sizes(data)
        random_state = check_random_state(self.random_state)
        self._seed = draw_seed(random_state)

        state = minibatch.State.start(self._best_initial_centers(X, data, random_state))
        average = minibatch.run(
            data,
            state,
            self._seed,
            batch_size=self._batch_size,
            n_steps=self.max_iter * data.n_rows // self._batch_size,
            tol=self.tol,
            max_no_improvement=self.max_no_improvement,
            reassignment_ratio=self.reassignment_ratio,
            spherical=self.metric == "cosine",
            precision=self.precision,
            callback=self.callback,
            log=print if self.verbose else None,
        )
        self._store(data, state, data.dtype)
        if not self.compute_labels:
            weight = data.n_rows if data.sample_weight is None else math.fsum(data.sample_weight)
            self.inertia_ = average * weight
        self.n_iter_ = math.ceil(state.n_steps * self._batch_size / data.n_rows)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Update the centres from the rows of `X` as one batch; the first call also finds the initial centres in it.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            One batch of rows.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, at least 0 and not all 0.

        Returns
        -------
        self
        """
        first = not hasattr(self, "cluster_centers_")
        check_parameters(self)
        data = self._open(X, sample_weight, reset=first)
        if first:
            self._resolve_sizes(data)
            random_state = check_random_state(self.random_state)
            self._seed = draw_seed(random_state)
            state = minibatch.State.start(self._initial_centers(X, self._initial_rows(data, 0), random_state))
        else:
            state = minibatch.State(self._centers(), self._counts.copy(), self.n_steps_, self._rows_since_reassignment)
        minibatch.step(
            minibatch.Batch.whole(data, state.centers),
            state,
            self._seed,
            reassignment_ratio=self.reassignment_ratio,
            spherical=self.metric == "cosine",
            precision=self.precision,
        )
        self._store(data, state, data.dtype if first else self.cluster_centers_.dtype)
        return self

    def _store(self, data: Dataset, state: minibatch.State, dtype: np.dtype) -> None:
        """Keep the centres, the state of the updates, and the labels of `data`."""
        self.cluster_centers_ = state.centers.astype(dtype)
        self._counts = state.counts
        self._rows_since_reassignment = state.rows_since_reassignment
        self.n_steps_ = state.n_steps
        if self.compute_labels:
            centers = self._centers()
            self.labels_ = assignment.predict(data, centers, precision=self.precision)
            self.inertia_ = assignment.inertia(data, centers, self.labels_)

    def _resolve_sizes(self, data: Dataset) -> None:
        """Settle the batch size, the number of rows to initialise on and the number of initialisations."""
        self._batch_size = min(self.batch_size, data.n_rows)
        size = self.init_size
        if size is None:
            size = 3 * self._batch_size if 3 * self._batch_size >= self.n_clusters else 3 * self.n_clusters
        elif size < self.n_clusters:
            warnings.warn(
                f"init_size={size} should be larger than n_clusters={self.n_clusters}. "
                "Setting it to min(3*n_clusters, n_samples)",
                RuntimeWarning,
                stacklevel=3,
            )
            size = 3 * self.n_clusters
        self._init_size = min(size, data.n_rows)
        self._n_init = self._resolve_n_init(several=3)

    def _initial_rows(self, data: Dataset, trial: int) -> Dataset:
        return sampling.sample(data, self._init_size, self._seed, f"rows of init {trial}", at_least=self.n_clusters)

    def _best_initial_centers(self, X: Any, data: Dataset, random_state: np.random.RandomState) -> np.ndarray:
        """Return the best of `n_init` initialisations, each on random rows, by the inertia of further random rows."""
        if self._n_init == 1:
            return self._initial_centers(X, self._initial_rows(data, 0), random_state)
        judges = self._initial_rows(data, self._n_init)
        best, least = None, math.inf
        for trial in range(self._n_init):
            centers = self._initial_centers(X, self._initial_rows(data, trial), random_state)
            inertia = assignment.inertia(judges, centers, assignment.predict(judges, centers))
            if self.verbose:
                print(f"Inertia for init {trial + 1}/{self._n_init}: {inertia}")
            if best is None or inertia < least:
                best, least = centers, inertia
        assert best is not None  # n_init >= 1
        return best
