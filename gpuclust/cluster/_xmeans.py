"""X-means: k-means that finds its number of clusters by splitting, with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from gpuclust.cluster._base import BaseKMeans
from gpuclust.cluster._initial import SEEDINGS, draw_seed
from gpuclust.errors import DataError, ParameterError
from gpuclust.protocol import check_parameters
from gpuclust.select.splitting import xmeans

__all__ = ["XMeans"]


class XMeans(BaseKMeans):
    """K-means that splits clusters while the Bayesian information criterion says that two are better than one [1]_.

    Labels are exact and everything is reproducible to the last bit, as in `KMeans`. The criterion takes clusters for
    spherical Gaussians of one variance: elongated clusters are cut into more pieces than one may want;
    `gpuclust.select.suggest_k` does not assume that.

    Parameters
    ----------
    min_clusters : int, default=2
        Number of clusters to begin with.
    max_clusters : int, default=64
        Most clusters; no fewer than `min_clusters`. Where more are worth splitting, those that gain most are.
    init : {"k-means++", "k-means||", "random"}, default="k-means++"
        How the first `min_clusters` centres are seeded, as in `KMeans`.
    max_iter : int, default=300
        Most iterations of one run of k-means.
    tol : float, default=1e-4
        As in `KMeans`.
    random_state : int, RandomState or None, default=None
        One seed is drawn from it.
    device, precision, max_memory, callback
        As in `KMeans`; `callback` sees the iterations of one run of k-means after the other.

    Attributes
    ----------
    n_clusters_ : int
        The number of clusters found.
    cluster_centers_ : array of shape (n_clusters_, n_features), float32 or float64 as the rows
    labels_ : int32 array of shape (n_samples,)
        Index of the nearest centre of each training row, ties to the lowest index.
    inertia_ : float
        Sum over rows of weight times squared distance to the centre of the label, correctly rounded.
    n_iter_ : int
        Iterations of the last run of k-means.
    n_rounds_ : int
        Rounds of splitting.
    n_features_in_ : int
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    References
    ----------
    .. [1] D. Pelleg, A. Moore, "X-means: extending k-means with efficient estimation of the number of clusters", ICML
       2000.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from gpuclust import XMeans
    >>> X, _ = make_blobs(1000, centers=7, n_features=8, random_state=0)
    >>> XMeans(random_state=0).fit(X).n_clusters_
    7
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "min_clusters": [Interval(Integral, 1, None, closed="left")],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        **{
            name: BaseKMeans._parameter_constraints[name]
            for name in ("max_iter", "tol", "random_state", "device", "precision", "max_memory", "callback")
        },
        "init": [BaseKMeans._parameter_constraints["init"][0]],
    }

    metric = "euclidean"
    n_clusters_: int
    inertia_: float
    n_iter_: int
    n_rounds_: int

    def __init__(
        self,
        *,
        min_clusters: int = 2,
        max_clusters: int = 64,
        init: str = "k-means++",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        device: str | None = None,
        precision: str = "exact",
        max_memory: int | str | None = None,
        callback: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self.min_clusters = min_clusters
        self.max_clusters = max_clusters
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.max_memory = max_memory
        self.callback = callback

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute the clustering of `X`.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows, as for `KMeans`.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, at least 0 and not all 0. A weight counts as so many rows.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule, or `max_clusters` is below `min_clusters`.
        DataError
            `X` has fewer rows than `min_clusters`, is empty, not finite or not a matrix of numbers.
        """
        check_parameters(self)
        if self.max_clusters < self.min_clusters:
            raise ParameterError(f"max_clusters={self.max_clusters} should be >= min_clusters={self.min_clusters}.")
        data = self._open(X, sample_weight, reset=True)
        seed = draw_seed(check_random_state(self.random_state))
        centers, _ = SEEDINGS[self.init](data, self.min_clusters, seed)
        found, self.n_rounds_ = xmeans(
            data,
            centers,
            max_clusters=self._most_clusters(data.n_rows),
            seed=seed,
            max_iter=self.max_iter,
            tol=self.tol,
            precision=self.precision,
            callback=self.callback,
        )
        self.n_clusters_ = len(found.centers)
        self.cluster_centers_ = found.centers.astype(data.dtype)
        self.labels_ = found.labels
        self.inertia_ = found.inertia
        self.n_iter_ = found.n_iter
        return self

    def _most_clusters(self, n_rows: int) -> int:
        if n_rows < self.min_clusters:
            raise DataError(f"n_samples={n_rows} should be >= min_clusters={self.min_clusters}.")
        return min(self.max_clusters, n_rows)
