"""The k-means contenders: each runs exactly `n_iter` Lloyd iterations on all rows, from the given centres if it can.

No contender subsamples or stops on a tolerance. scikit-learn and gpuclust still stop when no label changes; the
iterations that really ran are returned and reported. What differs is said in the notes: three libraries choose
their own initial centres (random rows), and two prune by a statistical test, so that their step is not exactly Lloyd's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cases import Contender
from bench.data import Rows

__all__ = ["CONTENDERS"]

Result = tuple[NDArray[Any], int]  # centres (k, d), iterations that ran


def gpuclust(rows: Rows, centers: Rows, n_iter: int) -> Result:
    from gpuclust import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KMeans(len(centers), init=centers, n_init=1, max_iter=n_iter, tol=0, device="cpu").fit(rows)
    return model.cluster_centers_, model.n_iter_


def sklearn(algorithm: str) -> Callable[[Rows, Rows, int], Result]:
    def run(rows: Rows, centers: Rows, n_iter: int) -> Result:
        from sklearn.cluster import KMeans

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged: that is the point
            model = KMeans(len(centers), init=centers, n_init=1, max_iter=n_iter, tol=0, algorithm=algorithm).fit(rows)
        return model.cluster_centers_, model.n_iter_

    return run


def faiss_kmeans(rows: Rows, centers: Rows, n_iter: int) -> Result:
    import faiss

    model = faiss.Kmeans(
        rows.shape[1], len(centers), niter=n_iter, max_points_per_centroid=len(rows), min_points_per_centroid=1
    )
    model.train(rows, init_centroids=centers)
    return np.asarray(model.centroids), n_iter


def faiss_superkmeans(rows: Rows, centers: Rows, n_iter: int) -> Result:
    import faiss

    model = faiss.SuperKmeans(
        rows.shape[1], len(centers), niter=n_iter, max_points_per_centroid=len(rows), min_points_per_centroid=1, seed=1
    )
    model.train(rows)
    return model.centroids, n_iter


def superkmeans(rows: Rows, centers: Rows, n_iter: int) -> Result:
    from superkmeans import SuperKMeans

    model = SuperKMeans(
        len(centers),
        rows.shape[1],
        hierarchical=False,
        iters=n_iter,
        sampling_fraction=1.0,
        max_points_per_cluster=len(rows),
        early_termination=False,
        tol=0.0,
        seed=1,
    )
    return model.train(rows), n_iter


def fastkmeans(rows: Rows, centers: Rows, n_iter: int) -> Result:
    from fastkmeans import FastKMeans

    # It stops when shift < tol, and a shift is never negative.
    model = FastKMeans(rows.shape[1], len(centers), niter=n_iter, tol=-1.0, gpu=False, seed=1)
    model.train(rows)
    return model.centroids, n_iter


def numpy_gemm(rows: Rows, centers: Rows, n_iter: int) -> Result:
    """What anyone would write: a float32 product per block, argmin, sums by sorting labels."""
    centers = centers.copy()
    labels = np.empty(len(rows), dtype=np.intp)
    block = max(256, 2**22 // len(centers))
    for _ in range(n_iter):
        half_norms = np.einsum("ij,ij->i", centers, centers) / 2
        sums = np.zeros_like(centers, dtype=np.float64)
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            scores = part @ centers.T
            chosen = np.argmin(np.subtract(half_norms, scores, out=scores), axis=1)
            labels[start : start + block] = chosen
            order = np.argsort(chosen.astype(np.uint16), kind="stable")  # radix sort; no case has more clusters
            present, first = np.unique(chosen[order], return_index=True)
            sums[present] += np.add.reduceat(part[order], first, axis=0)
        counts = np.bincount(labels, minlength=len(centers))
        centers[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return centers, n_iter


def gpuclust_seeding(rows: Rows, centers: Rows, n_iter: int) -> Result:
    from gpuclust.algorithms.dataset import Dataset
    from gpuclust.algorithms.seeding import plus_plus
    from gpuclust.engines import get_engine
    from gpuclust.sources import as_source

    return plus_plus(Dataset(get_engine("cpu"), as_source(rows)), len(centers), 1)[0], 0


def sklearn_seeding(rows: Rows, centers: Rows, n_iter: int) -> Result:
    from sklearn.cluster import kmeans_plusplus

    return kmeans_plusplus(rows, len(centers), random_state=1)[0], 0


_OWN_CENTERS = "chooses its own random rows as initial centres"

_ALL = [
    Contender("gpuclust", "gpuclust", gpuclust),
    Contender("sklearn-lloyd", "scikit-learn", sklearn("lloyd")),
    Contender("sklearn-elkan", "scikit-learn", sklearn("elkan")),
    Contender("faiss-kmeans", "faiss-cpu", faiss_kmeans, note="max_points_per_centroid = n: no subsampling"),
    Contender(
        "faiss-superkmeans",
        "faiss-cpu",
        faiss_superkmeans,
        True,
        f"{_OWN_CENTERS}; prunes by a statistical test; d >= 32",
    ),
    Contender(
        "superkmeans",
        "superkmeans",
        superkmeans,
        True,
        f"{_OWN_CENTERS}; prunes by a statistical test; flat, all rows",
    ),
    Contender("fastkmeans", "fastkmeans", fastkmeans, True, f"{_OWN_CENTERS}; torch on the CPU"),
    Contender("numpy", "numpy", numpy_gemm, note="float32 product + argmin in blocks"),
    Contender("gpuclust-seeding", "gpuclust", gpuclust_seeding, True),
    Contender("sklearn-seeding", "scikit-learn", sklearn_seeding, True),
]

CONTENDERS = {contender.name: contender for contender in _ALL}
