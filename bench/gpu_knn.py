"""Nearest neighbours on a GPU, judged by whether they are those of float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bench.gpu_cases import Block, GpuCase, GpuContender, as_it_lies, on_host
from bench.gpu_kmeans import blobs

__all__ = ["CASES", "GpuKNNCase"]

JUDGED_ROWS = 64
BLOCK_ROWS = 1 << 14


def gpuclust(rows: Any, k: int, gpu: bool) -> Any:
    from gpuclust import NearestNeighbors

    return NearestNeighbors(k, device="cuda" if gpu else "cpu").fit(rows).kneighbors(return_distance=False)


def faiss(rows: Any, k: int, gpu: bool) -> Any:
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    if gpu:
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    index.add(rows)
    _, indices = index.search(rows, k + 1)
    others = indices != np.arange(len(rows))[:, None]
    others[others.all(axis=1), -1] = False  # a row may miss itself among equal ones
    return indices[others].reshape(-1, k)


def cuml(rows: Any, k: int, gpu: bool) -> Any:
    from cuml.neighbors import NearestNeighbors

    return (
        NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(rows).kneighbors(rows, return_distance=False)[:, 1:]
    )


_PEERS = [
    GpuContender("gpuclust", "gpuclust", gpuclust, as_it_lies, note="certified; conditioning included"),
    GpuContender("gpuclust-host", "gpuclust", gpuclust, on_host, note="rows in host memory, transfers included"),
    GpuContender("faiss", "faiss-gpu", faiss, on_host, True, "GpuIndexFlatL2, float32; rows in host memory"),
    GpuContender("cuml", "cuml-cu12", cuml, as_it_lies, True, "algorithm='brute', float32"),
]


@dataclass(frozen=True, kw_only=True)
class GpuKNNCase(GpuCase):
    """One search for the neighbours of all rows; ``make(xp, d)`` returns what makes blocks of rows."""

    make: Callable[[Any, int], Block]
    k: int = 15
    contenders: tuple[str, ...] = ("gpuclust", "gpuclust-host", "faiss", "cuml")

    kind: ClassVar[str] = "knn"
    peers: ClassVar[dict[str, GpuContender]] = {peer.name: peer for peer in _PEERS}
    headings: ClassVar[tuple[str, ...]] = ("million rows/s", "rows with other neighbours than in float64")
    footnote: ClassVar[str] = "*: takes the word of float32."

    def tiny(self) -> GpuKNNCase:
        return replace(self, n_rows=2000)

    def block(self, xp: Any) -> Block:
        return self.make(xp, self.n_features)

    def arguments(self, rows: Any, place: Callable[[Any], Any]) -> tuple[Any, ...]:
        return (self.k,)

    def warm_up(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments

    def sample(self, rows: Any) -> Any:
        """All rows: a row's neighbours may be any of them."""
        return rows

    def judged(self, xp: Any, sample: Any, outcome: Any) -> dict[str, Any]:
        numbers = np.unique(np.linspace(0, len(sample) - 1, JUDGED_ROWS).astype(np.int64))
        indices = on_host(outcome)[numbers]
        wrong = sum(
            not np.array_equal(_neighbors(xp, sample, int(i), self.k), row)
            for i, row in zip(numbers, indices, strict=True)
        )
        return {"rows_judged": len(numbers), "rows_unlike_float64": wrong}

    def rate(self, seconds: float, judged: dict[str, Any]) -> dict[str, float]:
        return {"million_rows_per_second": round(self.n_rows / seconds / 1e6, 4)}

    def setting(self) -> dict[str, Any]:
        return {"k": self.k}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_rows, self.n_features, self.n_rows

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"k={record['k']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        return f"{entry['million_rows_per_second']:.3g}", f"{entry['rows_unlike_float64']} of {entry['rows_judged']}"


def _neighbors(xp: Any, rows: Any, number: int, k: int) -> Any:
    """Indices of the k other rows nearest to one, equally near ones in order, in float64."""
    row, squares = rows[number].astype(np.float64), np.empty(len(rows))
    for start in range(0, len(rows), BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS].astype(np.float64) - row
        squares[start : start + len(part)] = on_host(xp.square(part).sum(axis=1))
    squares[number] = np.inf
    return np.argsort(squares, kind="stable")[:k]


_ALL = [
    GpuKNNCase(
        name="knn-1m", title="Neighbours, blobs 1M x 96", make=partial(blobs, 1000), n_rows=1_000_000, n_features=96
    ),
    GpuKNNCase(
        name="knn-384d", title="Neighbours, blobs 200k x 384", make=partial(blobs, 200), n_rows=200_000, n_features=384
    ),
]

CASES = {case.name: case for case in _ALL}
