"""The silhouette on a GPU, judged by its value; labels are those of the nearest of a few rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bench.gpu_cases import Block, GpuCase, GpuContender, as_it_lies, on_host
from bench.gpu_dbscan import far_clumps
from bench.silhouette import nearest

__all__ = ["CASES", "GpuSilhouetteCase"]


def gpuclust(rows: Any, labels: Any, gpu: bool) -> float:
    from gpuclust.metrics import silhouette_score

    return silhouette_score(rows, labels, device="cuda" if gpu else "cpu")


def cuml(rows: Any, labels: Any, gpu: bool) -> float:
    from cuml.metrics.cluster import silhouette_score

    return float(silhouette_score(rows, labels, chunksize=20_000))


_PEERS = [
    GpuContender("gpuclust", "gpuclust", gpuclust, as_it_lies, note="canonical distances in float64, exact sums"),
    GpuContender("gpuclust-host", "gpuclust", gpuclust, on_host, note="rows in host memory, transfers included"),
    GpuContender("cuml", "cuml-cu12", cuml, as_it_lies, True, "distances by products, in float32"),
]


@dataclass(frozen=True, kw_only=True)
class GpuSilhouetteCase(GpuCase):
    """One silhouette benchmark."""

    n_clusters: int
    contenders: tuple[str, ...] = ("gpuclust", "gpuclust-host", "cuml")

    kind: ClassVar[str] = "silhouette"
    peers: ClassVar[dict[str, GpuContender]] = {peer.name: peer for peer in _PEERS}
    headings: ClassVar[tuple[str, ...]] = ("billion pairs/s", "silhouette", "off the first")
    footnote: ClassVar[str] = "*: in float32."

    def tiny(self) -> GpuSilhouetteCase:
        return replace(self, n_rows=3000)

    def block(self, xp: Any) -> Block:
        return far_clumps(xp, self.n_rows, self.n_features, 20.0)

    def arguments(self, rows: Any, place: Callable[[Any], Any]) -> tuple[Any, ...]:
        return (nearest(on_host(rows), self.n_clusters),)

    def warm_up(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments

    def sample(self, rows: Any) -> None:
        """Nothing: the values speak for themselves."""

    def judged(self, xp: Any, sample: Any, outcome: Any) -> dict[str, Any]:
        return {"silhouette": float(np.float64(outcome))}

    def rate(self, seconds: float, judged: dict[str, Any]) -> dict[str, float]:
        return {"billion_pairs_per_second": round(self.n_rows**2 / 2 / seconds / 1e9, 3)}

    def setting(self) -> dict[str, Any]:
        return {"n_clusters": self.n_clusters}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_rows, self.n_features, self.n_rows

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"k={record['n_clusters']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        value = entry["silhouette"]
        off = abs(value - first["silhouette"])
        return f"{entry['billion_pairs_per_second']:.3g}", f"{value:.9f}", f"{off:.1e}"


_ALL = [
    GpuSilhouetteCase(
        name="silhouette-200k",
        title="Silhouette, clumps 200k x 32",
        n_rows=200_000,
        n_features=32,
        n_clusters=50,
    ),
]

CASES = {case.name: case for case in _ALL}
