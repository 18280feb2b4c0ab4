"""Random rows: drawn with replacement by weight, or distinct. Functions of a stream and of row numbers alone."""

from __future__ import annotations

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import Stream, purpose_stream
from gpuclust.sources import as_source

__all__ = ["distinct", "draw", "sample"]


def draw(stream: Stream, n_rows: int, cumulative: np.ndarray | None, count: int, start: int) -> np.ndarray:
    """Row numbers drawn with replacement, uniformly or by their cumulative weights."""
    uniform = stream.uniform(count, start)
    if cumulative is None:
        return np.minimum((uniform * n_rows).astype(np.int64), n_rows - 1)
    # The first row whose cumulative weight exceeds the draw: never a row without weight.
    last = int(np.searchsorted(cumulative, cumulative[-1]))
    return np.minimum(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"), last)


def distinct(stream: Stream, n: int, size: int) -> np.ndarray:
    """``size`` distinct numbers below ``n``, in random order, with memory of O(size)."""
    if 4 * size >= n:
        return np.argsort(stream.integers(n), kind="stable")[:size]
    found, start = np.empty(0, np.int64), 0
    while len(found) < size:
        drawn = draw(stream, n, None, 2 * size, start)
        start += 2 * size
        candidates = np.concatenate([found, drawn])
        _, first = np.unique(candidates, return_index=True)
        found = candidates[np.sort(first)]
    return found[:size]


def sample(data: Dataset, size: int, seed: int, purpose: str, *, at_least: int = 1) -> Dataset:
    """A dataset of ``size`` distinct rows, in memory, in order of row: a function of (seed, purpose).

    Rows without weight are left out as long as ``at_least`` others remain.
    """
    numbers = None
    if data.sample_weight is not None:
        positive = np.flatnonzero(data.sample_weight > 0)
        numbers = positive if len(positive) >= at_least else None
    available = data.n_rows if numbers is None else len(numbers)
    chosen = np.sort(distinct(purpose_stream(seed, purpose), available, min(size, available)))
    indices = chosen if numbers is None else numbers[chosen]
    weights = None if data.sample_weight is None else data.sample_weight[indices]
    if weights is not None and not weights.any():
        weights = None
    return Dataset(data.engine, as_source(data.take(indices)), weights)
