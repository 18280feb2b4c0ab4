"""The GPU benchmark cases: rows are made on the GPU, the same in every process, in blocks, without a second copy.

Blobs and their noise are those of `bench.cases`. The spectrum case is one Gaussian whose standard deviation falls as
j^(-1/2) along the principal directions j = 1..d, turned so that no coordinate is special: what embeddings and image
patches look like, and what a low-dimensional sketch is for. Float16 rows are rounded from such float32 numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["CASES", "GpuCase"]

BLOCK_BYTES = 2**28  # of float32, in a block while rows are made

Block = Callable[[int], Any]

ON_DEVICE = ("gpuclust", "gpuclust-fast", "flash-kmeans", "torch", "torch-tf32", "cupy")
WITH_HOST = (*ON_DEVICE, "gpuclust-host", "fastkmeans", "faiss-gpu")


@dataclass(frozen=True)
class GpuCase:
    """One benchmark.

    Attributes
    ----------
    name, title : str
        For the command line, and for people.
    make : callable
        ``make(xp, d, k)`` returns a function of m that returns the next m rows, float32 (m, d), by ``xp`` (NumPy or
        CuPy).
    n_rows, n_clusters, n_features, n_iter : int
    dtype : str
        "float16" or "float32".
    contenders : tuple of str
        Keys of ``bench.gpu_peers.CONTENDERS``; the first is the one that the others are compared with.
    """

    name: str
    title: str
    make: Callable[[Any, int, int], Block]
    n_rows: int
    n_clusters: int
    n_features: int
    dtype: str
    n_iter: int = 10
    contenders: tuple[str, ...] = ON_DEVICE

    def tiny(self) -> GpuCase:
        """The same case, small enough to try the runner on a processor."""
        return replace(self, n_rows=3000, n_clusters=20, n_features=min(self.n_features, 32), n_iter=2)

    def rows(self, xp: Any) -> Any:
        """The data, C-contiguous (n, d), as an array of ``xp``."""
        rows = xp.empty((self.n_rows, self.n_features), self.dtype)
        block = self.make(xp, self.n_features, self.n_clusters)
        step = max(1, BLOCK_BYTES // (4 * self.n_features))
        for start in range(0, self.n_rows, step):
            stop = min(start + step, self.n_rows)
            rows[start:stop] = block(stop - start)
        return rows

    def centers(self, rows: Any) -> Any:
        """Distinct random rows, (k, d): where every contender that takes centres begins."""
        return rows[np.random.default_rng(0).choice(len(rows), self.n_clusters, replace=False)]


def blobs(xp: Any, d: int, k: int) -> Block:
    random = xp.random.default_rng(20)
    centers = random.standard_normal((k, d), dtype=xp.float32)

    def block(m: int) -> Any:
        rows = random.standard_normal((m, d), dtype=xp.float32)
        rows *= xp.float32(0.4 * d**0.25)
        rows += centers[random.integers(0, k, m)]
        return rows

    return block


def spectrum(xp: Any, d: int, k: int) -> Block:
    random = xp.random.default_rng(21)
    turn = np.linalg.qr(np.random.default_rng(22).standard_normal((d, d)))[0]
    axes = xp.asarray((np.arange(1, d + 1)[:, None] ** -0.5 * turn).astype(np.float32))
    return lambda m: random.standard_normal((m, d), dtype=xp.float32) @ axes


_ALL = [
    *(
        GpuCase(f"1m-{dtype}", f"blobs 1M x 128, k=8192, {dtype}", blobs, 1_000_000, 8192, 128, dtype, 10, WITH_HOST)
        for dtype in ("float16", "float32")
    ),
    *(
        GpuCase(f"8m-{dtype}", f"blobs 8M x 128, k=1024, {dtype}", blobs, 8_000_000, 1024, 128, dtype)
        for dtype in ("float16", "float32")
    ),
    *(
        GpuCase(f"10m-{d}d-{dtype}", f"blobs 10M x {d}, k=20000, {dtype}", blobs, 10_000_000, 20_000, d, dtype)
        for d in (64, 128, 256)
        for dtype in ("float16", "float32")
    ),
    GpuCase("spectrum", "decaying spectrum 2M x 384, k=4096, float32", spectrum, 2_000_000, 4096, 384, "float32", 25),
]

CASES = {case.name: case for case in _ALL}
