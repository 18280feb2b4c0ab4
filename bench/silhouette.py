"""The silhouette of given labels, judged by how far it is from scikit-learn's.

Labels are those of the nearest of a few rows: neither perfect nor random, with clusters of unlike sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case, Contender
from bench.data import Rows, clumps

__all__ = ["CASES", "SilhouetteCase", "nearest"]


def gpuclust(rows: Rows, labels: NDArray[Any]) -> float:
    from gpuclust.metrics import silhouette_score

    return silhouette_score(rows, labels, device="cpu")


def sklearn(rows: Rows, labels: NDArray[Any]) -> float:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(rows, labels))


_ALL_PEERS = [
    Contender("gpuclust", "gpuclust", gpuclust),
    Contender("sklearn", "scikit-learn", sklearn, note="float32 rows: distances by products, in float32"),
]


@dataclass(frozen=True, kw_only=True)
class SilhouetteCase(Case):
    """One silhouette, of `n_clusters` clusters."""

    n_clusters: int
    contenders: tuple[str, ...] = ("gpuclust", "sklearn")

    kind: ClassVar[str] = "silhouette"
    peers: ClassVar[dict[str, Contender]] = {peer.name: peer for peer in _ALL_PEERS}
    headings: ClassVar[tuple[str, ...]] = ("silhouette", "off scikit-learn's")
    footnote: ClassVar[str] = ""

    def scaled(self, scale: float) -> SilhouetteCase:
        return replace(self, n_rows=max(1000, round(self.n_rows * scale)))

    def arguments(self, rows: Rows) -> tuple[NDArray[Any]]:
        return (nearest(rows, self.n_clusters),)

    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return rows[:2000], arguments[0][:2000]

    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return {"n_clusters": int(arguments[0].max()) + 1}

    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """`off_sklearn`: how far the value is from scikit-learn's in this run; None where it did not run."""
        theirs = outcomes.get("sklearn")
        return {
            name: {"silhouette": value, "off_sklearn": None if theirs is None else abs(value - theirs)}
            for name, value in outcomes.items()
        }

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"k={record['n_clusters']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        off = entry["off_sklearn"]
        return f"{entry['silhouette']:.9f}", "not compared" if off is None else f"{off:.1e}"


def nearest(rows: Rows, n_clusters: int) -> NDArray[np.int32]:
    """The number of the nearest of evenly spaced rows, for each row."""
    centers = rows[:: -(-len(rows) // n_clusters)].astype(np.float64)
    norms = np.einsum("ij,ij->i", centers, centers)
    labels = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), 4096):
        labels[start : start + 4096] = (norms - 2.0 * (rows[start : start + 4096] @ centers.T)).argmin(axis=1)
    return labels


_ALL = [
    SilhouetteCase(
        name="silhouette-10",
        title="Silhouette, clumps 20k x 32",
        make=partial(clumps, 32, 50, 30.0),
        n_rows=20_000,
        n_clusters=10,
    ),
    SilhouetteCase(
        name="silhouette-50",
        title="Silhouette, clumps 20k x 32",
        make=partial(clumps, 32, 50, 30.0),
        n_rows=20_000,
        n_clusters=50,
    ),
    SilhouetteCase(
        name="silhouette-200k",
        title="Silhouette, clumps 200k x 32",
        make=partial(clumps, 32, 50, 30.0),
        n_rows=200_000,
        n_clusters=50,
        contenders=("gpuclust",),
    ),
]

CASES = {case.name: case for case in _ALL}
