"""The CUDA engine: rows, state and sums on one device, kernels of `kernels/` on the caller's current stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gpuclust.engines.base import Assignment, Conditioned, Engine, Movement, Part, Stream, Sums
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda import assign, distances, gains, seeding, survey, update
from gpuclust.engines.cuda import distance_sums as sums_of_distances
from gpuclust.engines.cuda import mixture as mixtures
from gpuclust.engines.cuda.blocks import pairs_precision
from gpuclust.engines.cuda.cells import CudaCells
from gpuclust.engines.cuda.centers import CudaCenters
from gpuclust.engines.cuda.device import Device, on_device
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.pairs import CudaPairs
from gpuclust.engines.cuda.placement import Placement
from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION
from gpuclust.engines.cuda.rows import PlacedRows, prepare_rows, screen_room
from gpuclust.engines.cuda.sketch import CudaSketch, planner
from gpuclust.engines.cuda.totals import ExactTotal
from gpuclust.engines.distance_sums import SumFormat
from gpuclust.engines.mixture import Densities, Mixture, MomentFormat, Moments
from gpuclust.engines.neighborhood import Grid, Neighborhood
from gpuclust.engines.planner import SketchPlanner, SketchUse

__all__ = ["CudaEngine"]

_TENSOR_CORES = 80  # compute capability whose tensor cores take mma.m16n8k16


class CudaEngine(Engine):
    """CuPy arrays on one device. Only what returns host values waits for the device.

    Parameters
    ----------
    number : int
        The device.
    xp : module, optional
        CuPy, or what stands in for it in tests.
    """

    name = "cuda"
    block_rows = 1 << 15
    lag = 2

    def __init__(self, number: int, xp: Any = None) -> None:
        self.device = Device(number, xp)
        self._xp, self._kernels = self.device.xp, Kernels(self.device)
        self._precision = HALF_PRECISION if self.device.capability >= _TENSOR_CORES else SINGLE_PRECISION
        self._placement = Placement(self._kernels, self._precision)

    # -- data --------------------------------------------------------------------------------------------------------

    @on_device
    def place(self, rows: Any) -> PlacedRows:
        return self._placement.place(rows)

    def placed(self, chunks: Iterable[Any], *, keep: bool) -> Iterator[tuple[int, PlacedRows]]:
        pieces = self._placement.kept(chunks) if keep else self._placement.streamed(chunks)
        while True:
            with self.device.active():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    @on_device
    def holds(self, n_bytes: int) -> bool:
        return self._placement.holds(n_bytes)

    @on_device
    def array(self, values: np.ndarray) -> Any:
        return self._placement.array(values)

    @on_device
    def full(self, n_rows: int, value: float, dtype: type) -> Any:
        return self._xp.full(n_rows, value, dtype)

    @on_device
    def to_host(self, array: Any) -> np.ndarray:
        return (array.values if isinstance(array, PlacedRows) else array).get()

    @on_device
    def survey(self, rows: PlacedRows, column_max: np.ndarray) -> tuple[int, int, float] | None:
        return survey.survey(self._kernels, rows, column_max)

    @on_device
    def extent(self, rows: PlacedRows) -> tuple[np.ndarray, np.ndarray]:
        return survey.extent(self._kernels, rows)

    @on_device
    def unit_rows(self, rows: PlacedRows) -> tuple[PlacedRows, int | None]:
        values, zero = survey.unit_rows(self._kernels, rows)
        return self._placement.place(values), zero

    # -- assignment and update ---------------------------------------------------------------------------------------

    @on_device
    def planner(
        self, rows: PlacedRows | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str
    ) -> SketchPlanner:
        return planner(self._kernels, rows, sample, n_clusters, frame, mode, self._precision)

    @on_device
    def new_assignment(self, n_rows: int, label: int = -1, *, beside: Any | None = None) -> Assignment:
        xp = self._xp
        return assign.CudaAssignment(
            labels=xp.full(n_rows, label, np.int32),
            previous=xp.full(n_rows, -1, np.int32),
            upper=xp.zeros(n_rows, np.float32),
            lower=xp.zeros(n_rows, np.float32),
            halt=xp.zeros(1, np.int32),
            screening=assign.Screening(self._kernels, self._precision),
        )

    @on_device
    def labelled(self, rows: PlacedRows, labels: np.ndarray) -> Assignment:
        state = self.new_assignment(len(rows))
        state.labels = self._placement.array(labels.astype(np.int32, copy=False))
        return state

    @on_device
    def new_sums(self, n_clusters: int, n_features: int) -> Sums:
        table, line = (n_clusters, n_features), n_clusters
        return Sums(*(self._xp.zeros(shape, np.int64) for shape in (table, table, line, line, 1)))

    @on_device
    def sums_on_host(self, sums: Sums) -> Sums:
        limbs = (sums.high, sums.low, sums.weight_high, sums.weight_low, sums.n_moved)
        return Sums(*(limb.get() for limb in limbs))

    @on_device
    def prepare_centers(self, centers: Any, frame: Frame, movement: Movement | None = None) -> CudaCenters:
        return CudaCenters(self._kernels, centers, frame, movement)

    @on_device
    def assign(
        self,
        rows: PlacedRows,
        start: int,
        centers: CudaCenters,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: SketchUse | None = None,
        certify: bool = True,
    ) -> None:
        part = _own(state)[start : start + len(rows)]
        if sketch is not None:
            assert movement is not None
            assign.by_sketch(self._kernels, rows, start, centers, part, movement, sketch)
        else:
            assign.in_full(self._kernels, rows, centers, part, movement, certify)

    @on_device
    def move_rows(self, rows: PlacedRows, weights: Any | None, state: Assignment, frame: Frame, sums: Sums) -> None:
        update.move_rows(self._kernels, rows, weights, state, frame, sums)

    @on_device
    def update_centers(
        self,
        centers: Any,
        sums: Sums,
        state: Assignment,
        frame: Frame,
        *,
        dtype: np.dtype,
        spherical: bool = False,
        tolerance: float = 0.0,
        keep_empty: bool = False,
    ) -> update.CudaUpdate:
        return update.update_centers(
            self._kernels, centers, sums, _own(state), frame,
            dtype=dtype, spherical=spherical, tolerance=tolerance, keep_empty=keep_empty,
        )  # fmt: skip

    @on_device
    def movement(self, old: Any, new: Any, frame: Frame) -> Movement:
        return update.movement(self._kernels, old, new, frame, None)[1]

    @on_device
    def resume(self, state: Assignment) -> None:
        # Copies of records that nobody will read must not land in memory that has been given away.
        self._xp.cuda.get_current_stream().synchronize()
        state.halt.fill(0)

    @on_device
    def relabel(self, state: Assignment, row: int, label: int) -> None:
        state.labels[row : row + 1].fill(label)
        state.lower[row : row + 1].fill(0.0)
        state.upper[row : row + 1].fill(np.inf)

    # -- distances ---------------------------------------------------------------------------------------------------

    @on_device
    def distances(self, rows: PlacedRows, centers: Any, labels: Any | None, frame: Frame) -> Any:
        return distances.own_distances(self._kernels, rows, centers, labels, frame)

    @on_device
    def pairwise(self, rows: PlacedRows, centers: Any, frame: Frame, metric: str = "euclidean") -> np.ndarray:
        return distances.pairwise(self._kernels, rows, centers, frame, metric)

    @on_device
    def conditioned(self, rows: PlacedRows, frame: Frame) -> Conditioned:
        # Not the rows' own screen, which is overwritten when they are screened in another frame.
        screen = screen_room(self._kernels, len(rows), rows.n_features, SINGLE_PRECISION)
        origin = self._kernels.frames[frame].origin
        prepare_rows(self._kernels, rows.values, origin, frame.scale * frame.unit, screen)
        return Conditioned(screen.values, screen.norms)

    @on_device
    def distances_to(self, rows: PlacedRows, others: PlacedRows, which: Any, indices: Any, frame: Frame) -> Any:
        return distances.listed_distances(self._kernels, rows, others, which, indices, frame)

    def inertia(self, parts: Iterable[Part], centers: Any, labels: Any | None, frame: Frame) -> float:
        totals: dict[int, ExactTotal] = {}
        for part in parts:
            self.add_inertia(totals, part, centers, None if labels is None else labels[part.rows_slice], frame)
        return self.rounded_total(totals)

    @on_device
    def add_inertia(
        self, totals: dict[int, ExactTotal], part: Part, centers: Any, labels: Any | None, frame: Frame
    ) -> None:
        """Add the inertia of a part to this device's total; ``labels`` are the part's own."""
        total = totals.setdefault(self.device.number, ExactTotal(self._kernels))
        total.add(distances.own_distances(self._kernels, part.rows, centers, labels, frame), part.weights)

    @on_device
    def rounded_total(self, totals: dict[int, ExactTotal]) -> float:
        """The sum of the devices' totals, correctly rounded."""
        total = ExactTotal(self._kernels)
        for other in totals.values():
            total.join(self._placement.array(other.bins))
        return float(total.rounded().get()[0])

    @on_device
    def distance_sums(
        self, a: PlacedRows, b: PlacedRows | None, runs_a: np.ndarray, runs_b: np.ndarray, form: SumFormat
    ) -> tuple[np.ndarray, np.ndarray]:
        return sums_of_distances.distance_sums(self._kernels, a, b, runs_a, runs_b, form)

    # -- mixtures ----------------------------------------------------------------------------------------------------

    @on_device
    def mixture_densities(self, rows: PlacedRows, mixture: Mixture, *, responsibilities: bool = False) -> Densities:
        return mixtures.densities(self._kernels, rows, mixture, responsibilities=responsibilities)

    @on_device
    def mixture_moments(
        self, rows: PlacedRows, mixture: Mixture, form: MomentFormat, responsibilities: np.ndarray | None = None
    ) -> Moments:
        return mixtures.moments(self._kernels, rows, mixture, form, responsibilities)

    # -- seeding -----------------------------------------------------------------------------------------------------

    @on_device
    def gains(
        self,
        part: Part,
        candidates: np.ndarray,
        nearest: Any,
        factor: float,
        frame: Frame,
        sketch: CudaSketch | None = None,
    ) -> tuple[np.ndarray, None]:
        return gains.gains(self._kernels, part, candidates, nearest, factor, frame, sketch, self._precision), None

    @on_device
    def adopt(
        self,
        part: Part | None,
        candidates: np.ndarray,
        best: int,
        nearest: Any,
        frame: Frame,
        sketch: CudaSketch | None,
        found: None,
    ) -> None:
        assert part is not None
        chosen = candidates[best : best + 1]
        gains.adopt(self._kernels, part, chosen, nearest, frame, sketch, self._precision)

    @on_device
    def closer(self, distances: Any, labels: Any, offset: int, nearest: Any, owner: Any) -> None:
        seeding.closer(self._kernels, distances, labels, offset, nearest, owner)

    @on_device
    def oversample(
        self, nearest: Any, weights: Any | None, factor: float, chance: float, stream: Stream, start: int
    ) -> np.ndarray:
        return seeding.oversample(self._kernels, nearest, weights, factor, chance, stream, start)

    @on_device
    def largest(self, values: Any, weights: Any | None) -> float:
        return seeding.largest(self._kernels, values, weights)

    @on_device
    def block_totals(self, values: Any, weights: Any | None, factor: float) -> np.ndarray:
        return seeding.block_totals(self._kernels, values, weights, factor)

    # -- neighbours --------------------------------------------------------------------------------------------------

    @on_device
    def cells(self, rows: PlacedRows, grid: Grid, neighborhood: Neighborhood) -> CudaCells:
        return CudaCells(self._kernels, rows, grid, neighborhood)

    @on_device
    def pairs(
        self, n_rows: int, neighborhood: Neighborhood, frame: Frame, sample: np.ndarray, memory: int
    ) -> CudaPairs:
        precision = pairs_precision(self._precision, neighborhood, frame, sample)
        return CudaPairs(self._kernels, precision, n_rows, neighborhood, frame, sample, memory)


def _own(state: Assignment) -> assign.CudaAssignment:
    assert isinstance(state, assign.CudaAssignment)
    return state
