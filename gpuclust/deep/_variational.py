"""VariationalAutoencoder: rows to distributions of codes, and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep.encoding import over_rows
from gpuclust.deep.history import Epoch
from gpuclust.deep.models import VariationalModel
from gpuclust.deep.objectives import Objective, State, elbo
from gpuclust.deep.rows import Rows

__all__ = ["VariationalAutoencoder"]


class VariationalAutoencoder(BaseAutoencoder):
    """A network that learns a distribution of codes for each row, close to a standard normal one [1]_.

    The loss has the two terms of the evidence lower bound, reported apart: the negative log likelihood of a row given a
    code that is drawn from its distribution (a sum over the row's values), and "divergence", the Kullback-Leibler
    divergence of the distribution from the prior, weighted by `beta`. `transform` returns the means of the
    distributions; `sample` draws codes from the prior.

    Parameters
    ----------
    n_components : int, default=10
        Length of a code.
    beta : float, default=1.0
        Weight of the divergence [2]_.
    architecture, likelihood, scaling, neighbors, neighbor_weight, noise
        As in `Autoencoder`; "gaussian" has a variance of 1/2, of scaled values. The neighbourhoods are those of the
        means, and their weight is multiplied by the number of features, over which the reconstruction is summed here.
    modalities : dict of str to Modality, optional
        As in `Autoencoder`; the distribution of a row is the product of those of its modalities.
    epochs, batch_size, learning_rate, schedule, weight_decay, clip, validation, patience, precision, compile
        Of the training: see `gpuclust.deep.training.Training`.
    checkpoint, device, max_memory, random_state, verbose, callback
        As in `Autoencoder`.

    Attributes
    ----------
    model_ : gpuclust.deep.models.VariationalModel
        The network, a torch module.
    scaling_, history_, n_iter_, n_features_in_, feature_names_in_
        As in `Autoencoder`.

    References
    ----------
    .. [1] D. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014.
    .. [2] I. Higgins et al., "beta-VAE: learning basic visual concepts with a constrained variational framework",
       ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gpuclust import VariationalAutoencoder
    >>> vae = VariationalAutoencoder(epochs=5, random_state=0).fit(load_digits().data)
    >>> sorted(vae.history_.epochs[-1].terms)
    ['divergence', 'reconstruction']
    >>> vae.sample(3).shape
    (3, 64)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseAutoencoder._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
    }
    _variational = True

    model_: VariationalModel

    def __init__(
        self,
        n_components: int = 10,
        *,
        beta: float = 1.0,
        architecture: Any = "small",
        likelihood: str = "gaussian",
        scaling: str | None = "auto",
        modalities: Mapping[str, Any] | None = None,
        neighbors: int | None = None,
        neighbor_weight: float = 1.0,
        noise: float = 0.0,
        epochs: int = 100,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        weight_decay: float = 0.0,
        clip: float | None = None,
        validation: float = 0.0,
        patience: int | None = None,
        precision: str = "auto",
        compile: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        device: str | None = None,
        max_memory: int | str | None = None,
        random_state: Any = None,
        verbose: int = 0,
        callback: Callable[[Epoch], None] | None = None,
    ) -> None:
        self.n_components = n_components
        self.beta = beta
        self.architecture = architecture
        self.likelihood = likelihood
        self.scaling = scaling
        self.modalities = modalities
        self.neighbors = neighbors
        self.neighbor_weight = neighbor_weight
        self.noise = noise
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip = clip
        self.validation = validation
        self.patience = patience
        self.precision = precision
        self.compile = compile
        self.checkpoint = checkpoint
        self.device = device
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose
        self.callback = callback

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean evidence lower bound of the rows, in nats, with the means for drawn codes and a beta of 1."""
        check_is_fitted(self)
        rows = self.rows(X)
        divergence = over_rows(self.model_, rows, lambda x: self.model_.divergence(*self.model_.posterior(x)))
        return -float((self._losses(rows) + divergence).double().mean())

    def _objective(self, rows: Rows) -> tuple[Objective, State]:
        beta, noise = float(self.beta), float(self.noise)
        if self.neighbors is None:
            return partial(elbo, beta=beta, noise=noise), State()
        weight = float(self.neighbor_weight) * rows.n_features
        return partial(elbo, beta=beta, noise=noise, weight=weight), self._neighborhoods(rows)
