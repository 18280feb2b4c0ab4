"""Gaussian mixture: expectation and maximisation on any engine and any source, with scikit-learn's interface."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gpuclust.algorithms import mixture
from gpuclust.algorithms.covariances import KINDS, cholesky, precisions_of, shape_of
from gpuclust.algorithms.dataset import Dataset
from gpuclust.cluster._given import given_means, given_precisions, given_weights
from gpuclust.cluster._initial import draw_seed
from gpuclust.engines import get_engine
from gpuclust.errors import ConvergenceWarning, DataError, ParameterError
from gpuclust.protocol import check_features, check_parameters, in_kind_of
from gpuclust.sources import as_source

__all__ = ["GaussianMixture"]


class NotConvergedWarning(ConvergenceWarning, SklearnConvergenceWarning):
    """The iterations ended early: gpuclust's warning and scikit-learn's in one."""


class GaussianMixture(DensityMixin, BaseEstimator):
    """Gaussian mixture, fitted by expectation and maximisation (EM) [1]_, reproducible to the last bit.

    For given rows, parameters and seed, every attribute and every result is the same whatever the device, the number of
    threads, or whether the rows come from memory or from a file. Parameters, attributes and methods are
    scikit-learn's; arithmetic is float64 whatever the dtype of the rows, and memory does not grow with
    ``n_samples * n_components`` but in `predict_proba`.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        A covariance matrix for each component, one matrix for all, variances of each feature for each component, or one
        variance for each component.
    tol : float, default=1e-3
        A run ends when the mean log-likelihood of a row changes by less.
    reg_covar : float, default=1e-6
        Added to all variances, so that covariances are positive definite.
    max_iter : int, default=100
        Most iterations of one run; 0 keeps the initial parameters.
    n_init : int, default=1
        Number of runs from different seeds; the one of the highest likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        Initial components: the clusters of `KMeans`; rows chosen by k-means++ or at random, without extent; or random
        responsibilities.
    weights_init : array-like of shape (n_components,), optional
    means_init : array-like of shape (n_components, n_features), optional
    precisions_init : array-like, optional
        Initial weights, means and inverse covariances, the latter in the shape of `covariances_`, in place of those of
        `init_params`.
    random_state : int, RandomState or None, default=None
        Each run draws one integer seed from it; `sample` draws from it too.
    warm_start : bool, default=False
        A fit begins where the one before ended; `n_init` counts for the first.
    verbose : int, default=0
        Print the progress of every `verbose_interval` iterations.
    verbose_interval : int, default=10
    device : str, optional
        "auto", "cpu", "cuda", "cuda:1", or several GPUs, "cuda:0,1". None asks the `gpuclust.config.device` context,
        then GPUCLUST_DEVICE, then takes "auto". The result is the same to the last bit.
    max_memory : int or str, optional
        Memory for rows in flight when they are streamed: bytes, or "512MB", "2GiB".
    callback : callable, optional
        Called after each iteration as ``callback(iteration, lower_bound, change)``: the iteration counted from 1, the
        mean log-likelihood of a row before its update, and what it gained. It may raise to stop.

    Attributes
    ----------
    weights_ : array of shape (n_components,), float64
    means_ : array of shape (n_components, n_features), float64
    covariances_, precisions_, precisions_cholesky_ : float64 arrays
        Covariances, their inverses P P', and upper triangular P (or the roots of the inverses). Their shape is
        (n_components, n_features, n_features) if "full", (n_features, n_features) if "tied", (n_components, n_features)
        if "diag", (n_components,) if "spherical".
    converged_ : bool
        Whether the run that was kept ended by `tol`.
    n_iter_ : int
        Its iterations.
    lower_bound_ : float
        Mean log-likelihood of a training row before its last update.
    lower_bounds_ : list of float
        The same for each iteration.
    n_features_in_ : int
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    References
    ----------
    .. [1] A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", Journal of
       the Royal Statistical Society B 39, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> mixture = GaussianMixture(n_components=2, means_init=X[[0, 3]]).fit(X)
    >>> mixture.means_.round(6)
    array([[ 1.,  2.],
           [10.,  2.]])
    >>> mixture.predict([[0, 0], [12, 3]])
    array([0, 1], dtype=int32)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(KINDS))],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(mixture.INITIALIZATIONS))],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "device": [str, None],
        "max_memory": [str, Integral, None],
        "callback": [callable, None],
    }

    weights_: np.ndarray
    means_: np.ndarray
    covariances_: np.ndarray
    precisions_: np.ndarray
    precisions_cholesky_: np.ndarray
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    n_features_in_: int

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        device: str | None = None,
        max_memory: int | str | None = None,
        callback: Callable[[int, float, float], None] | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.device = device
        self.max_memory = max_memory
        self.callback = callback

    # -- fit ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Estimate the parameters of the mixture.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows: NumPy, pandas, polars, pyarrow, torch, any DLPack array, lists, the path of an .npy, .fbin, .fvecs or
            parquet file, or a `Source`.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule.
        DataError
            `X` has fewer rows than components, or fewer than two; it is not finite or not a matrix of numbers; its
            values are too large to be squared; or a covariance became singular: then raise `reg_covar`.

        Warns
        -----
        ConvergenceWarning
            The run that was kept did not converge within `max_iter` iterations.
        """
        self._fit(X)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:
        """Fit and return the labels of the training rows: ``fit(X).predict(X)``."""
        return in_kind_of(X, self._labels(self._fit(X)))

    def _fit(self, X: Any) -> Dataset:
        check_parameters(self)
        data = self._open(X, reset=True)
        resumes = self.warm_start and hasattr(self, "converged_")
        if resumes:
            self._check_fit_before(data.n_features)
        given = None if resumes else self._given(data.n_features)
        random_state = check_random_state(self.random_state)
        best: mixture.MixtureResult | None = None
        for number in range(1 if resumes else self.n_init):
            if self.verbose:
                print(f"Initialization {number}")
            start = self._parameters() if given is None else self._initial(data, given, random_state)
            result = mixture.run(
                data,
                start,
                self.covariance_type,
                max_iter=self.max_iter,
                tol=self.tol,
                reg_covar=self.reg_covar,
                lower_bound=self.lower_bound_ if resumes else -math.inf,
                callback=self._report if self.verbose else self.callback,
            )
            if best is None or not result.lower_bounds or result.lower_bounds[-1] > best.lower_bounds[-1]:
                best = result

        assert best is not None  # n_init >= 1
        if self.max_iter > 0 and not best.converged:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
                "tol, or check for degenerate data.",
                NotConvergedWarning,
                stacklevel=3,
            )
        self.weights_, self.means_, self.covariances_, self.precisions_cholesky_ = best.parameters
        self.precisions_ = precisions_of(self.precisions_cholesky_, self.covariance_type)
        self.converged_, self.n_iter_ = best.converged, len(best.lower_bounds)
        self.lower_bounds_ = best.lower_bounds
        self.lower_bound_ = best.lower_bounds[-1] if best.lower_bounds else -math.inf
        return data

    def _check_fit_before(self, n_features: int) -> None:
        """Check that the fit before was of such a mixture; ParameterError otherwise."""
        k, d = int(self.n_components), n_features
        found, needed = (self.means_.shape, self.covariances_.shape), ((k, d), shape_of(self.covariance_type, k, d))
        if found != needed:
            raise ParameterError(
                f"warm_start=True goes on from the fit before, whose means and covariances have shapes {found}, but "
                f"n_components={k}, covariance_type={self.covariance_type!r} and {d} features need {needed}: set "
                "warm_start=False."
            )

    def _given(self, n_features: int) -> dict[str, np.ndarray | None]:
        """What the caller gives of the initial parameters, checked."""
        k, d = int(self.n_components), n_features
        return {
            "weights": None if self.weights_init is None else given_weights(self.weights_init, k),
            "means": None if self.means_init is None else given_means(self.means_init, k, d),
            "precisions": None
            if self.precisions_init is None
            else given_precisions(self.precisions_init, self.covariance_type, k, d),
        }

    def _initial(
        self, data: Dataset, given: dict[str, np.ndarray | None], random_state: np.random.RandomState
    ) -> mixture.Parameters:
        seed = draw_seed(random_state)
        kind, init = self.covariance_type, self.init_params
        return mixture.initial(data, self.n_components, kind, init, seed, self.reg_covar, **given)

    def _report(self, iteration: int, lower_bound: float, change: float) -> None:
        """Print one iteration, then pass it on to the caller's callback."""
        if iteration % self.verbose_interval == 0:
            print(f"  Iteration {iteration}, lower bound {lower_bound:.6g}, change {change:.3g}.")
        if self.callback is not None:
            self.callback(iteration, lower_bound, change)

    # -- after fit ---------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Return for each row of `X` its most probable component, ties to the lowest index.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)

        Returns
        -------
        labels : int32 array of shape (n_samples,)
            A torch tensor or CuPy array, on its device, if `X` is one; a NumPy array otherwise.

        Raises
        ------
        DataError
            `X` is not finite, is empty, or has another number of features than the training rows.
        """
        check_is_fitted(self)
        return in_kind_of(X, self._labels(self._open(X)))

    def predict_proba(self, X: Any) -> Any:
        """Return the probability that a row belongs to a component: its responsibilities.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)

        Returns
        -------
        responsibilities : float64 array of shape (n_samples, n_components)
            Of the kind of `X`, as in `predict`. Those below 1e-307 are zero.
        """
        check_is_fitted(self)
        data = self._open(X)
        proba = np.empty((data.n_rows, len(self.weights_)))
        for rows, found in mixture.densities(data, self._parameters(), self.covariance_type, responsibilities=True):
            proba[rows] = found.responsibilities
        return in_kind_of(X, proba)

    def score_samples(self, X: Any) -> Any:
        """Return the log-likelihood of each row of `X`: float64 of shape (n_samples,), of the kind of `X`."""
        check_is_fitted(self)
        return in_kind_of(X, self._log_densities(self._open(X)))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood of the rows of `X`."""
        check_is_fitted(self)
        return self._score(self._open(X))

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion of the mixture for `X`: the lower the better."""
        check_is_fitted(self)
        data = self._open(X)
        return -2 * self._score(data) * data.n_rows + self._n_parameters() * math.log(data.n_rows)

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion of the mixture for `X`: the lower the better."""
        check_is_fitted(self)
        data = self._open(X)
        return -2 * self._score(data) * data.n_rows + 2 * self._n_parameters()

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : float64 array of shape (n_samples, n_features)
            Sorted by component.
        y : int32 array of shape (n_samples,)
            The components.

        Raises
        ------
        ParameterError
            `n_samples` is less than one.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ParameterError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample."
            )
        random_state, (k, d) = check_random_state(self.random_state), self.means_.shape
        labels = np.repeat(np.arange(k, dtype=np.int32), random_state.multinomial(n_samples, self.weights_))
        noise = random_state.standard_normal((n_samples, d))
        if self.covariance_type in ("full", "tied"):
            lower = np.broadcast_to(cholesky(self.covariances_.reshape(-1, d, d)), (k, d, d))
            for c in range(k):
                noise[labels == c] = noise[labels == c] @ lower[c].T
        else:
            noise *= np.sqrt(self.covariances_.reshape(k, -1))[labels]
        return self.means_[labels] + noise, labels

    # -- within ------------------------------------------------------------------------------------------------------

    def _open(self, X: Any, *, reset: bool = False) -> Dataset:
        """Open `X` as a Dataset on the engine of this estimator, and check (or, with `reset`, record) its features."""
        source = as_source(X, max_memory=self.max_memory)
        check_features(self, X, source, reset=reset)
        if reset and source.n_rows < 2:
            raise DataError(f"Found array with {source.n_rows} sample(s) while a minimum of 2 is required.")
        if reset and source.n_rows < self.n_components:
            raise DataError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = "
                f"{source.n_rows}"
            )
        work = source.n_rows * source.n_features * int(self.n_components)
        if self.covariance_type in ("full", "tied"):
            work *= source.n_features
        return Dataset(get_engine(self.device, data_device=source.device, work=work), source)

    def _parameters(self) -> mixture.Parameters:
        return mixture.Parameters(self.weights_, self.means_, self.covariances_, self.precisions_cholesky_)

    def _labels(self, data: Dataset) -> np.ndarray:
        labels = np.empty(data.n_rows, np.int32)
        for rows, found in mixture.densities(data, self._parameters(), self.covariance_type):
            labels[rows] = found.labels
        return labels

    def _log_densities(self, data: Dataset) -> np.ndarray:
        densities = np.empty(data.n_rows)
        for rows, found in mixture.densities(data, self._parameters(), self.covariance_type):
            densities[rows] = found.log_densities
        return densities

    def _score(self, data: Dataset) -> float:
        return math.fsum(self._log_densities(data)) / data.n_rows

    def _n_parameters(self) -> int:
        """Return the number of free parameters of the mixture."""
        k, d = self.means_.shape
        covariances = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}
        return covariances[self.covariance_type] + k * d + k - 1
