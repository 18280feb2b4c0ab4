"""What the k-means estimators share: scikit-learn's protocol around a Source, a Dataset and the algorithms.

Nothing is computed here. An estimator checks its parameters, opens the rows, hands both to ``algorithms`` and stores
what comes back.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from gpuclust.algorithms import assignment, seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.errors import ConvergenceWarning, DataError, DataTypeError, ParameterError
from gpuclust.sources import Source, as_source
from gpuclust.validation import check_n_features, check_sample_weight

__all__ = ["BaseKMeans", "FewerClustersWarning", "InvalidParameter"]

_SEEDINGS: dict[str, Callable[[Dataset, int, int], tuple[np.ndarray, np.ndarray]]] = {
    "k-means++": seeding.plus_plus,
    "k-means||": seeding.parallel,
    "random": seeding.random_rows,
}


class InvalidParameter(ParameterError, InvalidParameterError):
    """A constructor parameter breaks its rule: gpuclust's error and scikit-learn's in one."""


class FewerClustersWarning(ConvergenceWarning, SklearnConvergenceWarning):
    """Fewer distinct clusters than asked for: gpuclust's warning and scikit-learn's in one."""


class BaseKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Base of `KMeans` and `MiniBatchKMeans`: parameters, opening data, initial centres, and everything after `fit`."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions(set(_SEEDINGS)), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "device": [str, None],
        "precision": [StrOptions({"exact", "fast"})],
        "max_memory": [str, Integral, None],
        "callback": [callable, None],
    }

    n_clusters: int
    init: Any
    n_init: int | str
    metric: str
    device: str | None
    precision: str
    max_memory: int | str | None
    callback: Callable[..., None] | None
    cluster_centers_: np.ndarray
    labels_: np.ndarray
    n_features_in_: int

    # -- after fit ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute the clustering; each estimator says how."""
        raise NotImplementedError

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit and return the labels of the training rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        labels : int32 array of shape (n_samples,)
            ``labels_``; a torch tensor if `X` is one.
        """
        return _in_kind_of(X, self.fit(X, sample_weight=sample_weight).labels_)

    def predict(self, X: Any) -> Any:
        """Return for each row of `X` the index of its nearest centre, ties to the lowest index.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows to label.

        Returns
        -------
        labels : int32 array of shape (n_samples,)
            A torch tensor if `X` is one, a NumPy array otherwise.

        Raises
        ------
        DataError
            `X` is not finite, is empty, or has another number of features than the training rows.
        """
        check_is_fitted(self)
        labels = assignment.predict(self._open(X), self._centers(), precision=self.precision)
        return _in_kind_of(X, labels)

    def transform(self, X: Any) -> Any:
        """Return the distance of each row of `X` to each centre.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows to transform.

        Returns
        -------
        distances : array of shape (n_samples, n_clusters), of the dtype of the rows
            Euclidean distances, not squared; with ``metric="cosine"`` between the normalised row and the centre. A
            torch tensor if `X` is one. This is the only method whose result grows with ``n_samples * n_clusters``.
        """
        check_is_fitted(self)
        data = self._open(X)
        distances = assignment.transform(data, self._centers())
        return _in_kind_of(X, distances.astype(data.dtype, copy=False))

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit and return the distances of the training rows to the centres: ``fit(X).transform(X)``."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the inertia of `X` for the fitted centres: the larger the better.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows to score.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the sum.
        """
        check_is_fitted(self)
        data = self._open(X, sample_weight)
        centers = self._centers()
        return -assignment.inertia(data, centers, assignment.predict(data, centers, precision=self.precision))

    # -- for the estimators ------------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        """Check every constructor parameter against its rule.

        Raises
        ------
        InvalidParameter
            The message names the parameter, the rule and the value received.
        """
        try:
            self._validate_params()
        except InvalidParameterError as error:
            raise InvalidParameter(str(error)) from None

    def _open(self, X: Any, sample_weight: Any = None, *, reset: bool = False) -> Dataset:
        """Open `X` as a Dataset on the engine of this estimator, and check (or, with `reset`, record) its features."""
        source = as_source(X, max_memory=self.max_memory)
        self._check_features(X, source, reset=reset)
        if reset and source.n_rows < self.n_clusters:
            raise DataError(f"n_samples={source.n_rows} should be >= n_clusters={self.n_clusters}.")
        weights = check_sample_weight(sample_weight, source.n_rows)
        return Dataset(get_engine(self.device), source, weights, normalize=self.metric == "cosine")

    def _check_features(self, X: Any, source: Source, *, reset: bool) -> None:
        """Record the number and the names of the features when `reset`, otherwise compare with the recorded ones."""
        if isinstance(X, str | os.PathLike | Source):
            self._check_names_of_file(source, reset=reset)
        else:
            try:
                _check_feature_names(self, X, reset=reset)
            except TypeError as error:
                raise DataTypeError(str(error)) from None
            except ValueError as error:
                raise DataError(str(error)) from None
        if reset:
            self.n_features_in_ = source.n_features
        else:
            check_n_features(source.n_features, self.n_features_in_, type(self).__name__)

    def _check_names_of_file(self, source: Source, *, reset: bool) -> None:
        """Names in a file are recorded; a file without names (.npy) says nothing: only other names are an error."""
        names = getattr(source, "feature_names", None)
        known = getattr(self, "feature_names_in_", None)
        if reset:
            if names is not None:
                self.feature_names_in_ = np.asarray(names, dtype=object)
            elif known is not None:
                del self.feature_names_in_
        elif names is not None and known is not None and list(names) != list(known):
            raise DataError(
                "The feature names should match those that were passed during fit: "
                f"expected {list(known)}, got {list(names)} from {source.description}."
            )

    def _resolve_n_init(self, several: int) -> int:
        """Return how many initialisations to try; "auto" is `several` for "random" and callables, otherwise 1."""
        given = not isinstance(self.init, str) and not callable(self.init)
        if self.n_init == "auto":
            return several if callable(self.init) or (not given and self.init == "random") else 1
        if given and self.n_init != 1:
            warnings.warn(
                f"Explicit initial center position passed: performing only one init in {type(self).__name__} "
                f"instead of n_init={self.n_init}.",
                RuntimeWarning,
                stacklevel=3,
            )
            return 1
        return int(self.n_init)

    def _initial_centers(self, X: Any, data: Dataset, random_state: np.random.RandomState) -> np.ndarray:
        """Return initial centres (n_clusters, n_features), float64 rounded to the precision of the rows.

        One integer is drawn from `random_state` per call for the seeded methods; a callable gets `random_state` itself.
        """
        if isinstance(self.init, str):
            centers, _ = _SEEDINGS[self.init](data, self.n_clusters, draw_seed(random_state))
            return centers
        if callable(self.init):
            # A callable written for scikit-learn expects an array. Files stay on disk: it gets the Source to take from.
            on_disk = isinstance(X, str | os.PathLike | Source)
            rows = data.source if on_disk else data.take(np.arange(data.n_rows))
            return self._checked_centers(self.init(rows, self.n_clusters, random_state=random_state), data)
        return self._checked_centers(self.init, data)

    def _checked_centers(self, init: Any, data: Dataset) -> np.ndarray:
        """Return the caller's initial centres (any array or table) in float64, rounded to the rows' precision."""
        source = as_source(init, name="init")
        shape = (source.n_rows, source.n_features)
        if source.n_rows != self.n_clusters:
            raise ParameterError(
                f"The shape of the initial centers {shape} does not match the number of clusters {self.n_clusters}."
            )
        if source.n_features != data.n_features:
            raise ParameterError(
                f"The shape of the initial centers {shape} does not match the number of features of the data "
                f"{data.n_features}."
            )
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinity and is reported below
            centers = source.take(np.arange(source.n_rows)).astype(data.dtype).astype(np.float64)
        if not np.isfinite(centers).all():
            row, column = np.argwhere(~np.isfinite(centers))[0]
            raise ParameterError(f"init contains NaN or infinity in {data.dtype}: first at row {row}, column {column}.")
        return centers

    def _centers(self) -> np.ndarray:
        return self.cluster_centers_.astype(np.float64)

    @property
    def _n_features_out(self) -> int:
        return self.cluster_centers_.shape[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def draw_seed(random_state: np.random.RandomState) -> int:
    """Draw one seed in [0, 2**63): all that the algorithms take from a random state."""
    return int(random_state.randint(0, 2**63 - 1, dtype=np.int64))


def _in_kind_of(X: Any, array: np.ndarray) -> Any:
    """Return `array` as a torch tensor if the caller's `X` is one (then torch is loaded already), else unchanged."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        return torch.from_numpy(array).to(X.device)
    return array
