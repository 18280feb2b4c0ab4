"""Mini-batch k-means (Sculley, WWW 2010): one centre update per random batch, as scikit-learn's MiniBatchKMeans.

Deviations from scikit-learn, numbered:

1. Batches are a function of (seed, step): row i of a batch is number ``step * size + i`` of a counter-based stream. The
   result does not depend on how the rows are stored.
2. Sums over a batch are exact, so it does not depend on the number of threads or the device either.
3. A rare centre is never moved when no other centre would be left to take its count from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import Stream, purpose_stream
from gpuclust.algorithms.sampling import distinct, draw
from gpuclust.engines.base import Engine, Part
from gpuclust.engines.canonical import Frame, exact_total, make_frame

__all__ = ["Batch", "Monitor", "State", "run", "step"]


@dataclass
class State:
    """What batches update.

    Attributes
    ----------
    centers : ndarray (k, d) float64
    counts : ndarray (k,) float64
        Weight of the rows that each centre has seen: the inverse of its learning rate.
    n_steps : int
        Batches so far.
    rows_since_reassignment : int
    """

    centers: np.ndarray
    counts: np.ndarray
    n_steps: int = 0
    rows_since_reassignment: int = 0

    @classmethod
    def start(cls, centers: np.ndarray) -> Self:
        """The state before the first batch."""
        return cls(centers, np.zeros(len(centers)))


class Batch(NamedTuple):
    """Rows of one update, where the engine computes; ``take`` returns rows at positions of the batch, (m, d)."""

    engine: Engine
    parts: Iterable[Part]
    n_rows: int
    frame: Frame
    take: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def whole(cls, data: Dataset, centers: np.ndarray) -> Self:
        """All rows of a dataset, with their weights."""
        return cls(data.engine, data.parts(), data.n_rows, data.frame(centers), data.take)

    @classmethod
    def drawn(cls, data: Dataset, centers: np.ndarray, indices: np.ndarray) -> Self:
        """Rows at ``indices``, each of weight one: the weights are in the probabilities of being drawn."""
        rows = data.take(indices)
        origin, reach = data.frame(centers).origin, float(np.abs(centers).max())
        frame = make_frame(origin, data.column_max, reach, len(rows), 1.0, data.sample)
        return cls(data.engine, [Part(0, data.engine.place(rows))], len(rows), frame, rows.__getitem__)


def step(
    batch: Batch,
    state: State,
    seed: int,
    *,
    reassignment_ratio: float,
    spherical: bool = False,
    precision: str = "exact",
) -> float:
    """Update ``state`` by one batch; return the inertia of the batch for the centres before the update."""
    engine, frame, k = batch.engine, batch.frame, len(state.centers)
    old = engine.array(state.centers)
    prepared, sums = engine.prepare_centers(old, frame), engine.new_sums(*old.shape)
    squared = []
    for part in batch.parts:
        found = engine.new_assignment(len(part.rows), beside=part.rows)
        engine.assign(part.rows, 0, prepared, found, None, certify=precision == "exact")
        engine.move_rows(part.rows, part.weights, found, frame, sums)
        distances = engine.distances(part.rows, old, found.labels, frame)
        squared.append(engine.to_host(distances if part.weights is None else distances * part.weights))
    sums = engine.sums_on_host(sums)

    state.rows_since_reassignment += batch.n_rows
    reassign = bool((state.counts == 0).any()) or state.rows_since_reassignment >= 10 * k

    weights = sums.weights(frame)
    seen = weights > 0
    counts = state.counts + weights
    centers = state.centers.copy()
    moments = state.counts[:, None] * state.centers + sums.totals(frame)
    centers[seen] = moments[seen] / counts[seen, None]
    if spherical:
        centers = _directions(engine, centers, state.centers, frame)
    if reassign:
        state.rows_since_reassignment = 0
        _reassign(batch, centers, counts, reassignment_ratio, purpose_stream(seed, f"reassignment {state.n_steps}"))
    state.centers, state.counts = centers, counts
    state.n_steps += 1
    return exact_total(squared) / frame.scale / frame.scale


def run(
    data: Dataset,
    state: State,
    seed: int,
    *,
    batch_size: int,
    n_steps: int,
    tol: float,
    max_no_improvement: int | None,
    reassignment_ratio: float,
    spherical: bool = False,
    precision: str = "exact",
    callback: Callable[[int, float, float], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> float:
    """Update ``state`` by up to ``n_steps`` random batches; return the smoothed mean inertia of a row.

    Parameters
    ----------
    batch_size : int
        Rows drawn per step, with replacement, with probabilities proportional to the weights.
    tol : float
        Stop when the squared movement of the centres is at most ``tol`` times the mean variance of the columns; 0:
        never.
    max_no_improvement : int or None
        Stop after as many steps without a new minimum of the smoothed inertia; None: never.
    callback
        Called as ``callback(n_steps, batch_inertia, center_shift)`` after each step, with the mean inertia of a row.
    log
        Called with a line of text on each step.
    """
    draws = purpose_stream(seed, "batches")
    cumulative = None if data.sample_weight is None else np.cumsum(data.sample_weight)
    frame = data.frame(state.centers)
    monitor = Monitor(
        alpha=min(1.0, 2.0 * batch_size / (data.n_rows + 1)),
        tolerance=tol * data.variance(frame) / frame.scale / frame.scale if tol > 0 else 0.0,
        max_no_improvement=max_no_improvement,
    )
    watched = callback is not None or tol > 0
    for number in range(1, n_steps + 1):
        before = state.centers
        indices = draw(draws, data.n_rows, cumulative, batch_size, start=(number - 1) * batch_size)
        batch = Batch.drawn(data, before, indices)
        inertia = step(
            batch, state, seed, reassignment_ratio=reassignment_ratio, spherical=spherical, precision=precision
        )
        inertia /= batch_size
        shift = math.fsum(((state.centers - before) ** 2).ravel()) if watched else 0.0
        if callback is not None:
            callback(number, inertia, shift)
        stop = monitor.stops(number, inertia, shift)
        if log is not None:
            log(f"Minibatch step {number}/{n_steps}: mean batch inertia: {inertia}, ewa inertia: {monitor.average}")
        if stop is not None:
            if log is not None:
                log(f"Converged ({stop}) at step {number}/{n_steps}")
            break
    return monitor.average if monitor.average is not None else inertia


@dataclass
class Monitor:
    """When to stop: an exponentially weighted average of the batches' inertia, and how long it has not improved."""

    alpha: float
    tolerance: float
    max_no_improvement: int | None
    average: float | None = None
    least: float = math.inf
    no_improvement: int = 0

    def stops(self, number: int, inertia: float, shift: float) -> str | None:
        """Return why to stop after step ``number``, counted from 1, or None to go on."""
        if number == 1:  # the inertia of the initial centres
            return None
        self.average = inertia if self.average is None else self.average * (1 - self.alpha) + inertia * self.alpha
        if self.tolerance > 0 and shift <= self.tolerance:
            return "small centers change"
        if self.average < self.least:
            self.least, self.no_improvement = self.average, 0
        else:
            self.no_improvement += 1
        if self.max_no_improvement is not None and self.no_improvement >= self.max_no_improvement:
            return "lack of improvement in inertia"
        return None


def _reassign(batch: Batch, centers: np.ndarray, counts: np.ndarray, ratio: float, stream: Stream) -> None:
    """Move centres that saw less than ``ratio`` of what the most seen one saw to random rows of the batch, in place."""
    rare = counts < ratio * counts.max()
    rare[counts.argmax()] = False
    most = batch.n_rows // 2
    if rare.sum() > most:
        rare[np.argsort(counts, kind="stable")[most:]] = False
    if rare.any():
        centers[rare] = batch.take(distinct(stream, batch.n_rows, int(rare.sum())))
        # As scikit-learn: a count that is small, but not so small that the centre is moved again at once.
        counts[rare] = counts[~rare].min()


def _directions(engine: Engine, centers: np.ndarray, before: np.ndarray, frame: Frame) -> np.ndarray:
    """Centres scaled to unit length; one without direction stays where it was."""
    origin = engine.array(np.zeros((1, centers.shape[1])))
    squared = engine.to_host(engine.distances(engine.place(centers), origin, None, frame))
    lengths = (np.sqrt(squared) / frame.scale)[:, None]
    return np.where(lengths > 0, centers / np.where(lengths > 0, lengths, 1.0), before)
