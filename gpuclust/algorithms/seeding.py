"""First centres: k-means++, k-means||, random rows. Functions of the data and a seed alone.

A row is drawn with probability proportional to a weight by an integer prefix sum: weights are rounded down to multiples
of a common quantum, so their sums are exact and the row that holds a random position does not depend on how the sums
were formed.
"""

from __future__ import annotations

import math
from itertools import repeat
from typing import Any

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import Stream, purpose_stream
from gpuclust.engines import get_engine
from gpuclust.engines.base import DRAW_BLOCK, Engine
from gpuclust.sources import as_source

__all__ = ["parallel", "plus_plus", "random_rows"]

# Quantised weights are rescaled when their total falls below this.
_SMALL_TOTAL = 2**46
# Rows that k-means|| decides about at a time.
_DRAWN_ROWS = 1 << 20


class _Draw:
    """Draws rows with probability proportional to ``values * weights``, engine arrays; values may fall in between."""

    def __init__(self, engine: Engine, values: Any, weights: Any | None) -> None:
        self._engine, self._values, self._weights = engine, values, weights
        self._rescale()

    def refresh(self) -> None:
        """Take in changed values."""
        self._sum_up()
        if self.total < _SMALL_TOTAL:
            self._rescale()

    def _rescale(self) -> None:
        largest = self._engine.largest(self._values, self._weights)
        # The total of all rows stays below 2**62.
        exponent = 62 - math.frexp(len(self._values))[1] - math.frexp(largest)[1]
        self.factor = 2.0 ** min(exponent, 1000) if largest > 0 else 1.0
        self._sum_up()

    def _sum_up(self) -> None:
        self._ends = np.cumsum(self._engine.block_totals(self._values, self._weights, self.factor))

    @property
    def total(self) -> int:
        return int(self._ends[-1])

    def row(self, position: int) -> int:
        """The row that holds ``position`` in [0, total)."""
        block = int(np.searchsorted(self._ends, position, side="right"))
        start = block * DRAW_BLOCK
        before = int(self._ends[block - 1]) if block else 0
        rows = slice(start, min(len(self._values), start + DRAW_BLOCK))
        values = self._engine.to_host(self._values[rows])
        if self._weights is not None:
            values = values * self._engine.to_host(self._weights[rows])
        ends = np.cumsum(np.floor(values * self.factor).astype(np.int64))
        return start + int(np.searchsorted(ends, position - before, side="right"))


def plus_plus(
    data: Dataset, n_clusters: int, seed: int, *, n_local_trials: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): each centre is the best of several draws by squared distance.

    Parameters
    ----------
    n_local_trials
        Draws per centre; by default 2 + floor(log(n_clusters)), as scikit-learn.

    Returns
    -------
    centers : ndarray (k, d) float64
    indices : ndarray (k,) int64, the rows they are. Fewer distinct rows than ``n_clusters``: some repeat.
    """
    engine, stream = data.engine, purpose_stream(seed, "k-means++")
    trials = n_local_trials or 2 + int(math.log(n_clusters))
    chosen = np.empty(n_clusters, np.int64)
    chosen[0] = _weighted_row(data, stream)
    first = data.take(chosen[:1]).astype(np.float64)
    frame = data.frame(first)
    nearest = engine.full(data.n_rows, np.inf, np.float64)
    for part in data.parts():
        nearest[part.rows_slice] = engine.distances(part.rows, engine.array(first), None, frame)
    sketch = engine.planner(data.single, data.sample, n_clusters, frame, "auto").choose_for_seeding(trials)
    draw = _Draw(engine, nearest, data.weights)
    for step in range(1, n_clusters):
        if draw.total == 0:
            # Every row of weight coincides with a centre.
            chosen[step:] = chosen[0]
            break
        rows = np.array([draw.row(stream.below(draw.total, step * trials + t)) for t in range(trials)])
        candidates = data.take(rows).astype(np.float64)
        gains, found = np.zeros(trials, np.int64), []
        for part in data.parts():
            mine, closer = engine.gains(part, candidates, nearest[part.rows_slice], draw.factor, frame, sketch)
            gains += mine
            found.append((part.rows_slice, closer))
        best = int(gains.argmax())
        chosen[step] = rows[best]
        # The rows are read once more only where what was found could not be kept.
        again = data.parts() if any(closer is None for _, closer in found) else repeat(None)
        for reread, (place, closer) in zip(again, found, strict=False):
            engine.adopt(reread, candidates, best, nearest[place], frame, sketch, closer)
        draw.refresh()
    return data.take(chosen).astype(np.float64), chosen


def parallel(
    data: Dataset, n_clusters: int, seed: int, *, oversampling: float = 2.0, n_rounds: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """k-means|| (Bahmani et al. 2012): a few passes, each drawing about ``oversampling * n_clusters`` rows at once.

    The rows drawn are weighted by the rows they are nearest to and reduced to ``n_clusters`` by k-means++ among
    themselves. Returns as :func:`plus_plus`.
    """
    engine, stream = data.engine, purpose_stream(seed, "k-means||")
    chosen = np.array([_weighted_row(data, stream)], dtype=np.int64)
    new = data.take(chosen).astype(np.float64)
    frame = data.frame(new)
    nearest = engine.full(data.n_rows, np.inf, np.float64)
    owner = engine.full(data.n_rows, 0, np.int32)
    for turn in range(n_rounds + 1):
        placed = engine.array(new)
        prepared = engine.prepare_centers(placed, frame)
        for part in data.parts():
            state, mine = engine.new_assignment(len(part.rows), beside=part.rows), part.rows_slice
            engine.assign(part.rows, 0, prepared, state, None)
            distances = engine.distances(part.rows, placed, state.labels, frame)
            engine.closer(distances, state.labels, len(chosen) - len(new), nearest[mine], owner[mine])
        draw = _Draw(engine, nearest, data.weights)
        if turn == n_rounds or draw.total == 0:
            break
        drawn = []
        for start in range(0, data.n_rows, _DRAWN_ROWS):
            rows = slice(start, min(data.n_rows, start + _DRAWN_ROWS))
            weights = None if data.weights is None else data.weights[rows]
            chance, at = oversampling * n_clusters / draw.total, (turn + 1) * data.n_rows + start
            drawn.append(start + engine.oversample(nearest[rows], weights, draw.factor, chance, stream, at))
        picked = np.concatenate(drawn)
        if not len(picked):
            continue
        new = data.take(picked).astype(np.float64)
        chosen = np.concatenate([chosen, picked])
    if len(chosen) <= n_clusters:
        extra = plus_plus(data, n_clusters, seed)
        return extra if len(chosen) < n_clusters else (data.take(chosen).astype(np.float64), chosen)
    # Total weights in row order would depend on rounding; counts in quanta of the largest weight do not.
    weights = np.zeros(len(chosen))
    if data.sample_weight is None:
        weights += np.bincount(engine.to_host(owner), minlength=len(chosen))
    else:
        quanta = np.floor(data.sample_weight * (2.0**30 / data.sample_weight.max())).astype(np.int64)
        totals = np.zeros(len(chosen), np.int64)
        np.add.at(totals, engine.to_host(owner), quanta)
        weights += totals
    candidates = Dataset(engine, as_source(data.take(chosen)), weights)
    _, among = plus_plus(candidates, n_clusters, seed)
    return data.take(chosen[among]).astype(np.float64), chosen[among]


def random_rows(data: Dataset, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``n_clusters`` different rows, by weight without replacement. Returns as :func:`plus_plus`."""
    stream = purpose_stream(seed, "random rows")
    if data.sample_weight is None:
        best_keys, best_rows = np.empty(0, np.uint64), np.empty(0, np.int64)
        for start in range(0, data.n_rows, 1 << 20):
            count = min(1 << 20, data.n_rows - start)
            keys = np.concatenate([best_keys, stream.integers(count, start)])
            rows = np.concatenate([best_rows, np.arange(start, start + count)])
            order = np.lexsort((rows, keys))[:n_clusters]
            best_keys, best_rows = keys[order], rows[order]
        chosen = best_rows
    else:
        values = np.ones(data.n_rows)
        # One row after the other leaves the draw: quicker where the values can be changed one by one.
        draw, picked = _Draw(get_engine("cpu"), values, data.sample_weight), []
        for step in range(n_clusters):
            if draw.total == 0:
                # Fewer rows with weight than clusters: the rest are taken in order.
                spare = np.flatnonzero(values > 0)[: n_clusters - step]
                picked += spare.tolist()
                break
            picked.append(draw.row(stream.below(draw.total, step)))
            values[picked[-1]] = 0.0
            draw.refresh()
        chosen = np.array(picked, dtype=np.int64)
    return data.take(chosen).astype(np.float64), chosen


def _weighted_row(data: Dataset, stream: Stream) -> int:
    """One row, by weight."""
    if data.sample_weight is None:
        return stream.below(data.n_rows, 0)
    draw = _Draw(data.engine, data.engine.full(data.n_rows, 1.0, np.float64), data.weights)
    return draw.row(stream.below(draw.total, 0))
