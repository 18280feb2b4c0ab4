"""DBSCAN: labels for a given eps, judged by whether they are scikit-learn's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case, Contender
from bench.data import Rows, clumps, embeddings, pixels
from bench.dbscan_peers import CONTENDERS

__all__ = ["CASES", "DBSCANCase", "knee", "renumbered"]

MIN_SAMPLES = 10
SCALABLE = ("gpuclust", "dbscan")  # where scikit-learn's lists of neighbours would take more memory than there is


@dataclass(frozen=True, kw_only=True)
class DBSCANCase(Case):
    """One DBSCAN benchmark. Without `eps` it is taken from the knee of the data's own k-distance curve."""

    eps: float | None
    min_samples: int = MIN_SAMPLES
    contenders: tuple[str, ...] = ("gpuclust", "sklearn", "dbscan")

    kind: ClassVar[str] = "dbscan"
    peers: ClassVar[dict[str, Contender]] = CONTENDERS
    headings: ClassVar[tuple[str, ...]] = ("clusters", "core rows", "noise", "labels unlike scikit-learn's")
    footnote: ClassVar[str] = "*: numbers clusters in its own order; before labels are compared they are renumbered."

    def scaled(self, scale: float) -> DBSCANCase:
        """Fewer rows lie further apart: eps grows so that they keep their number of neighbours."""
        n_rows = max(1000, round(self.n_rows * scale))
        if self.eps is None:
            return replace(self, n_rows=n_rows)
        n_features = self.make(1).shape[1]
        return replace(self, n_rows=n_rows, eps=self.eps * (n_rows / self.n_rows) ** (-1 / n_features))

    def arguments(self, rows: Rows) -> tuple[float, int]:
        return knee(rows, self.min_samples) if self.eps is None else self.eps, self.min_samples

    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return rows[:5000], *arguments

    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return {"eps": arguments[0], "min_samples": arguments[1]}

    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """`labels_unlike_sklearn`: rows with another label than scikit-learn's in this run; None where it did not run.

        Core rows count too: a contender with other core rows has at least that many.
        """
        entries = {}
        for name, (labels, cores) in outcomes.items():
            unlike = None
            if "sklearn" in outcomes:
                expected, expected_cores = outcomes["sklearn"]
                own = renumbered(labels, cores) if self.peers[name].own_way else labels
                unlike = max(int((own != expected).sum()), len(np.setxor1d(cores, expected_cores)))
            entries[name] = {
                "n_clusters": int(labels.max()) + 1,
                "n_core": len(cores),
                "n_noise": int((labels < 0).sum()),
                "labels_unlike_sklearn": unlike,
            }
        return entries

    @classmethod
    def described(cls, record: dict[str, Any]) -> str:
        return f"eps={record['eps']:.6g}, min_samples={record['min_samples']}"

    @classmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        unlike = entry["labels_unlike_sklearn"]
        counts = tuple(f"{entry[name]:,}" for name in ("n_clusters", "n_core", "n_noise"))
        return (*counts, "not compared" if unlike is None else f"{unlike:,}")


def renumbered(labels: NDArray[Any], cores: NDArray[Any]) -> NDArray[np.int64]:
    """Labels with clusters numbered by their smallest core row, as scikit-learn does; noise stays -1."""
    first = np.full(int(labels.max()) + 2, len(labels))  # the last one is noise, label -1
    np.minimum.at(first, labels[cores], cores)
    number = np.argsort(np.argsort(first, kind="stable"))
    number[-1] = -1
    return number[labels]


def knee(rows: Rows, k: int, n_sampled: int = 2000) -> float:
    """The distance at the knee of the k-distance curve.

    Distances of sampled rows to their k-th nearest row, themselves included, in order, make a curve; its knee is the
    point furthest from the line between its ends (Satopaa et al., "Finding a kneedle", 2011): below it where a few rows
    are far from all others, above it where a few are closer than the rest.
    """
    sample = rows[:: -(-len(rows) // n_sampled)]
    norms = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    nearest = np.empty(len(sample))
    for start in range(0, len(sample), 64):
        part = sample[start : start + 64]
        squares = norms - 2.0 * (part @ rows.T)
        kth = np.partition(squares, k - 1, axis=1)[:, k - 1]
        nearest[start : start + 64] = kth + np.einsum("ij,ij->i", part, part, dtype=np.float64)
    curve = np.sort(np.sqrt(np.maximum(nearest, 0.0)))
    line = np.linspace(curve[0], curve[-1], len(curve))
    return float(curve[np.argmax(np.abs(line - curve))])


_ALL = [
    DBSCANCase(
        name="dbscan-2d",
        title="DBSCAN, clumps 1M x 2",
        make=partial(clumps, 2, 50, 100.0),
        n_rows=1_000_000,
        eps=0.14,
    ),
    DBSCANCase(
        name="dbscan-3d",
        title="DBSCAN, clumps 1M x 3",
        make=partial(clumps, 3, 50, 50.0),
        n_rows=1_000_000,
        eps=0.32,
    ),
    DBSCANCase(
        name="dbscan-32d",
        title="DBSCAN, clumps 50k x 32",
        make=partial(clumps, 32, 50, 30.0),
        n_rows=50_000,
        eps=8.0,
    ),
    DBSCANCase(
        name="dbscan-384d",
        title="DBSCAN, clumps 20k x 384",
        make=partial(clumps, 384, 50, 30.0),
        n_rows=20_000,
        eps=28.0,
    ),
    DBSCANCase(
        name="dbscan-embeddings",
        title="DBSCAN, text embeddings",
        make=embeddings,
        n_rows=1_000_000,
        eps=None,
    ),
    DBSCANCase(
        name="dbscan-pixels",
        title="DBSCAN, RGB pixels 546,560 x 3",
        make=pixels,
        n_rows=546_560,
        eps=2.0,
    ),
    DBSCANCase(
        name="dbscan-10m",
        title="DBSCAN, clumps 10M x 2",
        make=partial(clumps, 2, 500, 300.0),
        n_rows=10_000_000,
        eps=0.14,
        contenders=SCALABLE,
    ),
    DBSCANCase(
        name="dbscan-wide",
        title="DBSCAN, clumps 180k x 2 with thousands of neighbours each",
        make=partial(clumps, 2, 10, 100.0),
        n_rows=180_000,
        eps=2.2,
        contenders=SCALABLE,
    ),
    DBSCANCase(
        name="dbscan-5m",
        title="DBSCAN, clumps 5M x 3",
        make=partial(clumps, 3, 250, 100.0),
        n_rows=5_000_000,
        eps=0.32,
        contenders=SCALABLE,
    ),
]

CASES = {case.name: case for case in _ALL}
