"""k-means: Lloyd's algorithm, on any engine and any source, with scikit-learn's interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions

from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.cluster._base import BaseKMeans, FewerClustersWarning
from gpuclust.cluster._initial import draw_seed, initial_centers
from gpuclust.protocol import check_parameters
from gpuclust.select.choose_k import AUTOMATIC, candidates, choose_k
from gpuclust.select.progress import Progress
from gpuclust.select.suggestion import Suggestion

__all__ = ["KMeans"]


class KMeans(BaseKMeans):
    """K-means clustering, exact and reproducible to the last bit.

    For given rows, parameters and seed, labels, centres, inertia and the number of iterations do not depend on the
    device, the number of threads, or whether the rows come from memory or from a file.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters. "auto" chooses it by the rule of `gpuclust.select.suggest_k` from its default range, with
        this estimator's `metric` and a seed drawn from `random_state`; `selection_` says what was chosen and why. Each
        row counts once in the choice, whatever its weight.
    init : {"k-means++", "k-means||", "random"}, array-like of shape (n_clusters, n_features) or callable, \
default="k-means++"
        Initial centres. "k-means++" is the greedy variant of scikit-learn [1]_; "k-means||" oversamples in a few passes
        over the rows [2]_, for files and many clusters; "random" takes distinct rows. A callable is called as
        ``init(X, n_clusters, random_state=RandomState)`` with `X` a NumPy array, or the `Source` when fitting from a
        path or a `Source`. Initial centres are rounded to the dtype of the rows.
    n_init : int or "auto", default="auto"
        Number of runs from different seeds; the one with the lowest inertia is kept. "auto" is 10 for "random" and
        callables and 1 otherwise.
    max_iter : int, default=300
        Most iterations of one run.
    tol : float, default=1e-4
        A run ends when the squared movement of the centres is at most `tol` times the mean variance of the features, or
        when no label changes.
    verbose : int, default=0
        Print the progress of each iteration.
    random_state : int, RandomState or None, default=None
        Each run draws one integer seed from it; all random choices are functions of that seed and of row indices.
    copy_x : bool, default=True
        For compatibility with scikit-learn: the rows are never written to, whatever its value.
    algorithm : {"lloyd", "elkan"}, default="lloyd"
        Both names run the same algorithm. Elkan's bounds change how labels are found and not which, and labels here are
        exact, so the results are equal by construction.
    metric : {"euclidean", "cosine"}, default="euclidean"
        "cosine" is spherical k-means [3]_: rows are scaled to unit length and centres are renormalised after each
        update. A row of zeros has no direction and is refused.
    device : str, optional
        "auto", "cpu", "cuda", "cuda:1", or several GPUs, "cuda:0,1". None asks the `gpuclust.config.device` context,
        then GPUCLUST_DEVICE, then takes "auto": the GPU where the rows lie, the CPU for small problems, else a GPU
        where there is one. The result is the same to the last bit.
    precision : {"exact", "fast"}, default="exact"
        "fast" skips the certificate that labels are exact: rows almost equally near to two centres may get either, by
        a screen of float32 on the CPU and of float16 on GPUs with tensor cores.
    max_memory : int or str, optional
        Memory for rows in flight when they are streamed: bytes, or "512MB", "2GiB".
    callback : callable, optional
        Called after each iteration as ``callback(iteration, n_changed, center_shift)``: the iteration counted from 1,
        the number of rows that changed cluster, and the squared movement of the centres. It may raise to stop.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features), float32 or float64 as the rows
        Centres.
    labels_ : int32 array of shape (n_samples,)
        Index of the nearest centre of each training row, ties to the lowest index. Always those of `cluster_centers_`.
    inertia_ : float
        Sum over rows of weight times squared distance to the centre of the label, correctly rounded.
    n_iter_ : int
        Iterations of the run that was kept.
    n_clusters_ : int
        Number of clusters: `n_clusters`, or what "auto" chose.
    selection_ : gpuclust.select.Suggestion
        With ``n_clusters="auto"`` only: the table of all that was tried, and the reason for the choice.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    References
    ----------
    .. [1] D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    .. [2] B. Bahmani et al., "Scalable k-means++", VLDB 2012.
    .. [3] I. Dhillon, D. Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning
       42, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuclust import KMeans
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> kmeans = KMeans(n_clusters=2, init=X[[0, 3]]).fit(X)
    >>> kmeans.labels_
    array([0, 0, 0, 1, 1, 1], dtype=int32)
    >>> kmeans.predict([[0, 0], [12, 3]])
    array([0, 1], dtype=int32)
    >>> kmeans.cluster_centers_
    array([[ 1.,  2.],
           [10.,  2.]])
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseKMeans._parameter_constraints,
        "n_clusters": [StrOptions({"auto"}), *BaseKMeans._parameter_constraints["n_clusters"]],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"lloyd", "elkan"})],
    }

    inertia_: float
    n_iter_: int
    n_clusters_: int
    selection_: Suggestion

    def __init__(
        self,
        n_clusters: int | str = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        metric: str = "euclidean",
        device: str | None = None,
        precision: str = "exact",
        max_memory: int | str | None = None,
        callback: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.metric = metric
        self.device = device
        self.precision = precision
        self.max_memory = max_memory
        self.callback = callback

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute the clustering of `X`.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features)
            Rows: NumPy, pandas, polars, pyarrow, torch, any DLPack array, lists, the path of an .npy, .fbin, .fvecs or
            parquet file, or a `Source`. float32 and float64 are kept; narrower types are widened exactly.
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
            `X` has fewer rows than clusters, is empty, not finite or not a matrix of numbers; with "auto" also if all
            its rows are equal.

        Warns
        -----
        ConvergenceWarning
            `X` has fewer distinct rows than `n_clusters`: some clusters stay empty.
        """
        check_parameters(self)
        data = self._open(X, sample_weight, reset=True)
        self.n_clusters_ = self._choose(data) if self.n_clusters == "auto" else int(self.n_clusters)
        self._n_init = self._resolve_n_init(several=10)
        if self.algorithm == "elkan" and self.n_clusters_ == 1:
            warnings.warn(
                "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead.",
                RuntimeWarning,
                stacklevel=2,
            )

        random_state = check_random_state(self.random_state)
        best: lloyd.LloydResult | None = None
        for _ in range(self._n_init):
            centers = initial_centers(self.init, self.n_clusters_, X, data, random_state)
            if self.verbose:
                print("Initialization complete")
            result = lloyd.run(
                data,
                centers,
                max_iter=self.max_iter,
                tol=self.tol,
                precision=self.precision,
                spherical=self.metric == "cosine",
                callback=self._report if self.verbose else self.callback,
            )
            if best is None or result.inertia < best.inertia:
                best = result

        assert best is not None  # n_init >= 1
        if best.n_distinct < self.n_clusters_:
            warnings.warn(
                f"Number of distinct clusters ({best.n_distinct}) found smaller than n_clusters ({self.n_clusters_}). "
                "Possibly due to duplicate points in X.",
                FewerClustersWarning,
                stacklevel=2,
            )
        self.cluster_centers_ = best.centers.astype(data.dtype)
        self.labels_ = best.labels
        self.inertia_ = best.inertia
        self.n_iter_ = best.n_iter
        return self

    def _choose(self, data: Dataset) -> int:
        """Choose the number of clusters of the rows, and keep the reasons."""
        spherical = self.metric == "cosine"
        once = data if data.sample_weight is None else Dataset(data.engine, data.source, normalize=spherical)
        ks = candidates(None, data.n_rows)
        seed = draw_seed(check_random_state(self.random_state))
        self.selection_ = choose_k(once, ks, seed, AUTOMATIC, Progress(), spherical=spherical)
        return self.selection_.value

    def _most_clusters(self, n_rows: int) -> int:
        return candidates(None, n_rows)[-1] if self.n_clusters == "auto" else super()._most_clusters(n_rows)

    def _report(self, iteration: int, n_changed: int, center_shift: float) -> None:
        """Print one iteration, then pass it on to the caller's callback."""
        print(f"Iteration {iteration}, {n_changed} rows changed cluster, squared center shift {center_shift:.6g}.")
        if self.callback is not None:
            self.callback(iteration, n_changed, center_shift)
