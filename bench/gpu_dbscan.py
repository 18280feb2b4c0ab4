"""DBSCAN on a GPU: labels for a given eps, judged by their counts and by a digest that equal labels share.

*Haloes* stand in for the cosmological particles that GPU codes publish figures for (HACC, 37M x 3, eps 0.042,
min_samples 2): two thirds of the rows lie in haloes whose density falls as r^-2 and whose masses follow a power law,
the others anywhere in a cube with a mean of one row per (6 eps)^3. *Clumps* in many features lie so far apart that
each is one cluster; eps is four standard deviations above the mean distance within one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bench.dbscan import renumbered
from bench.gpu_cases import Block, GpuCase, GpuContender, as_it_lies, on_host

__all__ = ["CASES", "GpuDBSCANCase"]


def gpuclust(rows: Any, eps: float, min_samples: int, gpu: bool) -> Any:
    from gpuclust import DBSCAN

    model = DBSCAN(eps, min_samples=min_samples, device="cuda" if gpu else "cpu").fit(rows)
    return model.labels_, model.core_sample_indices_


def cuml(rows: Any, eps: float, min_samples: int, gpu: bool) -> Any:
    from cuml.cluster import DBSCAN

    model = DBSCAN(eps=eps, min_samples=min_samples).fit(rows, out_dtype="int64")
    return model.labels_, model.core_sample_indices_


_PEERS = [
    GpuContender("gpuclust", "gpuclust", gpuclust, as_it_lies, note="the whole fit, labels included"),
    GpuContender("gpuclust-host", "gpuclust", gpuclust, on_host, note="rows in host memory, transfers included"),
    GpuContender("cuml", "cuml-cu12", cuml, as_it_lies, True, "tests neighbours in float32; border rows are any's"),
]


@dataclass(frozen=True, kw_only=True)
class GpuDBSCANCase(GpuCase):
    """One DBSCAN benchmark; ``make(xp, n, d, eps)`` returns what makes blocks of rows."""

    make: Callable[[Any, int, int, float], Block]
    eps: float
    min_samples: int
    contenders: tuple[str, ...] = ("gpuclust", "gpuclust-host", "cuml")

    kind: ClassVar[str] = "dbscan"
    peers: ClassVar[dict[str, GpuContender]] = {peer.name: peer for peer in _PEERS}
    headings: ClassVar[tuple[str, ...]] = ("million rows/s", "clusters", "core rows", "noise", "same labels")
    footnote: ClassVar[str] = "*: numbers clusters in its own order; before labels are compared they are renumbered."

    def tiny(self) -> GpuDBSCANCase:
        return replace(self, n_rows=3000)

    def block(self, xp: Any) -> Block:
        return self.make(xp, self.n_rows, self.n_features, self.eps)

    def arguments(self, rows: Any, place: Callable[[Any], Any]) -> tuple[Any, ...]:
        return self.eps, self.min_samples

    def warm_up(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments

    def sample(self, rows: Any) -> None:
        """Nothing: labels speak for themselves."""

    def judged(self, xp: Any, sample: Any, outcome: Any) -> dict[str, Any]:
        labels, cores = (on_host(array) for array in outcome)
        return {
            "n_clusters": int(labels.max()) + 1,
            "n_core": len(cores),
            "n_noise": int((labels < 0).sum()),
            "labels_crc32": zlib.crc32(renumbered(labels, cores).astype(np.int32).tobytes()),
        }

    def rate(self, seconds: float, judged: dict[str, Any]) -> dict[str, float]:
        return {"million_rows_per_second": round(self.n_rows / seconds / 1e6, 3)}

    def setting(self) -> dict[str, Any]:
        return {"eps": self.eps, "min_samples": self.min_samples}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_rows, self.n_features, self.n_rows

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"eps={record['eps']:.6g}, min_samples={record['min_samples']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        counts = tuple(f"{entry[name]:,}" for name in ("n_clusters", "n_core", "n_noise"))
        same = "yes" if entry["labels_crc32"] == first["labels_crc32"] else "no"
        return f"{entry['million_rows_per_second']:.3g}", *counts, same


def haloes(xp: Any, n: int, d: int, eps: float) -> Block:
    random = xp.random.default_rng(24)
    side = 6 * eps * n ** (1 / d)
    centers = random.random((max(1, n // 2000), d), dtype=xp.float32) * xp.float32(side)

    def block(m: int) -> Any:
        # The square of a uniform number times the number of haloes: those with small numbers get most rows.
        halo = (random.random(m, dtype=xp.float32) ** 2 * len(centers)).astype(xp.int64)
        direction = random.standard_normal((m, d), dtype=xp.float32)
        direction /= xp.sqrt(xp.square(direction).sum(axis=1, keepdims=True)) + xp.float32(1e-12)
        radius = random.random((m, 1), dtype=xp.float32) * xp.float32(15 * eps)  # uniform: density as r^(1 - d)
        rows = centers[halo] + radius * direction
        anywhere = random.random((m, d), dtype=xp.float32) * xp.float32(side)
        return xp.where(random.random((m, 1), dtype=xp.float32) < 2 / 3, rows, anywhere)

    return block


def far_clumps(xp: Any, n: int, d: int, eps: float) -> Block:
    random = xp.random.default_rng(25)
    centers = random.standard_normal((1000, d), dtype=xp.float32)
    # Squared distances within a clump: mean 2 d s^2, standard deviation s^2 sqrt(8 d).
    spread = xp.float32(eps / (2 * d + 4 * (8 * d) ** 0.5) ** 0.5)
    return lambda m: random.standard_normal((m, d), dtype=xp.float32) * spread + centers[random.integers(0, 1000, m)]


_ALL = [
    GpuDBSCANCase(
        name="dbscan-haloes",
        title="DBSCAN, haloes 37M x 3",
        make=haloes,
        n_rows=37_000_000,
        n_features=3,
        eps=0.042,
        min_samples=2,
    ),
    GpuDBSCANCase(
        name="dbscan-768d",
        title="DBSCAN, clumps 1M x 768",
        make=far_clumps,
        n_rows=1_000_000,
        n_features=768,
        eps=20.0,
        min_samples=10,
    ),
]

CASES = {case.name: case for case in _ALL}
