"""Several GPUs in one process: each holds a part of the rows, and their integer sums are added: the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from gpuclust.engines.base import Assignment, Conditioned, Engine, Movement, Part, Stream, Sums
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda import stripes
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.stripes import (
    Shared,
    SplitAssignment,
    SplitCenters,
    SplitRows,
    SplitSums,
    SplitUpdate,
    here,
    moved,
)
from gpuclust.engines.cuda.totals import ExactTotal
from gpuclust.engines.distance_sums import SumFormat
from gpuclust.engines.mixture import Densities, Mixture, MomentFormat, Moments
from gpuclust.engines.neighborhood import Grid, Neighborhood
from gpuclust.errors import ParameterError

__all__ = ["SplitCudaEngine"]


class SplitCudaEngine(Engine):
    """Engines of several devices as one.

    Parameters
    ----------
    numbers : sequence of int
        The devices; the first one also updates the centres.
    xp : module, optional
        CuPy, or what stands in for it in tests.
    """

    name = "cuda"
    block_rows = 1 << 15

    def __init__(self, numbers: Iterable[int], xp: Any = None) -> None:
        self.engines = [CudaEngine(number, xp) for number in numbers]
        self._first = self.engines[0]

    def _of(self, rows: PlacedRows) -> CudaEngine:
        return next(engine for engine in self.engines if engine.device.number == rows.device)

    def _of_stripe(self, stripe: int) -> CudaEngine:
        return self.engines[stripe % len(self.engines)]

    def _stripes(self, n_rows: int, make: Callable[[CudaEngine, int], Any]) -> list[Any]:
        sizes = [min(stripes.STRIPE, n_rows - first) for first in range(0, n_rows, stripes.STRIPE)]
        return [make(self._of_stripe(i), size) for i, size in enumerate(sizes)]

    # -- data --------------------------------------------------------------------------------------------------------

    def place(self, rows: Any) -> PlacedRows:
        return self._first.place(rows)

    def placed(self, chunks: Iterable[Any], *, keep: bool) -> Iterator[tuple[int, PlacedRows]]:
        for chunk in chunks:
            at, end = chunk.start, chunk.start + len(chunk.rows)
            while at < end:
                stop = min(end, (at // stripes.STRIPE + 1) * stripes.STRIPE)
                rows = chunk.rows[at - chunk.start : stop - chunk.start]
                piece = [type(chunk)(at, rows)]
                yield from self._of_stripe(at // stripes.STRIPE).placed(piece, keep=keep)
                at = stop

    def holds(self, n_bytes: int) -> bool:
        return all(engine.holds(n_bytes // len(self.engines)) for engine in self.engines)

    def array(self, values: np.ndarray) -> Shared:
        return Shared(values)

    def full(self, n_rows: int, value: float, dtype: type) -> SplitRows:
        made = self._stripes(n_rows, lambda engine, size: engine.full(size, value, dtype))
        return SplitRows(self.engines, made, n_rows)

    def to_host(self, array: Any) -> np.ndarray:
        match array:
            case SplitRows():
                return np.concatenate([self._first.to_host(stripe) for stripe in array.stripes])
            case Shared():
                values = next(iter(array._copies.values()))
                return values if isinstance(values, np.ndarray) else self._first.to_host(values)
            case _:
                return self._first.to_host(array)

    def survey(self, rows: PlacedRows, column_max: np.ndarray) -> tuple[int, int, float] | None:
        return self._of(rows).survey(rows, column_max)

    def extent(self, rows: PlacedRows) -> tuple[np.ndarray, np.ndarray]:
        return self._of(rows).extent(rows)

    def unit_rows(self, rows: PlacedRows) -> tuple[PlacedRows, int | None]:
        return self._of(rows).unit_rows(rows)

    # -- assignment and update ---------------------------------------------------------------------------------------

    def planner(self, rows: Any | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> Any:
        return self._first.planner(None, sample, n_clusters, frame, mode)

    def new_assignment(self, n_rows: int, label: int = -1, *, beside: Any | None = None) -> Assignment:
        if beside is not None:
            return self._of(beside).new_assignment(n_rows, label)
        made = self._stripes(n_rows, lambda engine, size: engine.new_assignment(size, label))
        for i, part in enumerate(made):
            part.halt, part.screening = made[i % len(self.engines)].halt, made[i % len(self.engines)].screening
        return SplitAssignment(self.engines, made, n_rows)

    def labelled(self, rows: PlacedRows, labels: np.ndarray) -> Assignment:
        return self._of(rows).labelled(rows, labels)

    def new_sums(self, n_clusters: int, n_features: int) -> SplitSums:
        return SplitSums({engine.device.number: engine.new_sums(n_clusters, n_features) for engine in self.engines})

    def sums_on_host(self, sums: Sums) -> Sums:
        assert isinstance(sums, SplitSums)
        total = Sums.zeros(*sums.high.shape)
        for engine in self.engines:
            total += engine.sums_on_host(sums.on[engine.device.number])
        return total

    def prepare_centers(self, centers: Shared, frame: Frame, movement: Movement | None = None) -> SplitCenters:
        return SplitCenters(centers, frame, movement)

    def assign(
        self,
        rows: PlacedRows,
        start: int,
        centers: SplitCenters,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: Any | None = None,
        certify: bool = True,
    ) -> None:
        engine = self._of(rows)
        part = state[slice(start, start + len(rows))]
        engine.assign(rows, 0, centers.on(engine), part, moved(movement, engine), certify=certify)

    def move_rows(self, rows: PlacedRows, weights: Any | None, state: Assignment, frame: Frame, sums: Sums) -> None:
        assert isinstance(sums, SplitSums)
        engine = self._of(rows)
        if isinstance(state, SplitAssignment):
            state = state[slice(0, len(rows))]
        engine.move_rows(rows, here(weights, engine), state, frame, sums.on[rows.device])

    def update_centers(
        self,
        centers: Shared,
        sums: Sums,
        state: Assignment,
        frame: Frame,
        *,
        dtype: np.dtype,
        spherical: bool = False,
        tolerance: float = 0.0,
        keep_empty: bool = False,
    ) -> SplitUpdate:
        assert isinstance(sums, SplitSums)
        assert isinstance(state, SplitAssignment)
        total = self._first.new_sums(*sums.high.shape)
        for engine in self.engines:
            part = sums.on[engine.device.number]
            arrays = (part.high, part.low, part.weight_high, part.weight_low, part.n_moved)
            high, low, weight_high, weight_low, n_moved = (self._first.array(array) for array in arrays)
            with self._first.device.active():
                total += Sums(high, low, weight_high, weight_low, n_moved)
            with engine.device.active():
                part.n_moved.fill(0)
        return SplitUpdate(
            self._first.update_centers(
                centers.on(self._first), total, state.parts[0], frame,
                dtype=dtype, spherical=spherical, tolerance=tolerance, keep_empty=keep_empty,
            ),
            self._first.device.number, state,
        )  # fmt: skip

    def movement(self, old: Shared, new: Shared, frame: Frame) -> Movement:
        found = self._first.movement(old.on(self._first), new.on(self._first), frame)
        return Movement(*(Shared(array, self._first.device.number) for array in found))

    def resume(self, state: Assignment) -> None:
        assert isinstance(state, SplitAssignment)
        for i, part in enumerate(state.parts[: len(self.engines)]):
            self._of_stripe(i).resume(part)

    def relabel(self, state: Assignment, row: int, label: int) -> None:
        assert isinstance(state, SplitAssignment)
        stripe = row // stripes.STRIPE
        self._of_stripe(stripe).relabel(state.parts[stripe], row - stripe * stripes.STRIPE, label)

    # -- distances ---------------------------------------------------------------------------------------------------

    def distances(self, rows: PlacedRows, centers: Shared, labels: Any | None, frame: Frame) -> Any:
        engine = self._of(rows)
        return engine.distances(rows, centers.on(engine), here(labels, engine), frame)

    def pairwise(self, rows: PlacedRows, centers: Shared, frame: Frame, metric: str = "euclidean") -> np.ndarray:
        engine = self._of(rows)
        return engine.pairwise(rows, centers.on(engine), frame, metric)

    def conditioned(self, rows: PlacedRows, frame: Frame) -> Conditioned:
        return self._of(rows).conditioned(rows, frame)

    def distances_to(self, rows: PlacedRows, others: PlacedRows, which: Any, indices: Any, frame: Frame) -> Any:
        engine = self._of(rows)
        if others.device != rows.device:
            others = engine.place(self.to_host(others))
        return engine.distances_to(rows, others, here(which, engine), here(indices, engine), frame)

    def inertia(self, parts: Iterable[Part], centers: Shared, labels: Any | None, frame: Frame) -> float:
        totals: dict[int, ExactTotal] = {}
        for part in parts:
            engine = self._of(part.rows)
            own = None if labels is None else here(labels[part.rows_slice], engine)
            engine.add_inertia(
                totals, part._replace(weights=here(part.weights, engine)), centers.on(engine), own, frame
            )
        return self._first.rounded_total(totals)

    def distance_sums(
        self, a: PlacedRows, b: PlacedRows | None, runs_a: np.ndarray, runs_b: np.ndarray, form: SumFormat
    ) -> tuple[np.ndarray, np.ndarray]:
        # Blocks come one after the other and are placed where `place` puts them.
        return self._of(a).distance_sums(a, b, runs_a, runs_b, form)

    # -- mixtures ----------------------------------------------------------------------------------------------------

    def mixture_densities(self, rows: PlacedRows, mixture: Mixture, *, responsibilities: bool = False) -> Densities:
        return self._of(rows).mixture_densities(rows, mixture, responsibilities=responsibilities)

    def mixture_moments(
        self, rows: PlacedRows, mixture: Mixture, form: MomentFormat, responsibilities: np.ndarray | None = None
    ) -> Moments:
        return self._of(rows).mixture_moments(rows, mixture, form, responsibilities)

    # -- seeding -----------------------------------------------------------------------------------------------------

    def gains(
        self,
        part: Part,
        candidates: np.ndarray,
        nearest: Any,
        factor: float,
        frame: Frame,
        sketch: Any | None = None,
    ) -> tuple[np.ndarray, None]:
        engine = self._of(part.rows)
        mine = part._replace(weights=here(part.weights, engine))
        return engine.gains(mine, candidates, nearest, factor, frame)

    def adopt(
        self,
        part: Part | None,
        candidates: np.ndarray,
        best: int,
        nearest: Any,
        frame: Frame,
        sketch: Any | None,
        found: Any | None,
    ) -> None:
        assert part is not None
        self._of(part.rows).adopt(part._replace(weights=None), candidates, best, nearest, frame, None, None)

    def closer(self, distances: Any, labels: Any, offset: int, nearest: Any, owner: Any) -> None:
        self._at(distances).closer(distances, labels, offset, nearest, owner)

    def oversample(
        self, nearest: Any, weights: Any | None, factor: float, chance: float, stream: Stream, start: int
    ) -> np.ndarray:
        engine = self._at(nearest)
        return engine.oversample(nearest, here(weights, engine), factor, chance, stream, start)

    def largest(self, values: SplitRows, weights: Shared | None) -> float:
        found = (engine.largest(stripe, here(own, engine)) for engine, stripe, own in self._weighed(values, weights))
        return max(found)

    def block_totals(self, values: SplitRows, weights: Shared | None, factor: float) -> np.ndarray:
        found = [
            engine.block_totals(stripe, here(own, engine), factor)
            for engine, stripe, own in self._weighed(values, weights)
        ]
        return np.concatenate(found)

    # -- neighbours --------------------------------------------------------------------------------------------------

    def cells(self, rows: PlacedRows, grid: Grid, neighborhood: Neighborhood) -> NoReturn:
        raise self._alone()

    def pairs(self, n_rows: int, neighborhood: Neighborhood, frame: Frame, sample: np.ndarray, memory: int) -> NoReturn:
        raise self._alone()

    def _alone(self) -> ParameterError:
        return ParameterError(
            f"device: {len(self.engines)} GPUs are named, but neighbours are sought on one: name one, or 'cuda'."
        )

    def _weighed(self, values: SplitRows, weights: Shared | None) -> Iterator[tuple[CudaEngine, Any, Any | None]]:
        for i, stripe in enumerate(values.stripes):
            own = None if weights is None else weights[i * stripes.STRIPE : i * stripes.STRIPE + len(stripe)]
            yield self._of_stripe(i), stripe, own

    def _at(self, array: Any) -> CudaEngine:
        return next(engine for engine in self.engines if engine.device.number == array.device.id)
