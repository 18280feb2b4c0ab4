"""What stands on the codes of a trained network: from a code to a cluster and to a soft assignment.

A head is restored from tensors and plain settings; `HEADS` knows each kind by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from gpuclust.algorithms import assignment
from gpuclust.algorithms.dataset import Dataset
from gpuclust.deep.clustering import clusterers
from gpuclust.deep.clustering.communities import begun
from gpuclust.deep.clustering.manifold import Manifold
from gpuclust.deep.clustering.soft import student_t
from gpuclust.engines import get_engine
from gpuclust.sources import as_source

__all__ = ["HEADS", "CenterHead", "ClustererHead", "Head", "ManifoldHead"]


class Head(ABC):
    """Clusters in the space of the codes.

    Codes are float32 tensors (n, latent) on the device of the network.

    Attributes
    ----------
    name : str
        Of the kind, in `HEADS`.
    centers : Tensor (k, latent) float32
    """

    name: ClassVar[str]
    centers: Tensor

    @abstractmethod
    def labels(self, codes: Tensor) -> np.ndarray:
        """Cluster of each code, (n,) int32; -1 where the clusterer says noise."""

    def soft(self, codes: Tensor) -> np.ndarray:
        """Soft assignment (n, k), rows sum to one: `student_t`, where a kind has no probabilities of its own."""
        return student_t(codes, self.centers.to(codes.device)).numpy(force=True)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `restore` needs beside the tensors, as JSON knows it."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What `restore` needs; ModelError if it would take pickle."""

    @classmethod
    @abstractmethod
    def restore(cls, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """The head of which settings and tensors were written."""


class CenterHead(Head):
    """The nearest centre, ties to the lowest index: of centres that were trained with the network."""

    name = "centers"

    def __init__(self, centers: Tensor) -> None:
        self.centers = centers.detach().float().clone()

    def labels(self, codes: Tensor) -> np.ndarray:
        source = as_source(codes)
        engine = get_engine(data_device=source.device, work=codes.numel() * len(self.centers))
        return assignment.predict(Dataset(engine, source), self.centers.numpy(force=True).astype(np.float64))

    def settings(self) -> dict[str, Any]:
        return {}

    def tensors(self) -> dict[str, Tensor]:
        return {"centers": self.centers}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(tensors["centers"])


class ClustererHead(Head):
    """A fitted clusterer of codes: see :mod:`gpuclust.deep.clustering.clusterers`."""

    name = "clusterer"

    def __init__(self, clusterer: Any, centers: Tensor) -> None:
        self.clusterer, self.centers = clusterer, centers

    @classmethod
    def fit(cls, clusterer: Any, codes: Tensor) -> tuple[Self, np.ndarray]:
        """The head of a clusterer that is fitted here, and the labels (n,) int32 of the codes."""
        labels = clusterers.fit_predict(clusterer, codes)
        return cls(clusterer, clusterers.centers_of(clusterer, codes, labels)), labels

    def labels(self, codes: Tensor) -> np.ndarray:
        return clusterers.predict(self.clusterer, codes)

    def soft(self, codes: Tensor) -> np.ndarray:
        found = clusterers.proba(self.clusterer, codes)
        return super().soft(codes) if found is None else found

    def settings(self) -> dict[str, Any]:
        return clusterers.stored(self.clusterer)[0]

    def tensors(self) -> dict[str, Tensor]:
        return {"centers": self.centers, **clusterers.stored(self.clusterer)[1]}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(clusterers.restore(settings, tensors), tensors["centers"])


class ManifoldHead(Head):
    """A fitted clusterer of places on a manifold of the codes (N2D).

    R. McConville et al., "N2D: (not too) deep clustering via clustering the local manifold of an autoencoded
    embedding", ICPR 2020. The centre of a cluster is the mean of its members' codes.
    """

    name = "manifold"

    def __init__(self, manifold: Manifold, clusterer: Any, centers: Tensor) -> None:
        self.manifold, self.clusterer, self.centers = manifold, clusterer, centers

    @classmethod
    def fit(cls, manifold: Manifold, clusterer: Any, codes: Tensor) -> tuple[Self, np.ndarray]:
        """The head of a clusterer, fitted here to the places of the codes; their labels (n,) int32."""
        clusterer = begun(clusterer, manifold)
        labels = clusterers.fit_predict(clusterer, manifold.embedding)
        own = getattr(clusterer, "cluster_centers_", getattr(clusterer, "means_", ()))
        n_clusters = max(len(own), int(labels.max(initial=-1)) + 1)  # one of a mixture may have no members
        return cls(manifold, clusterer, clusterers.means(codes, labels, n_clusters)), labels

    def labels(self, codes: Tensor) -> np.ndarray:
        return clusterers.predict(self.clusterer, self.manifold.transform(codes))

    def soft(self, codes: Tensor) -> np.ndarray:
        found = clusterers.proba(self.clusterer, self.manifold.transform(codes))
        return super().soft(codes) if found is None else found

    def settings(self) -> dict[str, Any]:
        return {"manifold": self.manifold.settings(), "clusterer": clusterers.stored(self.clusterer)[0]}

    def tensors(self) -> dict[str, Tensor]:
        parts = {"manifold": self.manifold.tensors(), "clusterer": clusterers.stored(self.clusterer)[1]}
        named = {f"{part}.{key}": value for part, tensors in parts.items() for key, value in tensors.items()}
        return {"centers": self.centers, **named}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        def under(part: str) -> dict[str, Tensor]:
            return {key.removeprefix(part): value for key, value in tensors.items() if key.startswith(part)}

        return cls(
            Manifold.restore(settings["manifold"], under("manifold.")),
            clusterers.restore(settings["clusterer"], under("clusterer.")),
            tensors["centers"],
        )


#: Every kind of head by its name.
HEADS: dict[str, type[Head]] = {kind.name: kind for kind in (CenterHead, ClustererHead, ManifoldHead)}
