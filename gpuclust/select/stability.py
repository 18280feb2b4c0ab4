"""Stability: are the clusters of one half of the rows those of the other half?

The rows are halved at random; k-means of each half labels the other, and what it says is compared with what that half
says of itself, by the adjusted Rand index (T. Lange, V. Roth, M. Braun, J. Buhmann, "Stability-based validation of
clustering solutions", Neural Computation 16, 2004). 1: the same clusters; 0: no more agreement than by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score

from gpuclust.algorithms.assignment import predict
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.select.fits import fits
from gpuclust.select.progress import Progress
from gpuclust.sources import as_source

__all__ = ["n_halvings", "stability"]

# The fewer rows, the more chance there is in halves, and the less a halving costs: as many as come to so many rows.
_HALVED_ROWS, _FEWEST, _MOST = 20_000, 5, 25


def n_halvings(n_rows: int) -> int:
    """How often so many rows are halved."""
    return min(max(_HALVED_ROWS // n_rows, _FEWEST), _MOST)


def stability(
    data: Dataset, ks: Sequence[int], seed: int, progress: Progress, *, spherical: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Mean agreement of the halves over :func:`n_halvings` halvings, and its standard error, for each of ``ks``.

    (m,) float64 each. NaN for more clusters than a half has rows, and for all if the time is over before the first
    halving is done.
    """
    found: list[np.ndarray] = []
    total = n_halvings(data.n_rows)
    for turn in range(total):
        progress("stability", turn, total)
        agreement = _of_one_halving(data, ks, seed, turn, progress, spherical)
        if agreement is None:
            break
        found.append(agreement)
    else:
        progress("stability", total, total)
    if not found:
        return np.full(len(ks), np.nan), np.full(len(ks), np.nan)
    agreement = np.array(found)
    error = agreement.std(axis=0, ddof=1) / math.sqrt(len(found)) if len(found) > 1 else np.zeros(len(ks))
    return agreement.mean(axis=0), error


def _of_one_halving(
    data: Dataset, ks: Sequence[int], seed: int, turn: int, progress: Progress, spherical: bool
) -> np.ndarray | None:
    order = distinct(purpose_stream(seed, f"halves {turn}"), data.n_rows, data.n_rows)
    middle = data.n_rows // 2
    halves = [Dataset(data.engine, as_source(data.take(np.sort(rows)))) for rows in (order[:middle], order[middle:])]
    possible = [k for k in ks if k <= middle]
    agreement = np.full(len(ks), np.nan)
    runs = [fits(half, possible, seed + side, spherical=spherical) for side, half in enumerate(halves)]
    for at, results in enumerate(zip(*runs, strict=True)):
        if progress.over():
            return None
        scores = [
            adjusted_rand_score(predict(halves[side], results[1 - side].centers), results[side].labels)
            for side in (0, 1)
        ]
        agreement[at] = sum(scores) / 2
    return agreement
