"""The CPU engine: kernels on blocks of rows, run by threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.base import DRAW_BLOCK, Assignment, Conditioned, Engine, Movement, Part, Stream, Sums, Work
from gpuclust.engines.canonical import Frame, exact_products, exact_total
from gpuclust.engines.cpu.block import SHORT_SCAN, Block
from gpuclust.engines.cpu.cells import CpuCells
from gpuclust.engines.cpu.centers import CpuCenters
from gpuclust.engines.cpu.distance_sums import distance_sums
from gpuclust.engines.cpu.mixture import mixture_densities, mixture_moments
from gpuclust.engines.cpu.pairs import CpuPairs
from gpuclust.engines.cpu.screen import improve
from gpuclust.engines.cpu.sketch import Sketch, planner
from gpuclust.engines.cpu.sums import (
    block_totals,
    distances_to_listed,
    distances_to_own,
    extent,
    move_rows,
    pairwise,
    survey,
)
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.cpu.update import CpuUpdate, movement, update_centers
from gpuclust.engines.cpu.vector import tile_shape
from gpuclust.engines.distance_sums import SumFormat
from gpuclust.engines.mixture import Densities, Mixture, MomentFormat, Moments
from gpuclust.engines.neighborhood import METRICS, Grid, Neighborhood
from gpuclust.engines.planner import SketchPlanner, SketchUse

__all__ = ["CpuEngine"]

# Rows a thread takes at a time: enough to hide the call, few enough to balance and to keep a block's state in cache.
BLOCK = 4096
# Rows compared with seeds at a time: bounds the lists of those that come closer.
PIECE = 1 << 18
# The buffers of sums that threads add into, all together.
SUMS_BUDGET = 256 * 2**20
_NO_WEIGHTS = np.empty(0, np.float64)


class Improvements(NamedTuple):
    """Pairs of a row and a candidate that is closer to it than its nearest seed, and their distance.

    ``rows`` int64 within the part, rising, ``which`` int32, ``distances`` float64, scaled.
    """

    rows: np.ndarray
    which: np.ndarray
    distances: np.ndarray


class CpuEngine(Engine):
    """NumPy arrays, numba kernels, one thread per core."""

    name = "cpu"

    def place(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def placed(self, chunks: Iterable[Any], *, keep: bool) -> Iterator[tuple[int, np.ndarray]]:
        return ((chunk.start, chunk.rows) for chunk in chunks)

    def holds(self, n_bytes: int) -> bool:
        return False  # the engine's memory is the host's

    def array(self, values: np.ndarray) -> np.ndarray:
        return values

    def full(self, n_rows: int, value: float, dtype: type) -> np.ndarray:
        return np.full(n_rows, value, dtype)

    def to_host(self, array: np.ndarray) -> np.ndarray:
        return array

    def survey(self, rows: np.ndarray, column_max: np.ndarray) -> tuple[int, int, float] | None:
        def block(lo: int, hi: int) -> tuple[bool, np.ndarray]:
            largest = np.zeros_like(column_max)
            return survey(rows[lo:hi], largest), largest

        found = run_blocks(block, len(rows), 16 * BLOCK)
        for _, largest in found:
            np.maximum(column_max, largest, out=column_max)
        for b, (finite, _) in enumerate(found):
            if not finite:
                part = rows[b * 16 * BLOCK : (b + 1) * 16 * BLOCK]
                row, column = np.argwhere(~np.isfinite(part))[0]
                return int(b * 16 * BLOCK + row), int(column), float(part[row, column])
        return None

    def extent(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def block(lo: int, hi: int) -> tuple[np.ndarray, np.ndarray]:
            ends = np.full(rows.shape[1], np.inf), np.full(rows.shape[1], -np.inf)
            extent(rows[lo:hi], *ends)
            return ends

        low, high = zip(*run_blocks(block, len(rows), 16 * BLOCK), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def unit_rows(self, rows: np.ndarray) -> tuple[np.ndarray, int | None]:
        largest = np.abs(rows).max(axis=1)
        zero = None if largest.all() else int((largest == 0).argmax())
        # Each row by its own power of two first: a short row among long ones must not vanish when it is squared.
        scaled = np.ldexp(rows.astype(np.float64), -np.frexp(largest)[1][:, None])
        squares = np.empty(len(rows))
        distances_to_own(scaled, np.zeros((1, rows.shape[1])), np.zeros(len(rows), np.int32), 1.0, squares)
        with np.errstate(invalid="ignore"):
            return (scaled / np.sqrt(squares)[:, None]).astype(rows.dtype), zero

    def planner(
        self, rows: np.ndarray | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str
    ) -> SketchPlanner:
        return planner(rows, sample, n_clusters, frame, mode)

    def new_assignment(self, n_rows: int, label: int = -1, *, beside: Any | None = None) -> Assignment:
        return Assignment(
            labels=np.full(n_rows, label, np.int32),
            previous=np.full(n_rows, -1, np.int32),
            upper=np.zeros(n_rows, np.float32),
            lower=np.zeros(n_rows, np.float32),
        )

    def labelled(self, rows: np.ndarray, labels: np.ndarray) -> Assignment:
        state = self.new_assignment(len(rows))
        state.labels[:] = labels
        return state

    def new_sums(self, n_clusters: int, n_features: int) -> Sums:
        return Sums.zeros(n_clusters, n_features)

    def sums_on_host(self, sums: Sums) -> Sums:
        return sums

    def prepare_centers(self, centers: np.ndarray, frame: Frame, movement: Movement | None = None) -> CpuCenters:
        return CpuCenters(centers, frame, movement)

    def assign(
        self,
        rows: np.ndarray,
        start: int,
        centers: CpuCenters,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: SketchUse | None = None,
        certify: bool = True,
    ) -> Work:
        def block(lo: int, hi: int) -> Work:
            # Row numbers inside a block fit int32, however many rows the chunk has.
            bounds = Block(rows[lo:hi], *(a[start + lo : start + hi] for a in (state.labels, state.upper, state.lower)))
            kept, needs = bounds.plan(centers, movement, sketch is not None)
            pairs = int(needs.sum()) * tile_shape(np.float32).centers
            if sketch is not None:
                distances = bounds.screen_sketch(kept, needs, centers, sketch, start + lo)
                return Work(pairs, 0, distances)
            unsettled, distances = bounds.screen_full(kept, needs, centers, certify)
            return Work(pairs, unsettled, distances)

        short = len(centers.values) * rows.shape[1] <= SHORT_SCAN
        return sum(run_blocks(block, len(rows), 4 * BLOCK if short else BLOCK), Work())

    def move_rows(
        self, rows: np.ndarray, weights: np.ndarray | None, state: Assignment, frame: Frame, sums: Sums
    ) -> None:
        # One buffer of sums a thread, as many as the budget allows.
        workers = max(1, min(n_threads(), SUMS_BUDGET // (16 * sums.high.size)))
        share = max(BLOCK, -(-len(rows) // workers))
        before, after = state.previous, state.labels

        def block(lo: int, hi: int) -> Sums:
            part = sums if lo == 0 else Sums.zeros(*sums.high.shape)
            part.n_moved += move_rows(
                rows[lo:hi], _NO_WEIGHTS if weights is None else weights[lo:hi], before[lo:hi], after[lo:hi],
                frame.high, frame.low, frame.weight_high, part.high, part.low, part.weight_high, part.weight_low,
            )  # fmt: skip
            before[lo:hi] = after[lo:hi]
            return part

        for part in run_blocks(block, len(rows), share, workers)[1:]:
            sums += part

    def update_centers(
        self,
        centers: np.ndarray,
        sums: Sums,
        state: Assignment,
        frame: Frame,
        *,
        dtype: np.dtype,
        spherical: bool = False,
        tolerance: float = 0.0,
        keep_empty: bool = False,
    ) -> CpuUpdate:
        return update_centers(centers, sums, frame, dtype, spherical, self.distances)

    def movement(self, old: np.ndarray, new: np.ndarray, frame: Frame) -> Movement:
        return movement(self.distances(old, new, np.arange(len(old), dtype=np.int32), frame))

    def resume(self, state: Assignment) -> None:
        pass  # nothing is ever under way

    def relabel(self, state: Assignment, row: int, label: int) -> None:
        state.labels[row] = label
        state.lower[row], state.upper[row] = 0.0, np.inf

    def distances(self, rows: np.ndarray, centers: np.ndarray, labels: np.ndarray | None, frame: Frame) -> np.ndarray:
        # Kernels read rows by address, and a caller's centres may have any layout.
        centers, out = np.ascontiguousarray(centers), np.empty(len(rows))
        if labels is None:
            labels = np.zeros(len(rows), np.int32)
        run_blocks(
            lambda lo, hi: distances_to_own(rows[lo:hi], centers, labels[lo:hi], frame.scale, out[lo:hi]),
            len(rows),
            BLOCK,
        )
        return out

    def pairwise(self, rows: np.ndarray, centers: np.ndarray, frame: Frame, metric: str = "euclidean") -> np.ndarray:
        centers, out = np.ascontiguousarray(centers), np.empty((len(rows), len(centers)))
        number = METRICS.index(metric)
        run_blocks(lambda lo, hi: pairwise(rows[lo:hi], centers, frame.scale, number, out[lo:hi]), len(rows), BLOCK)
        return out

    def conditioned(self, rows: np.ndarray, frame: Frame) -> Conditioned:
        found = Conditioned(np.empty(rows.shape, np.float32), np.empty(len(rows)))

        def block(lo: int, hi: int) -> None:
            scaled = (rows[lo:hi] - frame.origin) * (frame.scale * frame.unit)
            np.einsum("ij,ij->i", scaled, scaled, out=found.squares[lo:hi])
            with np.errstate(over="ignore"):
                found.values[lo:hi] = scaled

        run_blocks(block, len(rows), BLOCK)
        return found

    def distances_to(
        self, rows: np.ndarray, others: np.ndarray, which: np.ndarray, indices: np.ndarray, frame: Frame
    ) -> np.ndarray:
        out = np.empty(len(indices))
        run_blocks(
            lambda lo, hi: distances_to_listed(rows, others, which[lo:hi], indices[lo:hi], frame.scale, out[lo:hi]),
            len(indices),
            BLOCK,
        )
        return out

    def inertia(self, parts: Iterable[Part], centers: np.ndarray, labels: np.ndarray | None, frame: Frame) -> float:
        def terms() -> Iterator[np.ndarray]:
            for part in parts:
                own = None if labels is None else labels[part.rows_slice]
                squared = self.distances(part.rows, centers, own, frame)
                yield from [squared] if part.weights is None else exact_products(part.weights, squared)

        return exact_total(terms())

    def distance_sums(
        self, a: np.ndarray, b: np.ndarray | None, runs_a: np.ndarray, runs_b: np.ndarray, form: SumFormat
    ) -> tuple[np.ndarray, np.ndarray]:
        return distance_sums(a, b, runs_a, runs_b, form)

    def mixture_densities(self, rows: np.ndarray, mixture: Mixture, *, responsibilities: bool = False) -> Densities:
        return mixture_densities(rows, mixture, responsibilities=responsibilities)

    def mixture_moments(
        self, rows: np.ndarray, mixture: Mixture, form: MomentFormat, responsibilities: np.ndarray | None = None
    ) -> Moments:
        return mixture_moments(rows, mixture, form, responsibilities)

    def gains(
        self,
        part: Part,
        candidates: np.ndarray,
        nearest: np.ndarray,
        factor: float,
        frame: Frame,
        sketch: Sketch | None = None,
    ) -> tuple[np.ndarray, list[Improvements] | None]:
        def quanta(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
            return _quanta(values, None if part.weights is None else part.weights[rows], factor)

        gains = np.zeros(len(candidates), np.int64)
        found: list[Improvements] | None = []
        n_found = 0
        for closer in self._improvements(part, candidates, nearest, frame, sketch):
            rows, which, distances = closer
            np.add.at(gains, which, quanta(rows, nearest[rows]) - quanta(rows, distances))
            n_found += len(rows)
            if found is not None:
                # In the first steps nearly every row comes closer: then the winner's distances are found once more.
                found = [*found, closer] if n_found <= len(part.rows) // 4 else None
        return gains, found

    def adopt(
        self,
        part: Part | None,
        candidates: np.ndarray,
        best: int,
        nearest: np.ndarray,
        frame: Frame,
        sketch: Sketch | None,
        found: list[Improvements] | None,
    ) -> None:
        if found is None:
            assert part is not None
            for rows, _, distances in self._improvements(part, candidates[best : best + 1], nearest, frame, sketch):
                nearest[rows] = distances
        else:
            for rows, which, distances in found:
                nearest[rows[which == best]] = distances[which == best]

    def _improvements(
        self, part: Part, candidates: np.ndarray, nearest: np.ndarray, frame: Frame, sketch: Sketch | None
    ) -> Iterator[Improvements]:
        """Where candidates are closer than ``nearest``, by pieces of the part."""
        centers = CpuCenters(candidates, frame, None)
        panels = centers.panels(np.float32) if sketch is None else centers.sketched(sketch)
        screened = part.rows if sketch is None else sketch.rows[part.rows_slice]
        origin, scale = (frame.origin, frame.scale) if sketch is None else (sketch.origin, 1.0)

        def block(lo: int, hi: int) -> Improvements:
            most = (hi - lo) * len(candidates)
            found = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most)
            n = improve(
                part.rows[lo:hi], centers.values, frame.scale, nearest[lo:hi], screened[lo:hi], origin, scale,
                panels.flat, panels.shape, panels.error, panels.floor, *found,
            )  # fmt: skip
            return Improvements(found[0][:n].astype(np.int64) + lo, found[1][:n].copy(), found[2][:n].copy())

        for first in range(0, len(part.rows), PIECE):
            size = min(PIECE, len(part.rows) - first)
            found = run_blocks(lambda lo, hi, at=first: block(at + lo, at + hi), size, 4 * BLOCK)  # type: ignore[misc]
            yield Improvements(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def closer(
        self, distances: np.ndarray, labels: np.ndarray, offset: int, nearest: np.ndarray, owner: np.ndarray
    ) -> None:
        better = distances < nearest
        nearest[better] = distances[better]
        owner[better] = labels[better] + offset

    def oversample(
        self,
        nearest: np.ndarray,
        weights: np.ndarray | None,
        factor: float,
        chance: float,
        stream: Stream,
        start: int,
    ) -> np.ndarray:
        return np.flatnonzero(stream.uniform(len(nearest), start) < _quanta(nearest, weights, factor) * chance)

    def largest(self, values: np.ndarray, weights: np.ndarray | None) -> float:
        return float((values if weights is None else values * weights).max())

    def block_totals(self, values: np.ndarray, weights: np.ndarray | None, factor: float) -> np.ndarray:
        out = np.empty(-(-len(values) // DRAW_BLOCK), np.int64)

        def block(lo: int, hi: int) -> None:
            rows = slice(lo * DRAW_BLOCK, hi * DRAW_BLOCK)
            block_totals(
                values[rows], _NO_WEIGHTS if weights is None else weights[rows], factor, DRAW_BLOCK, out[lo:hi]
            )

        run_blocks(block, len(out), 64)
        return out

    def cells(self, rows: np.ndarray, grid: Grid, neighborhood: Neighborhood) -> CpuCells:
        return CpuCells(rows, grid, neighborhood)

    def pairs(self, n_rows: int, neighborhood: Neighborhood, frame: Frame, sample: np.ndarray, memory: int) -> CpuPairs:
        return CpuPairs(n_rows, neighborhood, sample, memory)


def _quanta(values: np.ndarray, weights: np.ndarray | None, factor: float) -> np.ndarray:
    """The integer weights of rows."""
    return np.floor((values if weights is None else values * weights) * factor).astype(np.int64)
