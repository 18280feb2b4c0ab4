"""Nearest neighbours: the k other rows nearest to each row, judged by whether they are those of float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case, Contender
from bench.data import Rows, blobs, embeddings

__all__ = ["CASES", "KNNCase"]

Result = tuple[NDArray[Any], NDArray[Any]]  # distances (n, k), not squared, and indices (n, k)


def gpuclust(rows: Rows, k: int) -> Result:
    from gpuclust import NearestNeighbors

    return NearestNeighbors(k, device="cpu").fit(rows).kneighbors()


def faiss(rows: Rows, k: int) -> Result:
    """Plain FAISS: a row may miss itself among equal ones; then its last neighbour is dropped."""
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    squares, indices = index.search(rows, k + 1)
    others = indices != np.arange(len(rows))[:, None]
    others[others.all(axis=1), -1] = False
    return np.sqrt(squares[others].reshape(-1, k)), indices[others].reshape(-1, k)


def sklearn(rows: Rows, k: int) -> Result:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=-1).fit(rows).kneighbors()


_PEERS = [
    Contender("gpuclust", "gpuclust", gpuclust, note="certified; conditioning and index included"),
    Contender("faiss", "faiss-cpu", faiss, note="IndexFlatL2, float32"),
    Contender("sklearn", "scikit-learn", sklearn, note="algorithm='brute'"),
]


@dataclass(frozen=True, kw_only=True)
class KNNCase(Case):
    """One search for the neighbours of all rows."""

    k: int = 15
    contenders: tuple[str, ...] = ("gpuclust", "faiss", "sklearn")

    kind: ClassVar[str] = "knn"
    peers: ClassVar[dict[str, Contender]] = {peer.name: peer for peer in _PEERS}
    headings: ClassVar[tuple[str, ...]] = ("rows with other neighbours, or in another order", "largest relative error")
    footnote: ClassVar[str] = "*: none."

    def scaled(self, scale: float) -> KNNCase:
        return replace(self, n_rows=max(1000, round(self.n_rows * scale)))

    def arguments(self, rows: Rows) -> tuple[int]:
        return (self.k,)

    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return rows[:2000], *arguments

    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return {"k": arguments[0]}

    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Against neighbours and distances in float64, of 256 rows spread over the data."""
        numbers = np.unique(np.linspace(0, len(rows) - 1, 256).astype(np.int64))
        truth, order = _brute_force(rows, numbers, self.k)
        entries = {}
        for name, (distances, indices) in outcomes.items():
            wrong = (indices[numbers] != order).any(axis=1)
            error = np.abs(distances[numbers] - truth) / np.maximum(truth, np.finfo(np.float64).tiny)
            entries[name] = {
                "rows_judged": len(numbers),
                "rows_unlike_float64": int(wrong.sum()),
                "largest_relative_error": float(np.where(wrong[:, None], 0.0, error).max()),
            }
        return entries

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"k={record['k']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        return f"{entry['rows_unlike_float64']} of {entry['rows_judged']}", f"{entry['largest_relative_error']:.1e}"


def _brute_force(rows: Rows, numbers: NDArray[np.int64], k: int) -> Result:
    """Distances and indices of the k other rows nearest to some rows, equally near ones by index."""
    found = np.empty((len(numbers), k)), np.empty((len(numbers), k), np.int64)
    for i, number in enumerate(numbers):
        squares = np.zeros(len(rows))
        for start in range(0, len(rows), 1 << 14):
            part = rows[start : start + (1 << 14)].astype(np.float64) - rows[number]
            squares[start : start + len(part)] = np.einsum("ij,ij->i", part, part)
        squares[number] = np.inf
        near = np.flatnonzero(squares <= np.partition(squares, k - 1)[k - 1])
        order = near[np.argsort(squares[near], kind="stable")[:k]]
        found[0][i], found[1][i] = np.sqrt(squares[order]), order
    return found


_ALL = [
    KNNCase(name="knn-embeddings", title="Neighbours, text embeddings", make=embeddings, n_rows=1_000_000),
    KNNCase(name="knn-128d", title="Neighbours, blobs 50k x 128", make=partial(blobs, 128, 100), n_rows=50_000),
    KNNCase(name="knn-8d", title="Neighbours, blobs 100k x 8", make=partial(blobs, 8, 100), n_rows=100_000),
]

CASES = {case.name: case for case in _ALL}
