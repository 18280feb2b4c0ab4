"""k-means for one number of clusters after the other on the same opened rows, each fit building on the one before.

A fit starts twice, and the lower inertia is kept: from the first k seeds of a single k-means++ run, whose prefixes are
the seedings of all numbers of clusters; and from the centres of the fit before, each time with the seed that lowers the
inertia most (A. Likas, N. Vlassis, J. Verbeek, "The global k-means clustering algorithm", Pattern Recognition 36, 2003,
with the seeds as candidates). Where clusters lie apart, the second start finds the one that the first has missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpuclust.algorithms import lloyd, seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.lloyd import LloydResult

__all__ = ["fits"]

_MAX_ITER, _TOL = 300, 1e-4


def fits(
    data: Dataset, ks: Sequence[int], seed: int, *, precision: str = "exact", spherical: bool = False
) -> Iterator[LloydResult]:
    """The k-means of ``data`` for each of ``ks``, rising, one at a time as they are asked for.

    Parameters
    ----------
    seed : int
        Everything random follows from it and from row numbers.
    precision, spherical
        As in :func:`gpuclust.algorithms.lloyd.run`.
    """

    def fit(centers: np.ndarray) -> LloydResult:
        return lloyd.run(data, centers, max_iter=_MAX_ITER, tol=_TOL, precision=precision, spherical=spherical)

    # The draws per seed are those of the largest k: a prefix of the seeds is then what a smaller k would have drawn.
    seeds, _ = seeding.plus_plus(data, ks[-1], seed)
    before: LloydResult | None = None
    for k in ks:
        found = fit(seeds[:k])
        if before is not None:
            again = fit(_grown(data, before.centers, before.labels, seeds, k))
            if again.inertia < found.inertia:
                found = again
        before = found
        yield found


def _grown(data: Dataset, centers: np.ndarray, labels: np.ndarray, seeds: np.ndarray, k: int) -> np.ndarray:
    """``centers`` and, until they are ``k``, always the seed that lowers the inertia most."""
    engine, frame = data.engine, data.frame(np.concatenate([centers, seeds]))
    nearest = engine.full(data.n_rows, np.inf, np.float64)
    placed, owner = engine.array(centers), engine.array(labels)
    for part in data.parts():
        mine = part.rows_slice
        nearest[mine] = engine.distances(part.rows, placed, owner[mine], frame)
    while len(centers) < k:
        factor = _factor(engine.largest(nearest, data.weights), data.n_rows)
        gains, closer = np.zeros(len(seeds), np.int64), []
        for part in data.parts():
            gained, found = engine.gains(part, seeds, nearest[part.rows_slice], factor, frame)
            gains += gained
            closer.append(found)
        best = int(gains.argmax())
        centers = np.concatenate([centers, seeds[best : best + 1]])
        if len(centers) < k:
            _adopt(data, seeds, best, nearest, frame, closer)
    return centers


def _adopt(data: Dataset, seeds: np.ndarray, best: int, nearest: Any, frame: Any, closer: list[Any]) -> None:
    for part, found in zip(data.parts(), closer, strict=True):
        data.engine.adopt(part, seeds, best, nearest[part.rows_slice], frame, None, found)


def _factor(largest: float, n_rows: int) -> float:
    """A power of two by which distances become integers whose total stays below 2**62."""
    if largest == 0:
        return 1.0
    return 2.0 ** min(62 - math.frexp(n_rows)[1] - math.frexp(largest)[1], 1000)
