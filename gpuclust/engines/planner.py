"""The decision whether a sketch of the rows screens cheaper than the rows themselves, from a sample. Host arithmetic.

The bound is in :mod:`gpuclust.engines.canonical`. Nothing here affects a result, so the directions may come from any
factorisation and the decision from a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from gpuclust.engines.base import Movement
from gpuclust.engines.canonical import Frame

__all__ = ["Costs", "Host", "SketchPlanner", "SketchUse", "one_blas_thread", "principal_directions"]

WIDTHS = (8, 16, 32, 64, 128)
# A sketch has to promise this share of the full screen's cost before it is used.
WORTH_SKETCHING = 0.8
# Margins tried: the last movement of the centre of rank k / part.
MARGIN_PARTS = (128, 32, 16, 8, 4, 2)
SAMPLED_ROWS = 96
# Iterations for which a plan that uses the sketch is kept.
KEPT_PLANS = 3

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def one_blas_thread(function: Function) -> Function:
    """Let a function's products run on one thread of BLAS."""

    # BLAS threads that wait for work spin, and take the cores from ours.
    @wraps(function)
    def limited(*args: Any, **kwargs: Any) -> Any:
        with _blas().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited  # type: ignore[return-value]


def principal_directions(sample: np.ndarray, n_directions: int) -> np.ndarray:
    """Orthonormal (d, q) float64 basis near the leading principal directions of the centred ``sample`` (m, d).

    Block power iteration with Rayleigh-Ritz (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    d = sample.shape[1]
    block = min(d, n_directions + 8)
    random = np.random.default_rng(0).standard_normal((d, block))
    basis = np.linalg.qr(random)[0]
    for _ in range(3):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    image = sample @ basis
    rotation = np.linalg.eigh(image.T @ image)[1][:, ::-1]
    # The product of orthonormal factors is orthonormal to rounding; once more makes the bound's premise sure.
    return np.linalg.qr(basis @ rotation[:, :n_directions])[0]


class Costs(NamedTuple):
    """What operations cost an engine, in nanoseconds; but for ``planning`` only ratios matter.

    ``distance`` and ``distance_feature`` of a canonical distance, ``packed`` of a feature of a row that a screen reads,
    ``planning`` of a decision: it is asked for where a full pass costs more.
    """

    multiply_add: float
    score: float
    distance: float
    distance_feature: float
    packed: float
    planning: float


class SketchUse(NamedTuple):
    """An engine's sketch of all rows, and how far beyond a row's own centre to look with it, in scaled units."""

    sketch: Any
    margin: Any


class Host(NamedTuple):
    """What the planner asks of an engine.

    ``n_rows`` placed as one part (0: they are not). ``to_host(array)`` and ``gather(array, numbers)`` are values of an
    engine array on the host, ``take(numbers)`` rows (m, d). ``build(basis)`` makes the sketch of all rows.
    """

    n_rows: int
    take: Callable[[np.ndarray], np.ndarray]
    gather: Callable[[Any, np.ndarray], np.ndarray]
    to_host: Callable[[Any], np.ndarray]
    build: Callable[[np.ndarray], Any]
    costs: Costs


class SketchPlanner:
    """Chooses, before each assignment, between the full screen and a sketch, by the cost of a sample of rows."""

    @one_blas_thread
    def __init__(self, host: Host, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> None:
        self._host, self._costs, self._frame, self._mode = host, host.costs, frame, mode
        n, d = host.n_rows, sample.shape[1]
        self._widths = [q for q in WIDTHS if 2 * q < d]
        worth_asking = mode == "sketch" or n * n_clusters * d * self._costs.multiply_add > self._costs.planning
        self._possible = mode != "full" and n > 0 and n_clusters > 1 and bool(self._widths) and worth_asking
        self._wait, self._asked = 0, 0
        self._rank: int | None = None
        if self._possible:
            self._sample = self._scaled(sample)
            self._basis = principal_directions(self._sample - self._sample.mean(0), self._widths[-1])
            chosen = np.unique(np.linspace(0, n - 1, min(n, SAMPLED_ROWS)).astype(np.int64))
            self._probe_numbers = chosen
            self._probe = self._scaled(host.take(chosen))
        self._sketch: Any | None = None
        self._width = 0

    @one_blas_thread
    def choose(self, centers: Any, labels: Any, movement: Movement | None) -> SketchUse | None:
        """The sketch to use with ``centers`` (k, d) and present ``labels`` (n,), or None for the full screen.

        ``movement`` is the last one; None, before the first, when rows have no labels yet: the full screen. The cost of
        each way is that of an iteration in the long run, if the centres went on moving like this: a row looks at the
        centres that move more than the gap between its bounds, and the gap is at most the margin where the sketch has
        looked no further.
        """
        if movement is None:
            return None
        self._asked += 1
        if not self._possible or self._asked <= self._wait:
            return None if self._rank is None else SketchUse(self._made(0), movement.drifts[self._rank])
        k, d = centers.shape
        drifts, own_labels = self._host.to_host(movement.drifts), self._host.gather(labels, self._probe_numbers)
        squared = self._squared_distances(self._scaled(self._host.to_host(centers)))
        distances = np.sqrt(squared.full)
        own = np.take_along_axis(distances, own_labels[:, None].astype(np.int64), axis=1)
        gaps = np.partition(distances, 1, axis=1)[:, 1] - own[:, 0]
        ranks = [-(-k // part) for part in MARGIN_PARTS]
        distance = self._costs.distance + self._costs.distance_feature * d

        def share(margin: float) -> float:
            needed = np.searchsorted(-drifts[:-1], -np.minimum(gaps, margin), side="right") / k
            return float(np.where(needed > 0.5, 1.0, needed).mean())

        costs: dict[tuple[int, int], float] = {}
        for q in self._widths if self._sketch is None else [self._width]:
            least = squared.sketched(q)
            for rank in ranks:
                margin = float(drifts[rank])
                within = float(np.count_nonzero(least <= np.square(own + margin))) / len(own)
                screened = share(margin)
                screen = k * ((q + 1) * self._costs.multiply_add + self._costs.score) + within * distance
                costs[q, rank] = screened * screen + distance
        full = share(np.inf) * k * (d * self._costs.multiply_add + self._costs.score) + distance
        width, self._rank = min(costs, key=lambda pair: costs[pair])
        if self._mode == "auto" and costs[width, self._rank] > WORTH_SKETCHING * full:
            self._rank = None
            # Twice as long a pause after every no: a screen that does not pay now seldom pays soon.
            self._wait = 2 * self._asked
            return None
        self._wait = self._asked + KEPT_PLANS
        return SketchUse(self._made(width), movement.drifts[self._rank])

    @one_blas_thread
    def choose_for_seeding(self, n_candidates: int) -> Any | None:
        """The sketch with which to compare rows with ``n_candidates`` at a time while seeding, or None."""
        if not self._possible:
            return None
        d = self._sample.shape[1]
        # Stand-ins for seeds: half of them chosen already, the others candidates.
        seeds, candidates = self._sample[0::4], self._sample[1::4]
        nearest = self._squared_distances(seeds).full.min(1)
        squared = self._squared_distances(candidates)
        distance = self._costs.distance + self._costs.distance_feature * d

        def cost(q: int) -> float:
            width = d if q == d else q + 1
            least = squared.full if q == d else squared.sketched(q)
            survivors = float((least < nearest[:, None]).mean())
            return (
                width * (n_candidates * self._costs.multiply_add + self._costs.packed)
                + survivors * n_candidates * distance
            )

        best = min([*self._widths, d], key=cost)
        return None if best == d else self._made(best)

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return (rows.astype(np.float64) - self._frame.origin) * self._frame.scale

    def _made(self, width: int) -> Any:
        """The sketch, which is built once, of ``width`` directions."""
        if self._sketch is None:
            self._width = width
            self._sketch = self._host.build(np.ascontiguousarray(self._basis[:, :width]))
        return self._sketch

    def _squared_distances(self, centers: np.ndarray) -> _SquaredDistances:
        return _SquaredDistances(self._probe, centers, self._basis)


class _SquaredDistances:
    """Squared distances of rows (m, d) to centres (k, d), and the sketch's lower bounds of them, for trying widths.

    Plain float64 without bounds of its error: a cost is estimated, nothing is decided.
    """

    def __init__(self, rows: np.ndarray, centers: np.ndarray, basis: np.ndarray) -> None:
        self._p, self._c = rows @ basis, centers @ basis
        self._row_squares, self._center_squares = (
            np.einsum("ij,ij->i", rows, rows),
            np.einsum("ij,ij->i", centers, centers),
        )
        self.full = np.maximum(self._from_scores(rows @ centers.T), 0.0)

    def sketched(self, q: int) -> np.ndarray:
        """Lower bounds (m, k) by the first ``q`` directions and the residual norms."""
        p, c = self._p[:, :q], self._c[:, :q]
        row_rest = np.sqrt(np.maximum(self._row_squares - np.einsum("ij,ij->i", p, p), 0.0))
        center_rest = np.sqrt(np.maximum(self._center_squares - np.einsum("ij,ij->i", c, c), 0.0))
        return self._from_scores(np.column_stack([p, row_rest]) @ np.column_stack([c, center_rest]).T)

    def _from_scores(self, scores: np.ndarray) -> np.ndarray:
        scores *= -2.0
        scores += self._row_squares[:, None]
        scores += self._center_squares
        return scores
