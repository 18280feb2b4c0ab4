"""DeepClustering: rows to codes by a network, codes to clusters, and both refined together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gpuclust import config
from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep.clustering.clusterers import check_clusterer, number_of_clusters
from gpuclust.deep.clustering.fitting import Plan, Run
from gpuclust.deep.clustering.heads import Head
from gpuclust.deep.clustering.methods import METHODS, Method, epochs_for
from gpuclust.deep.clustering.restarts import Judge
from gpuclust.deep.history import Epoch, History
from gpuclust.deep.rows import Rows
from gpuclust.deep.training import Training
from gpuclust.errors import DataError, DataTypeError
from gpuclust.protocol import InvalidParameter, check_features, check_parameters, in_kind_of
from gpuclust.select import Suggestion
from gpuclust.select.choose_k import candidates
from gpuclust.sources import as_images, as_source

__all__ = ["DeepClustering"]

#: Of the autoencoder's training, what the further training is done with too.
_AS_BEFORE = ("schedule", "weight_decay", "clip", "precision", "compile")


class DeepClustering(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):
    """Clusters in the codes of an autoencoder, from raw rows to labels.

    ========== =============================================================================================
    method     what is done
    ========== =============================================================================================
    "ae"       an autoencoder, then a clusterer of the codes
    "manifold" an autoencoder, the codes laid out by UMAP, then a Gaussian mixture of the places (N2D [1]_)
    "dec"      an autoencoder, then its encoder trained further towards sharper clusters (DEC [2]_)
    "idec"     the same, with the reconstruction kept in the loss (IDEC [3]_)
    "dcn"      an autoencoder, then trained further with the loss of k-means beside the reconstruction (DCN [4]_)
    "vade"     a variational autoencoder, then trained further with a mixture as its prior (VaDE [5]_)
    ========== =============================================================================================

    Of images, (n_samples, height, width) or (n_samples, height, width, channels), neighbours are sought by tangent
    distance, which leaves small shifts, turns and distortions out of account (:mod:`gpuclust.deep.tangents`): they
    shape the codes and the layout of "manifold". Pass flat rows where that is not wanted.

    Codes go from the network to gpuclust's clusterers by DLPack: they stay on the device, and are not copied. On the
    CPU, a seed determines every bit.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters. "auto" chooses it by `gpuclust.suggest_k` from the codes of the (first) network, of at most
        20,000 rows; `suggestion_` says what was chosen and why.
    method : {"ae", "manifold", "dec", "idec", "dcn", "vade"}, default="manifold"
    autoencoder : Autoencoder or VariationalAutoencoder, optional
        Cloned and trained first; by default that of the method (`gpuclust.deep.clustering.methods.METHODS`). Its
        `random_state`, `device`, `max_memory`, `checkpoint`, `verbose` and `callback` are set to this estimator's.
    clusterer : estimator, optional
        What clusters the codes (with "manifold" the places), in place of the method's: gpuclust's, or any with
        scikit-learn's protocol. It is cloned; `n_clusters` (or `n_components`) and `random_state` are set to this
        estimator's if it has them; DBSCAN, for one, finds its own number. Further training begins with its centres;
        "vade" with a `GaussianMixture` of diagonal covariances.
    epochs, learning_rate : optional
        Of the further training; by default the method's, and of many rows fewer epochs
        (`gpuclust.deep.clustering.methods.epochs_for`). "ae" and "manifold" have none.
    batch_size : int, default=256
        The same. Its schedule, clip, weight decay, precision and compilation are those of the autoencoder.
    cluster_weight : float, optional
        Weight of the terms about clusters beside the reconstruction: in "idec" (by default 0.1), "dcn" (0.01) and
        "vade" (the autoencoder's `beta`).
    manifold : dict, optional
        Parameters of `gpuclust.deep.clustering.manifold.Manifold.fit` in place of the method's: n_components,
        n_neighbors, min_dist, n_epochs.
    n_init : int, default=1
        Restarts from different seeds; the one is kept whose clusters have the largest modularity in a graph of
        neighbouring rows (:mod:`gpuclust.deep.clustering.restarts`), which needs no known labels.
    checkpoint : path, optional
        An interrupted fit goes on, to the same bits, from files with this name and an ending for each training:
        ``.0.pretraining``, ``.0.refinement``, with the number of the restart. Needs an integer `random_state`.
    device, max_memory
        As in `Autoencoder`.
    random_state : int, RandomState or None, default=None
        One seed is drawn from it for each restart.
    verbose : int, default=0
        Print each epoch.
    callback : callable, optional
        Called as ``callback(epoch)`` with a `gpuclust.deep.history.Epoch` after each one; its `stage` says of which
        training it is. It may raise to stop.

    Attributes
    ----------
    labels_ : int32 array of shape (n_samples,)
        Cluster of each training row; -1 if the clusterer says noise.
    cluster_centers_ : float32 array of shape (n_clusters, n_components)
        Centres, in the space of the codes; with "manifold" the means of the members' codes.
    decoded_centers_ : float32 array of shape (n_clusters, n_features)
        What is decoded of them, in the units of the rows; with modalities a dict of arrays.
    n_clusters_ : int
        Number of clusters found.
    suggestion_ : gpuclust.select.Suggestion
        With ``n_clusters="auto"`` only.
    autoencoder_ : Autoencoder or VariationalAutoencoder
        Fitted; its network as it is after all training, its `history_` that of the first.
    history_ : gpuclust.deep.history.History
        Of the further training; empty with "ae" and "manifold".
    head_ : gpuclust.deep.clustering.heads.Head
        From codes to clusters.
    restarts_ : list of dict
        "seed" and "criterion" of each restart; of one alone, the criterion is None.
    n_features_in_ : int
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    References
    ----------
    .. [1] R. McConville, R. Santos-Rodriguez, R. Piechocki, I. Craddock, "N2D: (not too) deep clustering via clustering
       the local manifold of an autoencoded embedding", ICPR 2020.
    .. [2] J. Xie, R. Girshick, A. Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016.
    .. [3] X. Guo, L. Gao, X. Liu, J. Yin, "Improved deep embedded clustering with local structure preservation",
       IJCAI 2017.
    .. [4] B. Yang, X. Fu, N. Sidiropoulos, M. Hong, "Towards k-means-friendly spaces: simultaneous deep learning and
       clustering", ICML 2017.
    .. [5] Z. Jiang, Y. Zheng, H. Tan, B. Tang, H. Zhou, "Variational deep embedding: an unsupervised and generative
       approach to clustering", IJCAI 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gpuclust import Autoencoder, DeepClustering
    >>> X = load_digits().data
    >>> model = DeepClustering(10, method="ae", autoencoder=Autoencoder(epochs=5), random_state=0).fit(X)
    >>> model.labels_.shape, model.cluster_centers_.shape, model.decoded_centers_.shape
    ((1797,), (10, 10), (10, 64))
    >>> bool((model.predict(X) == model.labels_).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_clusters": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions(set(METHODS))],
        "autoencoder": [BaseAutoencoder, None],
        "clusterer": "no_validation",
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "cluster_weight": [Interval(Real, 0, None, closed="neither"), None],
        "manifold": [Mapping, None],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "checkpoint": [str, os.PathLike, None],
        "device": [str, None],
        "max_memory": [str, Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callback": [callable, None],
    }

    labels_: np.ndarray
    cluster_centers_: np.ndarray
    decoded_centers_: np.ndarray | dict[str, np.ndarray]
    n_clusters_: int
    suggestion_: Suggestion
    autoencoder_: BaseAutoencoder
    history_: History
    head_: Head
    restarts_: list[dict[str, Any]]
    n_features_in_: int

    def __init__(
        self,
        n_clusters: int | str = 8,
        *,
        method: str = "manifold",
        autoencoder: BaseAutoencoder | None = None,
        clusterer: Any = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int = 256,
        cluster_weight: float | None = None,
        manifold: Mapping[str, Any] | None = None,
        n_init: int = 1,
        checkpoint: str | os.PathLike[str] | None = None,
        device: str | None = None,
        max_memory: int | str | None = None,
        random_state: Any = None,
        verbose: int = 0,
        callback: Callable[[Epoch], None] | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.autoencoder = autoencoder
        self.clusterer = clusterer
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.cluster_weight = cluster_weight
        self.manifold = manifold
        self.n_init = n_init
        self.checkpoint = checkpoint
        self.device = device
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose
        self.callback = callback

    # -- fit ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network on the rows of `X` and cluster their codes.

        Parameters
        ----------
        X : array-like, table, path or Source of shape (n_samples, n_features), or mapping of these
            Rows, as for the autoencoder. Images that have their shape are compared as images: see the class.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter breaks its rule, or does not go with the method.
        DataError
            `X` has fewer rows than clusters, is empty, not finite or not a matrix of numbers; with "auto" also if all
            codes are equal.
        TrainingError
            A loss is no longer finite.
        ModelError
            A checkpoint is corrupt, or of another fit.
        MissingDependencyError
            umap-learn is missing, for "manifold".
        """
        check_parameters(self)
        if self.clusterer is not None:
            check_clusterer(self.clusterer)
        method = METHODS[self.method]
        autoencoder = method.autoencoder(**method.settings) if self.autoencoder is None else clone(self.autoencoder)
        rows, n_rows = self._opened(X, autoencoder, reset=True)
        if self.autoencoder is None:
            autoencoder = method.network(n_rows, rows.n_features)
        plan = self._plan(method, autoencoder, n_rows)
        random_state, k = check_random_state(self.random_state), self._asked(plan.clusterer)
        best: Run | None = None
        suggestion: Suggestion | None = None
        restarts = []
        with self._device():
            for number in range(self.n_init):
                # A seed that scikit-learn's estimators take too.
                run = plan.run(rows, k, int(random_state.randint(2**31 - 1)), number)
                restarts.append({"seed": run.seed, "criterion": run.criterion})
                k = run.n_clusters
                suggestion = suggestion or run.suggestion
                if best is None or (run.criterion or 0.0) > (best.criterion or 0.0):
                    best = run
        assert best is not None  # n_init >= 1
        self.restarts_ = restarts
        if suggestion is not None:
            self.suggestion_ = suggestion
        self.autoencoder_, self.history_ = best.autoencoder, best.history
        self.head_, self.labels_ = best.head, best.labels
        self.n_features_in_ = self.autoencoder_.n_features_in_
        self.cluster_centers_ = self.head_.centers.numpy(force=True)
        self.decoded_centers_ = self.autoencoder_._decoded(self.head_.centers)
        self.n_clusters_ = len(self.cluster_centers_)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:
        """Fit and return ``labels_``: a torch tensor or CuPy array, on its device, if `X` is one."""
        return in_kind_of(X, self.fit(X).labels_)

    def _plan(self, method: Method, autoencoder: BaseAutoencoder, n_rows: int) -> Plan:
        """The parameters, checked and resolved."""
        if not isinstance(autoencoder, method.families):
            names = " or ".join(
                f"{'an' if kind.__name__[0] == 'A' else 'a'} {kind.__name__}" for kind in method.families
            )
            raise InvalidParameter(f"autoencoder={autoencoder!r} should be {names} with method={self.method!r}.")
        refinement = method.refinement
        term = None if refinement is None else refinement.weight
        if self.cluster_weight is not None and term is None:
            raise InvalidParameter(
                f"cluster_weight={self.cluster_weight!r} should be None with method={self.method!r}, whose loss has no "
                "term to weigh against another."
            )
        training, weight = None, self.cluster_weight
        if refinement is not None:
            if self.clusterer is not None and refinement.check is not None:
                refinement.check(self.clusterer)
            same = {name: getattr(autoencoder, name) for name in _AS_BEFORE}
            most = epochs_for(refinement.epochs, n_rows, self.batch_size)
            training = Training(
                epochs=most if self.epochs is None else self.epochs,
                learning_rate=refinement.learning_rate if self.learning_rate is None else self.learning_rate,
                batch_size=self.batch_size,
                **same,
            )
            if weight is None and term is not None:
                weight = getattr(autoencoder, *term)  # the autoencoder's own, if it has one of this name
        return Plan(
            method=method,
            autoencoder=autoencoder.set_params(device=self.device, max_memory=self.max_memory),
            clusterer=self.clusterer,
            training=training,
            weight=weight,
            manifold={**(method.manifold or {}), **(self.manifold or {})},
            checkpoint=self.checkpoint,
            judged=self.n_init > 1,
            tell=self._tell,
        )

    def _asked(self, clusterer: Any) -> int | None:
        """The number of clusters to find; 0 if that is for the clusterer to say, None if for the codes."""
        if clusterer is not None and number_of_clusters(clusterer) is None:
            return 0
        return None if self.n_clusters == "auto" else int(self.n_clusters)

    def _tell(self, epoch: Epoch, stage: str) -> None:
        epoch = replace(epoch, stage=stage)
        if self.verbose:
            print(epoch)
        if self.callback is not None:
            self.callback(epoch)

    # -- after fit ---------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Return for each row of `X` its cluster.

        Parameters
        ----------
        X
            As in `fit`.

        Returns
        -------
        labels : int32 array of shape (n_samples,)
            A torch tensor or CuPy array, on its device, if `X` is one; a NumPy array otherwise.

        Raises
        ------
        DataError
            `X` is not finite, is empty, or has another number of features than the training rows.
        ParameterError
            The clusterer has no `predict`: it labels only what it was fitted to.
        """
        check_is_fitted(self)
        with self._device():
            return in_kind_of(X, self.head_.labels(self.codes(X)))

    def predict_proba(self, X: Any) -> Any:
        """Return how far each row of `X` belongs to each cluster.

        Returns
        -------
        shares : float array of shape (n_samples, n_clusters)
            Of the kind of `X`; rows sum to one. Probabilities, where the clusterer has them ("manifold", "vade"); else
            the soft assignment of DEC [2]_, of a Student t distribution around each of `cluster_centers_`.
        """
        check_is_fitted(self)
        with self._device():
            return in_kind_of(X, self.head_.soft(self.codes(X)))

    def transform(self, X: Any) -> Any:
        """Return the codes of the rows of `X`: float32 of shape (n_samples, n_components), of the kind of `X`."""
        check_is_fitted(self)
        return in_kind_of(X, self.codes(X).cpu().numpy())

    def codes(self, X: Any) -> Tensor:
        """Return what `transform` does, as a tensor on the device of the network."""
        check_is_fitted(self)
        return self.autoencoder_.codes(X if isinstance(X, Rows) else self._opened(X, self.autoencoder_)[0])

    def inverse_transform(self, X: Any) -> Any:
        """Return the expected rows of codes (n_samples, n_components), in the units of the training rows."""
        check_is_fitted(self)
        return self.autoencoder_.inverse_transform(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return how good the clusters predicted for `X` are: what `restarts_` are compared by, the larger the better.

        It is computed in the space of the rows, scaled, and so compares methods and networks too.
        """
        check_is_fitted(self)
        with self._device():
            rows = self.autoencoder_.rows(self._opened(X, self.autoencoder_)[0])
            return Judge(rows)(self.head_.labels(self.codes(rows)))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _device(self) -> AbstractContextManager[str]:
        """Clusterers compute where this estimator does, if they do not say otherwise themselves."""
        return config.device(config.resolve_device(self.device))

    def _opened(self, X: Any, autoencoder: BaseAutoencoder, *, reset: bool = False) -> tuple[Any, int]:
        """`X` as the autoencoder takes it, a source whose features are checked or a mapping, and how many rows."""
        opened: Any
        if autoencoder.modalities is None:
            opened = as_images(X, max_memory=self.max_memory)
            check_features(self, X, opened, reset=reset)
            n_rows = opened.n_rows
        elif not isinstance(X, Mapping):
            raise DataTypeError(f"X is a {type(X).__name__}, but with modalities it should be a mapping of them.")
        else:
            opened = {
                name: as_source(rows, max_memory=self.max_memory, name=f"X[{name!r}]") for name, rows in X.items()
            }
            n_rows = min((source.n_rows for source in opened.values()), default=0)
        k = self._asked(self.clusterer)
        if reset and k is None:
            candidates(None, n_rows)
        elif reset and n_rows < (k or 0):
            raise DataError(f"n_samples={n_rows} should be >= n_clusters={k}.")
        return opened, n_rows

    @property
    def _n_features_out(self) -> int:
        return int(self.autoencoder_.n_components)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = False
        return tags
