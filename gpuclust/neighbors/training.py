"""k-means for vector databases: `faiss.Clustering` by gpuclust, and IVF indexes whose coarse quantiser it trained.

An IVF index of FAISS cuts space into the cells of ``nlist`` centres. FAISS trains them by its own k-means, from random
rows and a subsample; here they are trained by certified Lloyd iterations from a k-means++ or k-means|| seeding, the
same bits on every machine, and handed over: an index that finds its quantiser filled trains only what is left (the
codes of a product quantiser).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms import lloyd, seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.sampling import sample
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError
from gpuclust.neighbors.library import faiss_library, searching
from gpuclust.sources import as_source
from gpuclust.validation import check_positive_int, check_sample_weight

__all__ = ["Clustering", "Iteration", "train_ivf"]

# From so many centres on, drawing them one by one takes longer than the iterations.
_MANY = 256
# Rows that the codebooks of a product quantiser are trained on: FAISS's 256 for each of 256 centroids.
_CODES = 1 << 16


class Iteration(NamedTuple):
    """What FAISS's statistics of an iteration tell: here only of the last, and ``obj``, the inertia."""

    obj: float
    n_iter: int


class Clustering:
    """k-means with the interface of ``faiss.Clustering``.

    Parameters
    ----------
    d, k : int
        Features, and centroids to find.
    cp : faiss.ClusteringParameters, optional
        Its niter, nredo, seed, spherical and max_points_per_centroid take the place of those below; the rest of it says
        how FAISS would work.
    niter : int
        Most iterations; they end when no label changes.
    nredo : int
        Runs from different seeds, of which the one of least inertia is kept.
    seed : int
    spherical : bool
        Rows and centroids of unit length.
    max_points_per_centroid : int, optional
        Train on a sample of so many rows per centroid; None: on all (FAISS: 256).
    device, max_memory
        As in the estimators.

    Attributes
    ----------
    centroids : faiss.Float32Vector
        k d values, as ``faiss.vector_to_array`` reads them.
    obj : float32 array (1,)
        The inertia of the rows trained on.
    iteration_stats : list of Iteration
    """

    def __init__(
        self,
        d: int,
        k: int,
        cp: Any = None,
        *,
        niter: int = 25,
        nredo: int = 1,
        seed: int = 1234,
        spherical: bool = False,
        max_points_per_centroid: int | None = None,
        device: str | None = None,
        max_memory: int | str | None = None,
    ) -> None:
        self.d, self.k = check_positive_int(d, "d"), check_positive_int(k, "k")
        self.niter, self.nredo, self.seed = niter, nredo, seed
        self.spherical, self.max_points_per_centroid = spherical, max_points_per_centroid
        for name in ("niter", "nredo", "seed", "spherical", "max_points_per_centroid") if cp is not None else ():
            setattr(self, name, getattr(cp, name))
        self.device, self.max_memory = device, max_memory
        self.centroids = faiss_library().Float32Vector()
        self.obj = np.empty(0, np.float32)
        self.iteration_stats: list[Iteration] = []

    def train(self, x: Any, index: Any = None, weights: Any = None) -> None:
        """Find the centroids of ``x`` and, as ``faiss.Clustering`` does, leave them in ``index``, emptied before.

        Parameters
        ----------
        x : array-like, table, path or Source (n, d)
        index : faiss.Index, optional
            Of dimension d; trained on the centroids if it needs to be.
        weights : array-like (n,), optional
            Of the rows, at least 0 and not all 0.

        Raises
        ------
        DataError
            ``x`` has fewer rows than ``k``, or other than ``d`` features, or is not finite.
        ParameterError
            ``niter`` or ``nredo``, which may have been set since, is not positive.
        """
        data = _opened(x, self.d, self.k, weights, self.spherical, self.device, self.max_memory)
        if self.max_points_per_centroid is not None and weights is None:
            data = sample(data, self.k * self.max_points_per_centroid, self.seed, "training", at_least=self.k)
        niter, nredo = (check_positive_int(getattr(self, name), name) for name in ("niter", "nredo"))
        runs = (_centers(data, self.k, self.seed + run, niter, self.spherical) for run in range(nredo))
        found = min(runs, key=lambda run: run.inertia)
        centers = found.centers.astype(np.float32)
        faiss_library().copy_array_to_vector(centers.ravel(), self.centroids)
        self.obj = np.array([found.inertia], np.float32)
        self.iteration_stats = [Iteration(found.inertia, found.n_iter)]
        if index is not None:
            with searching(centers.size * self.k):
                index.reset()
                if not index.is_trained:
                    index.train(centers)
                index.add(centers)


def train_ivf(
    index: Any,
    x: Any,
    *,
    niter: int = 25,
    seed: int = 1234,
    max_points_per_centroid: int | None = None,
    device: str | None = None,
    max_memory: int | str | None = None,
) -> Any:
    """Train an IVF index of FAISS, with its coarse quantiser trained by gpuclust.

    Parameters
    ----------
    index : faiss.IndexIVF
        Empty: IndexIVFFlat, IndexIVFPQ, IndexIVFScalarQuantizer, ... For inner products, rows and centroids are
        compared by direction.
    x : array-like, table, path or Source (n, d)
        Rows like those that the index will hold, at least ``index.nlist``. What FAISS trains itself, the codes, gets a
        sample of at most 65,536 of them, as many as it would take.
    niter, seed, max_points_per_centroid, device, max_memory
        As in `Clustering`.

    Returns
    -------
    index
        The same, trained: ``index.add`` may follow.

    Raises
    ------
    ParameterError
        ``index`` is no IVF index, or holds rows.
    DataError
        As `Clustering.train`.

    Examples
    --------
    >>> import faiss
    >>> import numpy as np
    >>> from gpuclust.neighbors import train_ivf
    >>> X = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    >>> index = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 16)
    >>> train_ivf(index, X).is_trained
    True
    """
    faiss = faiss_library()
    if not isinstance(index, faiss.IndexIVF):
        raise ParameterError(
            f"index is a {type(index).__name__}; expected an IVF index of FAISS, such as IndexIVFFlat."
        )
    if index.ntotal:
        raise ParameterError(f"index holds {index.ntotal} rows already; train it before rows are added.")
    spherical = index.metric_type == faiss.METRIC_INNER_PRODUCT
    data = _opened(x, index.d, index.nlist, None, False, device, max_memory)
    clustering = Clustering(
        index.d, index.nlist, niter=niter, seed=seed, spherical=spherical,
        max_points_per_centroid=max_points_per_centroid, device=device, max_memory=max_memory,
    )  # fmt: skip
    clustering.train(data.source, index.quantizer)
    codes = sample(data, _CODES, seed, "codes")
    rows = codes.take(np.arange(codes.n_rows)).astype(np.float32)
    with searching(256 * rows.size):
        index.train(rows)
    return index


def _opened(
    x: Any, d: int, k: int, weights: Any, spherical: bool, device: str | None, max_memory: int | str | None
) -> Dataset:
    source = as_source(x, max_memory=max_memory, name="x")
    if source.n_features != d:
        raise DataError(f"x has {source.n_features} features; expected d={d}.")
    if source.n_rows < k:
        raise DataError(f"n_samples={source.n_rows} should be >= k={k}.")
    engine = get_engine(device, data_device=source.device, work=source.n_rows * d * k)
    weights = None if weights is None else check_sample_weight(weights, source.n_rows)
    return Dataset(engine, source, weights, normalize=spherical)


def _centers(data: Dataset, k: int, seed: int, niter: int, spherical: bool) -> lloyd.LloydResult:
    """k-means as quantisers want it: few iterations, from a seeding that is fast for many centres too."""
    seeded = seeding.plus_plus if k < _MANY else seeding.parallel
    centers, _ = seeded(data, k, seed)
    return lloyd.run(data, centers, max_iter=niter, tol=0.0, spherical=spherical)
