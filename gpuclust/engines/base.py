"""The Engine: where arithmetic runs. The operations that every algorithm is made of, with their exactness contract.

An engine works on chunks of rows placed where it computes and keeps the per-row state of a fit there. Everything it
returns is a function of its arguments alone: the same bits for any chunking and any number of threads (see
:mod:`gpuclust.engines.canonical`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.canonical import Frame, fixed_point

__all__ = ["DRAW_BLOCK", "Assignment", "Engine", "Movement", "Sums", "Work"]

#: Rows whose weights are summed before one of them is drawn.
DRAW_BLOCK = 1024


@dataclass
class Assignment:
    """Per-row state of a fit: 16 bytes a row.

    Attributes
    ----------
    labels, previous : ndarray (n,) int32
        Present label of each row (-1 before the first assignment), and the one that the sums hold.
    upper, lower : ndarray (n,) float32
        Bounds of the scaled distance to the row's centre (from above) and to all others (from below).
    """

    labels: Any
    previous: Any
    upper: Any
    lower: Any


class Movement(NamedTuple):
    """How far centres moved, in scaled units, rounded up.

    ``grown`` (k,) each centre's movement, ``order`` (k,) int32 the centres by falling movement, ``drifts`` (k + 1,)
    their movements in that order, then 0.
    """

    grown: Any
    order: Any
    drifts: Any


class Work(NamedTuple):
    """What an assignment cost: row-centre pairs screened, rows decided canonically, canonical distances computed."""

    screened: int = 0
    decided: int = 0
    distances: int = 0

    def __add__(self, other: tuple[int, ...]) -> Work:  # type: ignore[override]
        return Work(*(mine + yours for mine, yours in zip(self, other, strict=True)))


@dataclass
class Sums:
    """Fixed-point sums of the rows of each cluster: int64 limbs ``high``, ``low`` (k, d) and of the weights, (k,).

    Partial sums of any parts of the data add up, in any order, to the same bits.
    """

    high: np.ndarray
    low: np.ndarray
    weight_high: np.ndarray
    weight_low: np.ndarray

    @classmethod
    def zeros(cls, n_clusters: int, n_features: int) -> Sums:
        table, line = (n_clusters, n_features), n_clusters
        return cls(
            np.zeros(table, np.int64), np.zeros(table, np.int64), np.zeros(line, np.int64), np.zeros(line, np.int64)
        )

    def __iadd__(self, other: Sums) -> Sums:
        self.high += other.high
        self.low += other.low
        self.weight_high += other.weight_high
        self.weight_low += other.weight_low
        return self

    def weights(self, frame: Frame) -> np.ndarray:
        """Weight of each cluster, (k,) float64."""
        return fixed_point(self.weight_high, self.weight_low, frame.weight_high, frame.low)

    def totals(self, frame: Frame) -> np.ndarray:
        """Weighted sum of the rows of each cluster, (k, d) float64."""
        return fixed_point(self.high, self.low, frame.high, frame.low)


class Engine(ABC):
    """Operations on chunks of rows: (m, d) C-contiguous float32 or float64."""

    name: str

    @abstractmethod
    def survey(self, rows: Any, column_max: np.ndarray) -> tuple[int, int] | None:
        """Raise ``column_max`` (d,) to max|x| of the rows; return (row, column) of the first non-finite value."""

    @abstractmethod
    def place(self, rows: np.ndarray) -> Any:
        """The rows where this engine computes."""

    @abstractmethod
    def planner(self, rows: Any | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> Any:
        """What decides whether ``assign`` and ``improvements`` get a sketch.

        ``planner.choose(centers, labels, drifts)`` before an assignment, ``planner.choose_for_seeding(n_candidates)``.
        ``rows`` are all the rows where they are resident, else None; ``mode`` is "auto", "full" or "sketch".
        """

    @abstractmethod
    def new_assignment(self, n_rows: int) -> Assignment:
        """State of ``n_rows`` rows with no label yet."""

    @abstractmethod
    def prepare_centers(self, centers: np.ndarray, frame: Frame, movement: Movement | None = None) -> Any:
        """Centres (k, d) float64, within the frame, as :meth:`assign` reads them with the same ``movement``."""

    @abstractmethod
    def movement(self, old: np.ndarray, new: np.ndarray, frame: Frame) -> Movement:
        """Bounds of the movement from centres ``old`` to ``new``, both (k, d) float64."""

    @abstractmethod
    def assign(
        self,
        rows: Any,
        start: int,
        centers: Any,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: Any | None = None,
        certify: bool = True,
    ) -> Work:
        """Label rows start..start+m by the argmin of the canonical distance, ties to the lowest index.

        ``movement`` since the state's bounds were true lets rows keep their label unseen; None: every row is screened.
        ``sketch`` of all rows (every row must have a label then) may save most of the work; it never changes the
        result. ``certify=False`` takes the screen's word: labels may then differ where two centres are nearly as close.
        """

    @abstractmethod
    def move_rows(self, rows: Any, weights: Any | None, before: Any, after: Any, frame: Frame, sums: Sums) -> int:
        """Move rows whose label differs from ``before`` to ``after`` ((m,), -1: none) in ``sums``; return how many."""

    @abstractmethod
    def distances(self, rows: Any, centers: np.ndarray, labels: Any, frame: Frame) -> np.ndarray:
        """Canonical distance of each row to ``centers[labels]``, (m,) float64, in scaled units."""

    @abstractmethod
    def pairwise(self, rows: Any, centers: np.ndarray, frame: Frame) -> np.ndarray:
        """Canonical distance of each row to every centre, (m, k) float64, in scaled units."""

    @abstractmethod
    def improvements(
        self,
        rows: Any,
        candidates: np.ndarray,
        nearest: np.ndarray,
        frame: Frame,
        sketch: Any | None = None,
        start: int = 0,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where a candidate (l, d) float64 is canonically closer to a row than ``nearest`` (m,) float64 says.

        Returns row numbers within the chunk (int64, rising), candidates (int32) and distances (float64, scaled units).
        ``sketch`` is of all rows, this chunk's beginning at ``start``.
        """

    @abstractmethod
    def block_totals(self, values: np.ndarray, weights: np.ndarray | None, factor: float) -> np.ndarray:
        """Sums of floor(values * weights * factor) over consecutive blocks of ``DRAW_BLOCK`` rows, int64."""
