"""The GPU's k-means contenders: each runs ``n_iter`` Lloyd iterations on all rows, from the given centres if it can.

Rows lie on the GPU, except for the contenders that take them from host memory and whose figures include the transfers.
What each of them rounds is said in its note: only gpuclust's labels are certified to be the nearest centres.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.gpu_cases import GpuContender, as_it_lies, on_host, on_host_float32

__all__ = ["CONTENDERS"]

SCORES_BYTES = 2**30  # of the product that torch and CuPy hold at a time

Result = tuple[Any, int]  # centres (k, d) of any library, iterations that ran


def as_torch(rows: Any) -> Any:
    import torch

    return torch.as_tensor(rows)  # shares the memory of CuPy's and NumPy's arrays


def gpuclust(precision: str) -> Callable[[Any, Any, int, bool], Result]:
    def run(rows: Any, centers: Any, n_iter: int, gpu: bool) -> Result:
        from gpuclust import KMeans

        model = KMeans(
            len(centers), init=on_host(centers), n_init=1, max_iter=n_iter, tol=0, precision=precision,
            device="cuda" if gpu else "cpu",
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(rows)
        return model.cluster_centers_, model.n_iter_

    return run


def torch_blocks(*, tf32: bool) -> Callable[[Any, Any, int, bool], Result]:
    """What anyone would write: addmm per block, argmax, index_add; float32 sums."""

    def run(rows: Any, centers: Any, n_iter: int, gpu: bool) -> Result:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = tf32
        found = centers.float()
        block = max(1, SCORES_BYTES // (len(centers) * rows.element_size()))
        for _ in range(n_iter):
            rounded, half_norms = found.to(rows.dtype), (found.square().sum(1) / 2).to(rows.dtype)
            sums, counts = torch.zeros_like(found), torch.zeros(len(found), device=found.device)
            for part in rows.split(block):
                labels = torch.addmm(half_norms, part, rounded.T, beta=-1).argmax(1)
                sums.index_add_(0, labels, part.float())
                counts += torch.bincount(labels, minlength=len(found))
            found = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], found)
        if gpu:
            torch.cuda.synchronize()
        return found, n_iter

    return run


def cupy_blocks(rows: Any, centers: Any, n_iter: int, gpu: bool) -> Result:
    """The same with CuPy, or with NumPy where the runner is tried on a processor."""
    if gpu:
        import cupy as xp
    else:
        xp = np
    found = centers.astype(xp.float32)
    block = max(1, SCORES_BYTES // (len(centers) * rows.itemsize))
    for _ in range(n_iter):
        rounded, half_norms = found.astype(rows.dtype), (xp.square(found).sum(axis=1) / 2).astype(rows.dtype)
        sums, counts = xp.zeros_like(found), xp.zeros(len(found), xp.float32)
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            scores = part @ rounded.T
            scores -= half_norms
            labels = scores.argmax(axis=1)
            xp.add.at(sums, labels, part.astype(xp.float32))
            counts += xp.bincount(labels, minlength=len(found)).astype(xp.float32)
        found = xp.where(counts[:, None] > 0, sums / xp.maximum(counts, 1)[:, None], found)
    if gpu:
        xp.cuda.get_current_stream().synchronize()
    return found, n_iter


def flash_kmeans(rows: Any, centers: Any, n_iter: int, gpu: bool) -> Result:
    import flash_kmeans as library
    import torch

    if gpu and "triton" not in library.batch_kmeans_Euclid.__module__:  # it falls back without a word
        raise ImportError("flash-kmeans found no Triton, and would run its torch code")
    # It stops when the shift is below tol, and a shift is never negative.
    _, found, ran = library.batch_kmeans_Euclid(
        rows[None], len(centers), max_iters=n_iter, tol=-1.0, init_centroids=centers[None].clone()
    )
    if gpu:
        torch.cuda.synchronize()
    return found[0], ran


def fastkmeans(rows: Any, centers: Any, n_iter: int, gpu: bool) -> Result:
    from fastkmeans import FastKMeans

    model = FastKMeans(rows.shape[1], len(centers), niter=n_iter, tol=-1.0, gpu=gpu, seed=1)
    model.train(rows)
    return model.centroids, n_iter


def faiss_gpu(rows: Any, centers: Any, n_iter: int, gpu: bool) -> Result:
    import faiss

    if gpu and not faiss.get_num_gpus():
        raise ImportError("the FAISS that is installed has no GPU support")
    model = faiss.Kmeans(
        rows.shape[1], len(centers), niter=n_iter, gpu=gpu, max_points_per_centroid=len(rows),
        min_points_per_centroid=1,
    )  # fmt: skip
    model.train(rows, init_centroids=on_host_float32(centers))
    return model.centroids, n_iter


_ALL = [
    GpuContender("gpuclust", "gpuclust", gpuclust("exact"), as_it_lies, note="exact; the whole fit, labels included"),
    GpuContender("gpuclust-fast", "gpuclust", gpuclust("fast"), as_it_lies, note="precision='fast': no certificate"),
    GpuContender(
        "gpuclust-host", "gpuclust", gpuclust("exact"), on_host, note="exact; rows in host memory, transfers included"
    ),
    GpuContender(
        "flash-kmeans",
        "flash-kmeans",
        flash_kmeans,
        as_torch,
        note="Triton; float32 rounded to TF32; labels one step behind the centres",
    ),
    GpuContender("torch", "torch", torch_blocks(tf32=False), as_torch, note="addmm, argmax, index_add in blocks"),
    GpuContender("torch-tf32", "torch", torch_blocks(tf32=True), as_torch, note="the same; float32 rounded to TF32"),
    GpuContender("cupy", "cupy", cupy_blocks, as_it_lies, note="product, argmax, add.at in blocks"),
    GpuContender(
        "fastkmeans",
        "fastkmeans",
        fastkmeans,
        on_host_float32,
        True,
        "own random rows as centres; rounds to float16; rows in host memory, transfers included",
    ),
    GpuContender(
        "faiss-gpu", "faiss-gpu", faiss_gpu, on_host_float32, note="no subsampling; rows in host memory, float32"
    ),
]

CONTENDERS = {contender.name: contender for contender in _ALL}
