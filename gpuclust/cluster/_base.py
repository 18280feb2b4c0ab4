"""What the k-means estimators share: scikit-learn's protocol around a Source, a Dataset and the algorithms.

Nothing is computed here. An estimator checks its parameters, opens the rows, hands both to ``algorithms`` and stores
what comes back.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gpuclust.algorithms import assignment
from gpuclust.algorithms.dataset import Dataset
from gpuclust.cluster._initial import SEEDINGS, initial_centers
from gpuclust.engines import get_engine
from gpuclust.errors import ConvergenceWarning, DataError
from gpuclust.protocol import check_features, in_kind_of
from gpuclust.sources import as_source
from gpuclust.validation import check_sample_weight

__all__ = ["BaseKMeans", "FewerClustersWarning"]


class FewerClustersWarning(ConvergenceWarning, SklearnConvergenceWarning):
    """Fewer distinct clusters than asked for: gpuclust's warning and scikit-learn's in one."""


class BaseKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, ABC):
    """Base of `KMeans`, `MiniBatchKMeans` and `XMeans`: parameters, opening data, initial centres, all after `fit`."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions(set(SEEDINGS)), callable, "array-like"],
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

    n_clusters: Any
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

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute the clustering; each estimator says how."""

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit and return the labels of the training rows.

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
        """Return for each row of `X` the index of its nearest centre, ties to the lowest index.

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
        DataError
            `X` is not finite, is empty, or has another number of features than the training rows.
        """
        check_is_fitted(self)
        labels = assignment.predict(self._open(X), self._centers(), precision=self.precision)
        return in_kind_of(X, labels)

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
        return in_kind_of(X, distances.astype(data.dtype, copy=False))

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

    def _open(self, X: Any, sample_weight: Any = None, *, reset: bool = False) -> Dataset:
        """Open `X` as a Dataset on the engine of this estimator, and check (or, with `reset`, record) its features."""
        source = as_source(X, max_memory=self.max_memory)
        check_features(self, X, source, reset=reset)
        k = self._most_clusters(source.n_rows) if reset else len(self.cluster_centers_)
        weights = check_sample_weight(sample_weight, source.n_rows)
        work = source.n_rows * source.n_features * k
        engine = get_engine(self.device, data_device=source.device, work=work)
        return Dataset(engine, source, weights, normalize=self.metric == "cosine")

    def _most_clusters(self, n_rows: int) -> int:
        """Return the most clusters that a fit of so many rows can give; DataError if there are too few rows."""
        if n_rows < self.n_clusters:
            raise DataError(f"n_samples={n_rows} should be >= n_clusters={self.n_clusters}.")
        return int(self.n_clusters)

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
        return initial_centers(self.init, self.n_clusters, X, data, random_state)

    def _centers(self) -> np.ndarray:
        return self.cluster_centers_.astype(np.float64)

    @property
    def _n_features_out(self) -> int:
        return self.cluster_centers_.shape[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
