"""Manifold: codes laid out by UMAP on gpuclust's neighbour graph, and new codes placed among them.

Neighbours are sought where the codes are (:mod:`gpuclust.deep.views`), memberships are computed in
:mod:`gpuclust.deep.clustering.fuzzy`, and umap-learn lays out: its spectral start and its stochastic descent, on one
thread, so that a seed determines the bits. The only module that imports umap.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits
from torch import Tensor

from gpuclust.algorithms.random import purpose_stream
from gpuclust.deep.clustering.fuzzy import directed, memberships, union
from gpuclust.deep.views import View
from gpuclust.errors import DataError, GpuclustWarning, MissingDependencyError, ParameterError
from gpuclust.neighbors import NearestNeighbors
from gpuclust.validation import check_positive_int

__all__ = ["Manifold"]

#: Neighbours of a code in `Manifold.affinity`.
_AFFINE = 40


@dataclass(eq=False)
class Manifold:
    """A layout of codes in few dimensions that keeps their neighbourhoods [1]_.

    Equal codes have one place, and a training code that is transformed has its own, to the last bit.

    Parameters
    ----------
    codes : float32 tensor of shape (n, latent)
        What was laid out; new codes are compared with it where it lies.
    embedding : float32 array of shape (n, n_components)
        The places.
    n_neighbors : int
        Size of a neighbourhood as UMAP counts: a code itself and ``n_neighbors - 1`` others.
    device : str, optional
        Of the search, as for `gpuclust.NearestNeighbors`.
    affinity : sparse CSR matrix of shape (m, m), float32, optional
        How far each of the m distinct codes has the others for neighbours, 40 of them: directed, where what was laid
        out is not, and wider. A manifold that was restored has none.
    vertices : int array of shape (m,), optional
        Rows that are the distinct codes: the first of each.

    References
    ----------
    .. [1] L. McInnes, J. Healy, J. Melville, "UMAP: Uniform manifold approximation and projection for dimension
       reduction", arXiv:1802.03426.
    """

    codes: Tensor
    embedding: NDArray[np.float32]
    n_neighbors: int
    device: str | None = None
    affinity: csr_matrix | None = None
    vertices: NDArray[np.intp] | None = None

    @classmethod
    def fit(
        cls,
        codes: Tensor,
        *,
        views: Sequence[View] | None = None,
        n_components: int = 10,
        n_neighbors: int = 15,
        min_dist: float = 0.0,
        n_epochs: int | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> Self:
        """Lay out codes.

        Parameters
        ----------
        codes : float32 tensor of shape (n, latent)
            Neighbours are sought where it lies; the layout is computed on the CPU.
        views : sequence of View, optional
            In which neighbours are sought, by default the codes as they are: the graph is the mean of the graphs of the
            views. New codes are placed by themselves alone.
        n_components : int, default=10
            Dimensions of the layout; ``n - 2`` of fewer than 12 distinct codes.
        n_neighbors : int, default=15
            At least 2. Few keep fine structure, many the whole. With fewer distinct codes, all are neighbours.
        min_dist : float, default=0.0
            How close codes may lie in the layout, at most 1; 0 packs clusters most tightly.
        n_epochs : int, optional
            Of the descent; by default 500, and 200 for more than 10,000 distinct codes, as in umap-learn.
        seed : int, default=0
            Of the start and the descent: codes and seed determine the bits, whatever the number of threads.
        device : str, optional
            Of the search for neighbours.

        Raises
        ------
        ParameterError
            A parameter breaks its rule.
        DataError
            There are fewer than 4 distinct codes.
        MissingDependencyError
            umap-learn is not installed.

        Warns
        -----
        GpuclustWarning
            The eigenvectors of the graph were not found, and the layout began at random places.
        """
        n_components = check_positive_int(n_components, "n_components")
        if check_positive_int(n_neighbors, "n_neighbors") < 2:
            raise ParameterError("n_neighbors=1 should be >= 2: it counts the code itself.")
        if not 0 <= min_dist <= 1:
            raise ParameterError(f"min_dist={min_dist!r} should be in [0, 1].")
        n_epochs = None if n_epochs is None else check_positive_int(n_epochs, "n_epochs")
        umap = _library()
        host = codes.detach().cpu().numpy()
        first, own = _distinct(host)
        n = len(first)
        if n < 4:
            raise DataError(
                f"n_samples={len(host)} rows have {n} distinct codes, but a layout needs >= 4: pass more rows."
            )
        seen = [view if n == len(host) else view.at(first) for view in views or [View(codes)]]
        found = [_graphs(view, min(n_neighbors, n), device) for view in seen]
        graph, affinity = ((sum(each[1:], each[0]) / len(each)).astype(np.float32) for each in zip(*found, strict=True))
        random = np.random.RandomState(purpose_stream(seed, "layout").key % 2**32)
        places = _laid_out(umap, host[first], graph, min(n_components, n - 2), min_dist, n_epochs, random)
        return cls(codes, places[own], n_neighbors, device, affinity, first)

    def transform(self, codes: Tensor) -> NDArray[np.float32]:
        """Places of codes, float32 (m, n_components).

        The mean of the places of the nearest training codes, weighted by their memberships: where UMAP's own transform
        begins. That one goes on to move new codes by descent, so that their places depend on each other; these do not.
        """
        k = min(self.n_neighbors, len(self.codes))
        found = self._search.kneighbors(codes.detach().to(self.codes.device), n_neighbors=k)
        distances, neighbors = (values.cpu().numpy() for values in found)
        weights = memberships(distances, 0.0, math.log2(k))
        places = np.zeros((len(weights), self.embedding.shape[1]))
        for weight, neighbor in zip(weights.T, neighbors.T, strict=True):
            places += weight[:, None] * self.embedding[neighbor]
        places /= weights.sum(1)[:, None]
        known = distances[:, 0] == 0
        places[known] = self.embedding[neighbors[known, 0]]
        return places.astype(np.float32)

    def settings(self) -> dict[str, Any]:
        """What `restore` needs beside the tensors, as JSON knows it."""
        return {"n_neighbors": int(self.n_neighbors)}

    def tensors(self) -> dict[str, Tensor]:
        """The codes and their places, on the CPU."""
        return {"codes": self.codes.cpu(), "embedding": torch.from_numpy(self.embedding)}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, Tensor], *, device: str | None = None) -> Self:
        """The manifold of which `settings` and `tensors` were taken. It needs no umap-learn."""
        return cls(tensors["codes"], tensors["embedding"].cpu().numpy(), int(settings["n_neighbors"]), device)

    @cached_property
    def _search(self) -> NearestNeighbors:
        return NearestNeighbors(1, device=self.device).fit(self.codes)


def _distinct(codes: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row of each distinct code, in order of rows; and for each row, which of the distinct codes it has."""
    _, first, own = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[own.ravel()]


def _graphs(view: View, n_neighbors: int, device: str | None) -> tuple[csr_matrix, csr_matrix]:
    """UMAP's graph of a view, where a point is the first of its ``n_neighbors``; and the wider, directed one."""
    wide = min(max(n_neighbors - 1, _AFFINE), len(view.points) - 1)
    distances, neighbors = view.neighbors(wide, device)

    def near(k: int) -> tuple[NDArray, NDArray[np.int64]]:
        return memberships(distances[:, :k], distances[:, 0], math.log2(k + 1)), neighbors[:, :k]

    return union(*near(n_neighbors - 1)), directed(*near(min(wide, _AFFINE)))


def _library() -> Any:
    """The module ``umap.umap_``.

    Raises
    ------
    MissingDependencyError
        It cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tensorflow is missing, which nothing here needs
            import umap.umap_
    except ImportError as error:
        raise MissingDependencyError(
            "method='manifold' lays out codes by umap-learn, which cannot be imported: pip install "
            f"'gpuclust[manifold]' ({error})."
        ) from error
    return umap.umap_


def _laid_out(
    umap: Any,
    codes: NDArray[np.float32],
    graph: csr_matrix,
    n_components: int,
    min_dist: float,
    n_epochs: int | None,
    random: np.random.RandomState,
) -> NDArray[np.float32]:
    """Places (n, n_components) of a graph's vertices. ``codes`` place its connected parts; the graph is used up."""
    a, b = umap.find_ab_params(spread=1.0, min_dist=min_dist)
    with warnings.catch_warnings(record=True) as said, threadpool_limits(1):  # BLAS rounds by its number of threads
        warnings.simplefilter("always")
        places, _ = umap.simplicial_set_embedding(
            codes,
            graph,
            n_components,
            initial_alpha=1.0,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=n_epochs,
            init="spectral",
            random_state=random,
            metric="euclidean",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
            parallel=False,  # several threads would race
        )
    if any("Spectral initialisation failed" in str(warning.message) for warning in said):
        warnings.warn(
            "The eigenvectors of the graph of codes were not found: the layout began at random places.",
            GpuclustWarning,
            stacklevel=3,
        )
    return places
