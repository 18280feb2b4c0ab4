"""The sketch: rows in a few principal directions plus their residual norm, and the decision whether it pays.

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
from gpuclust.engines.canonical import SKETCH_SLACK, Frame
from gpuclust.engines.cpu.threads import run_blocks

__all__ = ["Sketch", "SketchPlanner", "SketchUse", "principal_directions"]

WIDTHS = (8, 16, 32, 64, 128)
# Cost model in nanoseconds of one core, from measurements of the kernels on Zen 5 (bench/); only ratios matter.
PER_MULTIPLY_ADD = 0.01
PER_SCORE = 0.03
PER_DISTANCE, PER_DISTANCE_FEATURE = 10.0, 0.16
PER_PACKED = 0.3
# A sketch has to promise this share of the full screen's cost before it is used, and a pass this many nanoseconds
# before asking.
WORTH_SKETCHING, WORTH_PLANNING = 0.8, 2e7
# Margins tried: the last movement of the centre of rank k / part.
MARGIN_PARTS = (128, 32, 16, 8, 4, 2)
SAMPLED_ROWS = 96
# Iterations for which a plan that uses the sketch is kept.
KEPT_PLANS = 3


Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _one_blas_thread(function: Function) -> Function:
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


class Sketch:
    """Rows (n, q + 1) float32: q coordinates along ``basis`` (d, q) and the norm of the rest, rounded up.

    ``squares`` (n,) float32 is |t|**2 of each row, ``origin`` the zero shift that ``pack_rows`` needs.
    """

    def __init__(self, basis: np.ndarray, n_rows: int) -> None:
        width = basis.shape[1] + 1
        self.basis = basis
        self.rows = np.empty((n_rows, width), np.float32)
        self.squares = np.empty(n_rows, np.float32)
        self.origin = np.zeros(width)

    @_one_blas_thread
    def fill(self, rows: np.ndarray, start: int, frame: Frame) -> None:
        """Sketch rows start..start+m."""

        def block(lo: int, hi: int) -> None:
            scaled = (rows[lo:hi].astype(np.float64) - frame.origin) * frame.scale
            projected = self.project(scaled)
            self.rows[start + lo : start + hi] = projected[:, :-1]
            self.squares[start + lo : start + hi] = projected[:, -1]

        run_blocks(block, len(rows), 512)

    @_one_blas_thread
    def project_centers(self, scaled: np.ndarray) -> np.ndarray:
        """(k, d) float64 scaled centres -> (k, q + 1) float64: coordinates, residual norm rounded up."""
        return self.project(scaled)[:, :-1]

    def project(self, scaled: np.ndarray) -> np.ndarray:
        """(m, d) float64 scaled rows -> (m, q + 2) float64: coordinates, residual norm rounded up, squared norm."""
        d, q = self.basis.shape
        out = np.empty((len(scaled), q + 2))
        np.matmul(scaled, self.basis, out=out[:, :q])
        squares = np.einsum("ij,ij->i", scaled, scaled)
        inside = np.einsum("ij,ij->i", out[:, :q], out[:, :q])
        slack = SKETCH_SLACK + d * 2.0**-50
        out[:, q] = np.sqrt(np.maximum(squares - inside, 0.0) + slack * squares)
        out[:, q + 1] = squares
        return out


class SketchUse(NamedTuple):
    """A sketch and how far beyond a row's own centre to look with it, in scaled units."""

    sketch: Sketch
    margin: float


class SketchPlanner:
    """Chooses, before each assignment, between the full screen and a sketch, by the cost of a sample of rows."""

    @_one_blas_thread
    def __init__(self, rows: np.ndarray | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> None:
        self._rows, self._frame, self._mode = rows, frame, mode
        n, d = (0 if rows is None else len(rows)), sample.shape[1]
        self._widths = [q for q in WIDTHS if 2 * q < d]
        worth_asking = mode == "sketch" or n * n_clusters * d * PER_MULTIPLY_ADD > WORTH_PLANNING
        self._possible = mode != "full" and rows is not None and n_clusters > 1 and bool(self._widths) and worth_asking
        self._wait, self._asked = 0, 0
        self._rank: int | None = None
        if self._possible:
            self._sample = self._scaled(sample)
            self._basis = principal_directions(self._sample - self._sample.mean(0), self._widths[-1])
            chosen = np.unique(np.linspace(0, n - 1, min(n, SAMPLED_ROWS)).astype(np.int64))
            self._probe_numbers = chosen
            self._probe = self._scaled(rows[chosen])  # type: ignore[index]
        self._sketch: Sketch | None = None

    @_one_blas_thread
    def choose(self, centers: np.ndarray, labels: np.ndarray, movement: Movement | None) -> SketchUse | None:
        """The sketch to use with ``centers`` (k, d) and present ``labels`` (n,), or None for the full screen.

        ``movement`` is the last one; None, before the first, when rows have no labels yet: the full screen. The cost of
        each way is that of an iteration in the long run, if the centres went on moving like this: a row looks at the
        centres that move more than the gap between its bounds, and the gap is at most the margin where the sketch has
        looked no further.
        """
        if movement is None:
            return None
        drifts = movement.drifts
        self._asked += 1
        if not self._possible or self._asked <= self._wait:
            return None if self._rank is None else SketchUse(self._made(0), float(drifts[self._rank]))
        k, d = centers.shape
        squared = self._squared_distances(self._scaled(centers))
        distances = np.sqrt(squared.full)
        own = np.take_along_axis(distances, labels[self._probe_numbers][:, None].astype(np.int64), axis=1)
        gaps = np.partition(distances, 1, axis=1)[:, 1] - own[:, 0]
        ranks = [-(-k // part) for part in MARGIN_PARTS]
        distance = PER_DISTANCE + PER_DISTANCE_FEATURE * d

        def share(margin: float) -> float:
            needed = np.searchsorted(-drifts[:-1], -np.minimum(gaps, margin), side="right") / k
            return float(np.where(needed > 0.5, 1.0, needed).mean())

        costs: dict[tuple[int, int], float] = {}
        for q in self._widths if self._sketch is None else [self._sketch.basis.shape[1]]:
            least = squared.sketched(q)
            for rank in ranks:
                margin = float(drifts[rank])
                within = float(np.count_nonzero(least <= np.square(own + margin))) / len(own)
                screened = share(margin)
                screen = k * ((q + 1) * PER_MULTIPLY_ADD + PER_SCORE) + within * distance
                costs[q, rank] = screened * screen + distance
        full = share(np.inf) * k * (d * PER_MULTIPLY_ADD + PER_SCORE) + distance
        width, self._rank = min(costs, key=lambda pair: costs[pair])
        if self._mode == "auto" and costs[width, self._rank] > WORTH_SKETCHING * full:
            self._rank = None
            # Twice as long a pause after every no: a screen that does not pay now seldom pays soon.
            self._wait = 2 * self._asked
            return None
        self._wait = self._asked + KEPT_PLANS
        return SketchUse(self._made(width), float(drifts[self._rank]))

    @_one_blas_thread
    def choose_for_seeding(self, n_candidates: int) -> Sketch | None:
        """The sketch with which to compare rows with ``n_candidates`` at a time while seeding, or None."""
        if not self._possible:
            return None
        d = self._sample.shape[1]
        # Stand-ins for seeds: half of them chosen already, the others candidates.
        seeds, candidates = self._sample[0::4], self._sample[1::4]
        nearest = self._squared_distances(seeds).full.min(1)
        squared = self._squared_distances(candidates)
        distance = PER_DISTANCE + PER_DISTANCE_FEATURE * d

        def cost(q: int) -> float:
            width = d if q == d else q + 1
            least = squared.full if q == d else squared.sketched(q)
            survivors = float((least < nearest[:, None]).mean())
            return width * (n_candidates * PER_MULTIPLY_ADD + PER_PACKED) + survivors * n_candidates * distance

        best = min([*self._widths, d], key=cost)
        return None if best == d else self._made(best)

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return (rows.astype(np.float64) - self._frame.origin) * self._frame.scale

    def _made(self, width: int) -> Sketch:
        """The sketch, which is built once, of ``width`` directions."""
        if self._sketch is None:
            assert self._rows is not None
            self._sketch = Sketch(np.ascontiguousarray(self._basis[:, :width]), len(self._rows))
            self._sketch.fill(self._rows, 0, self._frame)
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
