"""Autoencoder: rows to short codes and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep.encoding import encode
from gpuclust.deep.history import Epoch
from gpuclust.deep.objectives import Objective, State, neighbors, reconstruction
from gpuclust.deep.rows import Rows

__all__ = ["Autoencoder"]


class Autoencoder(BaseAutoencoder):
    """A network that learns codes of rows from which the rows can be decoded.

    Parameters
    ----------
    n_components : int, default=10
        Length of a code.
    architecture : {"small", "large"}, Architecture or dict, default="small"
        "small" is 256-128, "large" the 500-500-2000 of DEC [1]_; convolutional and recurrent ones by an `Architecture`
        or its fields, for instance ``dict(kind="conv", widths=(16, 32), shape=(28, 28))``.
    likelihood : {"gaussian", "bernoulli", "categorical", "poisson", "negative_binomial"}, default="gaussian"
        What rows are thought to be drawn from, and so the loss: "gaussian" is the mean squared error. See
        :mod:`gpuclust.deep.likelihoods`.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        Of the rows, undone in all that is decoded: "minmax" brings all values to [0, 1] by one shift and one factor,
        "standard" each column to mean 0 and variance 1. "auto" is "minmax" for "gaussian" and none for the others.
    modalities : dict of str to Modality, optional
        Rows of several kinds of measurement, each with its own encoder, likelihood, weight and scaling; `architecture`,
        `likelihood` and `scaling` are not used then. The code of a row is the mean of the codes of its modalities.
    neighbors : int, optional
        Keep the neighbourhoods of rows in the codes: so many nearest neighbours attract and other rows repel each other
        (see :func:`gpuclust.deep.objectives.neighbors`). 15 is usual, with a learning_rate of 3e-3. Images are
        compared by tangent distance (:mod:`gpuclust.deep.tangents`). Rows must fit in memory.
    neighbor_weight : float, default=1.0
        Of attraction and repulsion beside the reconstruction.
    noise : float in [0, 1), default=0.0
        Share of the values that are set to 0 before a row is encoded in training: a denoising autoencoder.
    epochs, batch_size, learning_rate, schedule, weight_decay, clip, validation, patience, precision, compile
        Of the training: see `gpuclust.deep.training.Training`.
    checkpoint : path, optional
        File that keeps the training after every epoch, and from which an interrupted fit goes on, to the same bits;
        needs an integer `random_state`.
    device : str, optional
        "auto", "cpu", "cuda" or "cuda:1", as for `KMeans`; networks are trained on one GPU.
    max_memory : int or str, optional
        Memory for rows: bytes, or "512MB", "2GiB". Rows that take more than half of it are streamed.
    random_state : int, RandomState or None, default=None
        Seed of weights, order of rows, and noise.
    verbose : int, default=0
        Print each epoch.
    callback : callable, optional
        Called as ``callback(epoch)`` with a `gpuclust.deep.history.Epoch` after each one. It may raise to stop:
        `model_` is then as it was after that epoch.

    Attributes
    ----------
    model_ : gpuclust.deep.models.AutoencoderModel
        The network, a torch module.
    scaling_ : gpuclust.deep.scaling.Scaling
        Of its rows.
    history_ : gpuclust.deep.history.History
        Loss, learning rate and speed of each epoch.
    n_iter_ : int
        Epochs.
    code_mean_, code_covariance_ : float64 array of shape (n_components,), (n_components, n_components)
        Of the codes of the training rows: what `sample` draws from.
    n_features_in_ : int
        Number of features; of all modalities together.
    feature_names_in_ : object array of shape (n_features_in_,)
        Names of the features, when the rows come with names that are all strings.

    References
    ----------
    .. [1] J. Xie, R. Girshick, A. Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from gpuclust import Autoencoder
    >>> X = load_digits().data
    >>> autoencoder = Autoencoder(epochs=5, random_state=0).fit(X)
    >>> codes = autoencoder.transform(X)
    >>> codes.shape, autoencoder.inverse_transform(codes).shape
    ((1797, 10), (1797, 64))
    """

    def __init__(
        self,
        n_components: int = 10,
        *,
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

    def _objective(self, rows: Rows) -> tuple[Objective, State]:
        if self.neighbors is None:
            return partial(reconstruction, noise=self.noise), State()
        weight = float(self.neighbor_weight)
        return partial(neighbors, weight=weight, noise=self.noise), self._neighborhoods(rows)

    def _finish(self, rows: Rows) -> None:
        codes = encode(self.model_, rows).double()
        centered = codes - codes.mean(0)
        self.code_mean_ = codes.mean(0).cpu().numpy()
        self.code_covariance_ = (centered.T @ centered / max(len(codes) - 1, 1)).cpu().numpy()

    def _codes_of(self, noise: Tensor) -> Tensor:
        # A root of the covariance by its eigenvectors, which exists for codes that span fewer dimensions too.
        values, vectors = torch.linalg.eigh(torch.from_numpy(self.code_covariance_))
        return torch.from_numpy(self.code_mean_) + (noise * values.clamp(min=0).sqrt()) @ vectors.T
