"""k-means on a GPU: Lloyd iterations from the same initial centres, judged by the distances of sampled rows.

Blobs and their noise are those of `bench.data`. The spectrum case is one Gaussian whose standard deviation falls as
j^(-1/2) along the principal directions j = 1..d, turned so that no coordinate is special: what embeddings and image
patches look like, and what a low-dimensional sketch is for. Float16 rows are rounded from such float32 numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bench.gpu_cases import Block, GpuCase, GpuContender, on_host
from bench.gpu_kmeans_peers import CONTENDERS
from bench.roofline import effective_tflops

__all__ = ["CASES", "GpuKMeansCase"]

SAMPLED_ROWS = 65_536  # whose distance to the nearest centre is the yardstick of quality

ON_DEVICE = ("gpuclust", "gpuclust-fast", "flash-kmeans", "torch", "torch-tf32", "cupy")
WITH_HOST = (*ON_DEVICE, "gpuclust-host", "fastkmeans", "faiss-gpu")


@dataclass(frozen=True, kw_only=True)
class GpuKMeansCase(GpuCase):
    """One k-means benchmark; ``make(xp, d)`` returns what makes blocks of rows."""

    make: Callable[[Any, int], Block]
    n_clusters: int
    n_iter: int = 10
    contenders: tuple[str, ...] = ON_DEVICE

    kind: ClassVar[str] = "kmeans"
    peers: ClassVar[dict[str, GpuContender]] = CONTENDERS
    headings: ClassVar[tuple[str, ...]] = ("effective TFLOP/s", "mean squared distance", "iterations")
    footnote: ClassVar[str] = "Distances are relative to the first line. *: chooses its own initial centres."

    def tiny(self) -> GpuKMeansCase:
        return replace(self, n_rows=3000, n_clusters=20, n_features=min(self.n_features, 32), n_iter=2)

    def block(self, xp: Any) -> Block:
        return self.make(xp, self.n_features)

    def centers(self, rows: Any) -> Any:
        """Distinct random rows, (k, d): where every contender that takes centres begins."""
        return rows[np.random.default_rng(0).choice(len(rows), self.n_clusters, replace=False)]

    def arguments(self, rows: Any, place: Callable[[Any], Any]) -> tuple[Any, ...]:
        return place(self.centers(rows)), self.n_iter

    def warm_up(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments[0], 1

    def sample(self, rows: Any) -> Any:
        return rows[:: -(-self.n_rows // SAMPLED_ROWS)].copy()

    def judged(self, xp: Any, sample: Any, outcome: Any) -> dict[str, Any]:
        centers, n_iter = outcome
        return {"mean_squared_distance": mean_distance(xp, sample, centers), "n_iter": int(n_iter)}

    def rate(self, seconds: float, judged: dict[str, Any]) -> dict[str, float]:
        return {"effective_tflops": round(effective_tflops(*self.shape, judged["n_iter"], seconds), 4)}

    def setting(self) -> dict[str, Any]:
        return {"n_clusters": self.n_clusters, "n_iter": self.n_iter}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_rows, self.n_features, self.n_clusters

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"k={record['n_clusters']}, {record['n_iter']} iterations"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        distance = entry["mean_squared_distance"] / first["mean_squared_distance"]
        return f"{entry['effective_tflops']:.3g}", f"{distance:.6f}", str(entry["n_iter"])


def mean_distance(xp: Any, sample: Any, centers: Any, block: int = 2048) -> float:
    """Mean squared distance of sampled rows to their nearest centre, in float64, shifted by the mean of the centres."""
    centers = xp.asarray(on_host(centers), dtype=xp.float64)
    shift = centers.mean(axis=0)
    centers -= shift
    half_norms, total = xp.square(centers).sum(axis=1) / 2, 0.0
    for start in range(0, len(sample), block):
        part = sample[start : start + block].astype(xp.float64) - shift
        nearest = (half_norms - part @ centers.T).argmin(axis=1)
        total += float(xp.square(part - centers[nearest]).sum())
    return total / len(sample)


def blobs(k: int, xp: Any, d: int) -> Block:
    random = xp.random.default_rng(20)
    centers = random.standard_normal((k, d), dtype=xp.float32)

    def block(m: int) -> Any:
        rows = random.standard_normal((m, d), dtype=xp.float32)
        rows *= xp.float32(0.4 * d**0.25)
        rows += centers[random.integers(0, k, m)]
        return rows

    return block


def spectrum(xp: Any, d: int) -> Block:
    random = xp.random.default_rng(21)
    turn = np.linalg.qr(np.random.default_rng(22).standard_normal((d, d)))[0]
    axes = xp.asarray((np.arange(1, d + 1)[:, None] ** -0.5 * turn).astype(np.float32))
    return lambda m: random.standard_normal((m, d), dtype=xp.float32) @ axes


def _blobs(name: str, title: str, n_rows: int, k: int, d: int, contenders: tuple[str, ...]) -> list[GpuKMeansCase]:
    """The case in both dtypes."""
    return [
        GpuKMeansCase(
            name=f"{name}-{dtype}",
            title=f"blobs {title}, k={k}, {dtype}",
            make=partial(blobs, k),
            n_rows=n_rows,
            n_clusters=k,
            n_features=d,
            dtype=dtype,
            contenders=contenders,
        )
        for dtype in ("float16", "float32")
    ]


_ALL = [
    *_blobs("1m", "1M x 128", 1_000_000, 8192, 128, WITH_HOST),
    *_blobs("8m", "8M x 128", 8_000_000, 1024, 128, ON_DEVICE),
    *(case for d in (64, 128, 256) for case in _blobs(f"10m-{d}d", f"10M x {d}", 10_000_000, 20_000, d, ON_DEVICE)),
    GpuKMeansCase(
        name="spectrum",
        title="decaying spectrum 2M x 384, k=4096, float32",
        make=spectrum,
        n_rows=2_000_000,
        n_clusters=4096,
        n_features=384,
        n_iter=25,
    ),
]

CASES = {case.name: case for case in _ALL}
