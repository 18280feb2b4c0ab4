"""k-means: Lloyd iterations from the same initial centres, judged by the inertia of what comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case, Contender
from bench.data import Rows, blobs, embeddings, isotropic, patches, pixels
from bench.kmeans_peers import CONTENDERS

__all__ = ["CASES", "KMeansCase", "inertia", "initial_centers"]

LLOYD = (
    "gpuclust",
    "sklearn-lloyd",
    "sklearn-elkan",
    "faiss-kmeans",
    "faiss-superkmeans",
    "superkmeans",
    "fastkmeans",
    "numpy",
)


@dataclass(frozen=True, kw_only=True)
class KMeansCase(Case):
    """One k-means benchmark: `n_iter` iterations (0: seeding only) with `n_clusters` clusters."""

    n_clusters: int
    n_iter: int
    contenders: tuple[str, ...] = LLOYD

    kind: ClassVar[str] = "kmeans"
    peers: ClassVar[dict[str, Contender]] = CONTENDERS
    headings: ClassVar[tuple[str, ...]] = ("inertia", "iterations")
    footnote: ClassVar[str] = "Inertia is relative to the first line. *: chooses its own initial centres."

    def scaled(self, scale: float) -> KMeansCase:
        n_clusters = max(2, round(self.n_clusters * scale))
        return replace(self, n_rows=max(50 * n_clusters, round(self.n_rows * scale)), n_clusters=n_clusters)

    def arguments(self, rows: Rows) -> tuple[Rows, int]:
        return initial_centers(rows, self.n_clusters), self.n_iter

    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return rows[: max(1024, 4 * self.n_clusters)], arguments[0], 2

    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return {"n_clusters": self.n_clusters, "n_iter": self.n_iter}

    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "inertia": inertia(rows, centers),
                "n_iter": int(n_iter),
                "same_initial_centers": not self.peers[name].own_way,
            }
            for name, (centers, n_iter) in outcomes.items()
        }

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        work = f"{record['n_iter']} iterations" if record["n_iter"] else "k-means++ only"
        return f"k={record['n_clusters']}, {work}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        return f"{entry['inertia'] / first['inertia']:.5f}", str(entry["n_iter"])


def initial_centers(rows: Rows, n_clusters: int, seed: int = 0) -> Rows:
    """Distinct random rows, float32 (n_clusters, d): where every contender that takes centres begins."""
    return rows[np.random.default_rng(seed).choice(len(rows), n_clusters, replace=False)]


def inertia(rows: Rows, centers: NDArray[Any], block: int = 4096) -> float:
    """Sum over rows of the squared distance to the nearest centre, in float64: the same yardstick for everybody.

    The nearest centre is found by a float64 product, after a shift by the mean; its distance is then computed directly.
    """
    shift = centers.mean(axis=0, dtype=np.float64)
    shifted = centers.astype(np.float64) - shift
    half_norms = np.einsum("ij,ij->i", shifted, shifted) / 2
    total = 0.0
    for start in range(0, len(rows), block):
        part = rows[start : start + block] - shift
        nearest = np.argmin(half_norms - part @ shifted.T, axis=1)
        total += float(np.square(part - shifted[nearest]).sum())
    return total


_ALL = [
    KMeansCase(
        name="16d",
        title="blobs 1M x 16, k=64",
        make=partial(blobs, 16, 64),
        n_rows=1_000_000,
        n_clusters=64,
        n_iter=10,
    ),
    KMeansCase(
        name="128d",
        title="blobs 200k x 128, k=1024",
        make=partial(blobs, 128, 1024),
        n_rows=200_000,
        n_clusters=1024,
        n_iter=10,
    ),
    KMeansCase(
        name="768d",
        title="blobs 100k x 768, k=256",
        make=partial(blobs, 768, 256),
        n_rows=100_000,
        n_clusters=256,
        n_iter=10,
    ),
    KMeansCase(
        name="isotropic",
        title="isotropic Gaussian 100k x 128, k=1024",
        make=partial(isotropic, 128),
        n_rows=100_000,
        n_clusters=1024,
        n_iter=10,
    ),
    KMeansCase(
        name="patches",
        title="photo patches 133,140 x 192, k=1024",
        make=patches,
        n_rows=133_140,
        n_clusters=1024,
        n_iter=25,
    ),
    KMeansCase(
        name="pixels",
        title="RGB pixels 546,560 x 3, k=64",
        make=pixels,
        n_rows=546_560,
        n_clusters=64,
        n_iter=25,
    ),
    KMeansCase(
        name="embeddings",
        title="text embeddings, k=1024",
        make=embeddings,
        n_rows=1_000_000,
        n_clusters=1024,
        n_iter=25,
    ),
    KMeansCase(
        name="seeding",
        title="k-means++ seeding, photo patches 133,140 x 192, k=1024",
        make=patches,
        n_rows=133_140,
        n_clusters=1024,
        n_iter=0,
        contenders=("gpuclust-seeding", "sklearn-seeding"),
    ),
]

CASES = {case.name: case for case in _ALL}
