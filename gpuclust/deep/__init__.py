"""Deep clustering: autoencoders in plain PyTorch, their training, and what clusters their codes. The room of torch."""

from __future__ import annotations

from gpuclust.deep.library import require_torch

require_torch()

from gpuclust.deep._autoencoder import Autoencoder  # noqa: E402
from gpuclust.deep._deep_clustering import DeepClustering  # noqa: E402
from gpuclust.deep._variational import VariationalAutoencoder  # noqa: E402
from gpuclust.deep.modalities import Modality  # noqa: E402
from gpuclust.deep.networks import Architecture  # noqa: E402

__all__ = ["Architecture", "Autoencoder", "DeepClustering", "Modality", "VariationalAutoencoder"]
