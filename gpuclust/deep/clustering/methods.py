"""The methods of `DeepClustering`, as a table: what each trains, what clusters its codes, what it refines them by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpuclust.cluster import GaussianMixture, KMeans
from gpuclust.deep._autoencoder import Autoencoder
from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep._variational import VariationalAutoencoder
from gpuclust.deep.clustering.heads import CenterHead, ClustererHead, Head, ManifoldHead
from gpuclust.deep.clustering.manifold import Manifold
from gpuclust.deep.clustering.objectives import DriftState, MixtureState, TargetState, dcn, dec, idec, vade
from gpuclust.deep.models import AutoencoderModel
from gpuclust.deep.objectives import Objective, State
from gpuclust.deep.rows import Rows
from gpuclust.deep.views import views_of
from gpuclust.protocol import InvalidParameter

__all__ = ["METHODS", "Method", "Refinement", "epochs_for"]

#: Steps after which networks of the defaults are trained: more rows, fewer epochs.
_STEPS = 3200
_FEWEST_EPOCHS = 10


@dataclass(frozen=True)
class Refinement:
    """Further training, by an objective that knows of clusters.

    Attributes
    ----------
    objective : callable
    begin : callable
        From the head of the codes before to the state of the objective.
    end : callable
        From the state to the head of the codes after.
    weight : tuple of str and float, or None
        The keyword of the objective that `DeepClustering` calls ``cluster_weight``, and its default.
    epochs : int
        Default; fewer with many rows, see `epochs_for`.
    learning_rate : float
        Default.
    check : callable, optional
        Raises InvalidParameter if ``begin`` could do nothing with a clusterer that is given.
    """

    objective: Objective
    begin: Callable[[ClustererHead], State]
    end: Callable[[Any], Head]
    weight: tuple[str, float] | None
    epochs: int
    learning_rate: float
    check: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes
    ----------
    clusterer : callable
        Of (number of clusters, seed): what clusters the codes where no clusterer is given.
    autoencoder : type
        Class of the default autoencoder.
    settings : dict
        Its parameters, for rows in general: see `network`.
    families : tuple of type
        Autoencoders that the method can do with.
    manifold : dict, optional
        Codes are laid out, and places clustered: parameters of `Manifold.fit`.
    refinement : Refinement, optional
    """

    clusterer: Callable[[int, int], Any]
    autoencoder: type[BaseAutoencoder] = Autoencoder
    settings: Mapping[str, Any] = field(default_factory=dict)
    families: tuple[type[BaseAutoencoder], ...] = (Autoencoder,)
    manifold: Mapping[str, Any] | None = None
    refinement: Refinement | None = None

    def network(self, n_rows: int, n_features: int, batch_size: int | None = None) -> BaseAutoencoder:
        """The default autoencoder for so many rows: fewer epochs for many, and no more codes than features."""
        network = self.autoencoder(**self.settings)
        size = network.batch_size if batch_size is None else batch_size
        return network.set_params(
            n_components=min(network.n_components, n_features),
            batch_size=size,
            epochs=epochs_for(network.epochs, n_rows, size),
        )

    def cluster(
        self,
        model: AutoencoderModel,
        rows: Rows,
        codes: Tensor,
        clusterer: Any,
        seed: int,
        manifold: Mapping[str, Any],
    ) -> tuple[Head, np.ndarray]:
        """The head of the codes (n, latent) that a model gives to rows, and their labels (n,) int32."""
        if self.manifold is None:
            return ClustererHead.fit(clusterer, codes)
        laid_out = Manifold.fit(codes, views=views_of(model, rows, codes), seed=seed, **manifold)
        return ManifoldHead.fit(laid_out, clusterer, codes)


def _kmeans(n_clusters: int, seed: int) -> KMeans:
    return KMeans(n_clusters, n_init=10, random_state=seed)


def _mixture(n_clusters: int, seed: int) -> GaussianMixture:
    return GaussianMixture(n_clusters, random_state=seed)


def _diagonal(n_clusters: int, seed: int) -> GaussianMixture:
    return GaussianMixture(n_clusters, covariance_type="diag", n_init=5, random_state=seed)


def _target(head: ClustererHead) -> TargetState:
    return TargetState(head.centers)


def _drift(head: ClustererHead) -> DriftState:
    return DriftState(head.centers)


def _check_prior(clusterer: Any) -> None:
    if not isinstance(clusterer, GaussianMixture) or clusterer.covariance_type != "diag":
        raise InvalidParameter(
            f"clusterer={clusterer!r} should be a gpuclust.GaussianMixture of covariance_type='diag' with "
            "method='vade', whose prior begins with it."
        )


def _prior(head: ClustererHead) -> MixtureState:
    mixture = head.clusterer
    values = (mixture.weights_, mixture.means_, mixture.covariances_)
    return MixtureState(*(torch.as_tensor(value, device=head.centers.device) for value in values))


def _centers(state: TargetState | DriftState) -> CenterHead:
    return CenterHead(state.centers)


def _posterior(state: MixtureState) -> ClustererHead:
    """The mixture as it is after training, as an estimator."""
    with torch.no_grad():
        weights, means, logs = (
            value.numpy(force=True).astype(np.float64)
            for value in (state.log_weights, state.means, state.log_variances)
        )
    mixture = GaussianMixture(len(means), covariance_type="diag")
    mixture.weights_, mixture.means_, mixture.covariances_ = (
        np.exp(weights) / np.exp(weights).sum(),
        means,
        np.exp(logs),
    )
    mixture.precisions_ = 1 / mixture.covariances_
    mixture.precisions_cholesky_ = np.sqrt(mixture.precisions_)
    mixture.n_features_in_ = means.shape[1]
    return ClustererHead(mixture, state.means.detach().clone())


def epochs_for(most: int, n_rows: int, batch_size: int) -> int:
    """How many epochs to train for by default: at most ``most``, and no more than come to 3,200 steps, but ten."""
    return min(most, max(_FEWEST_EPOCHS, math.ceil(_STEPS / math.ceil(n_rows / batch_size))))


_ANY = (Autoencoder, VariationalAutoencoder)
#: Codes in which neighbours attract each other by the kernel of `student_t` are the better start for all that follows.
_NEIGHBORS = {"neighbors": 15, "learning_rate": 3e-3}

METHODS: dict[str, Method] = {
    "ae": Method(_kmeans, settings=_NEIGHBORS, families=_ANY),
    "manifold": Method(
        _mixture,
        settings={"n_components": 20, "learning_rate": 3e-3, "batch_size": 64, "noise": 0.2},
        families=_ANY,
        manifold={},
    ),
    "dec": Method(_kmeans, settings=_NEIGHBORS, refinement=Refinement(dec, _target, _centers, None, 50, 1e-3)),
    "idec": Method(
        _kmeans, settings=_NEIGHBORS, refinement=Refinement(idec, _target, _centers, ("weight", 0.1), 50, 1e-3)
    ),
    "dcn": Method(
        _kmeans, settings=_NEIGHBORS, refinement=Refinement(dcn, _drift, _centers, ("weight", 0.01), 50, 1e-3)
    ),
    "vade": Method(
        _diagonal,
        VariationalAutoencoder,
        {**_NEIGHBORS, "beta": 0.01},
        (VariationalAutoencoder,),
        refinement=Refinement(vade, _prior, _posterior, ("beta", 0.01), 30, 3e-4, _check_prior),
    ),
}
