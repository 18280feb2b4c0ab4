"""The Engine: where arithmetic runs. The operations that every algorithm is made of, with their exactness contract.

An engine works on chunks of rows placed where it computes and keeps the per-row state of a fit there. Everything it
returns is a function of its arguments alone: the same bits for any chunking and any number of threads (see
:mod:`gpuclust.engines.canonical`).

*Engine arrays* lie where the engine computes; algorithms slice them by rows, fill them, and hand them back. What is
``np.ndarray`` in a signature lies in host memory on every engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from gpuclust.engines.canonical import Frame, fixed_point

if TYPE_CHECKING:
    from gpuclust.engines.distance_sums import SumFormat
    from gpuclust.engines.mixture import Densities, Mixture, MomentFormat, Moments
    from gpuclust.engines.neighborhood import Cells, Grid, Neighborhood, Pairs

__all__ = [
    "DRAW_BLOCK",
    "Assignment",
    "Conditioned",
    "Engine",
    "Movement",
    "Outcome",
    "Part",
    "Stream",
    "Sums",
    "Update",
    "Work",
]

#: Rows whose weights are summed before one of them is drawn.
DRAW_BLOCK = 1024


class Part(NamedTuple):
    """Rows ``start`` to ``start + len(rows)`` where the engine computes, and their weights (None: ones) there."""

    start: int
    rows: Any
    weights: Any | None = None

    @property
    def rows_slice(self) -> slice:
        return slice(self.start, self.start + len(self.rows))


@dataclass
class Assignment:
    """Per-row state of a fit, engine arrays: 16 bytes a row.

    Attributes
    ----------
    labels, previous : (n,) int32
        Present label of each row (-1 before the first assignment), and the one that the sums hold.
    upper, lower : (n,) float32
        Bounds of the scaled distance to the row's centre (from above) and to all others (from below).
    halt : engine's flag or None
        Once it is set, by `Engine.update_centers`, operations on this state that are still under way do nothing.
    """

    labels: Any
    previous: Any
    upper: Any = None
    lower: Any = None
    halt: Any = None

    def __getitem__(self, rows: slice) -> Assignment:
        """The state of some of the rows: views."""
        upper, lower = (None if bound is None else bound[rows] for bound in (self.upper, self.lower))
        return Assignment(self.labels[rows], self.previous[rows], upper, lower, self.halt)


class Conditioned(NamedTuple):
    """Rows as a search in float32 reads them: t = (x - origin) scale unit of a `Frame`, engine arrays.

    ``values`` (m, w) float32 are t to nearest, w >= d with zeros beyond d; ``squares`` (m,) are |t|**2 to nearest.
    """

    values: Any
    squares: Any


class Movement(NamedTuple):
    """How far centres moved, in scaled units, rounded up.

    ``grown`` (k,) each centre's movement, ``order`` (k,) int32 the centres by falling movement, ``drifts`` (k + 1,)
    their movements in that order, then 0.
    """

    grown: Any
    order: Any
    drifts: Any


class Work(NamedTuple):
    """What an assignment cost: row-centre pairs screened, rows decided canonically, canonical distances computed."""

    screened: int = 0
    decided: int = 0
    distances: int = 0

    def __add__(self, other: tuple[int, ...]) -> Work:  # type: ignore[override]
        return Work(*(mine + yours for mine, yours in zip(self, other, strict=True)))


@dataclass
class Sums:
    """Fixed-point sums of the rows of each cluster: int64 limbs ``high``, ``low`` (k, d) and of the weights, (k,).

    Partial sums of any parts of the data add up, in any order, to the same bits. ``n_moved`` (1,) int64 counts the rows
    moved since the last `Engine.update_centers`.
    """

    high: Any
    low: Any
    weight_high: Any
    weight_low: Any
    n_moved: Any = field(default_factory=lambda: np.zeros(1, np.int64))

    @classmethod
    def zeros(cls, n_clusters: int, n_features: int) -> Sums:
        table, line = (n_clusters, n_features), n_clusters
        return cls(
            np.zeros(table, np.int64), np.zeros(table, np.int64), np.zeros(line, np.int64), np.zeros(line, np.int64)
        )

    def __iadd__(self, other: Sums) -> Sums:
        self.high += other.high
        self.low += other.low
        self.weight_high += other.weight_high
        self.weight_low += other.weight_low
        self.n_moved += other.n_moved
        return self

    def weights(self, frame: Frame) -> np.ndarray:
        """Weight of each cluster, (k,) float64."""
        return fixed_point(self.weight_high, self.weight_low, frame.weight_high, frame.low)

    def totals(self, frame: Frame) -> np.ndarray:
        """Weighted sum of the rows of each cluster, (k, d) float64."""
        return fixed_point(self.high, self.low, frame.high, frame.low)


class Outcome(NamedTuple):
    """What an update of the centres found.

    ``n_moved`` rows in other clusters than before, ``n_empty`` clusters without weight, ``shift`` the squared movement
    of all centres in scaled units, correctly rounded.
    """

    n_moved: int
    n_empty: int
    shift: float


class Update(Protocol):
    """New centres (k, d) float64 as an engine array, and their movement; on a device, perhaps still being computed."""

    @property
    def centers(self) -> Any: ...

    @property
    def movement(self) -> Movement: ...

    def outcome(self) -> Outcome:
        """What the update found; waits until it is known."""


class Stream(Protocol):
    """Counter-based random numbers: SplitMix64 of a key and an index."""

    @property
    def key(self) -> int: ...

    def uniform(self, count: int, start: int = 0) -> np.ndarray: ...


class Engine(ABC):
    """Operations on chunks of rows: (m, d) C-contiguous float32 or float64."""

    name: str
    #: Iterations that may be issued before the outcome of the first of them is read.
    lag: int = 0
    #: Rows of the blocks that `distance_sums` is best called with: their comparison hides what a call costs.
    block_rows: int = 4096

    # -- data --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def place(self, rows: Any) -> Any:
        """Rows (m, d), on the host or a device, where this engine computes. ``len()`` gives m."""

    @abstractmethod
    def placed(self, chunks: Iterable[Any], *, keep: bool) -> Iterator[tuple[int, Any]]:
        """Place chunks (``start``, ``rows``) one after the other; yields the same, perhaps in smaller pieces.

        What is yielded is valid until the next one is asked for or, with ``keep``, for ever.

        Raises
        ------
        DeviceMemoryError
            With ``keep``, when not all rows fit; otherwise when not even the smallest piece does.
        """

    @abstractmethod
    def holds(self, n_bytes: int) -> bool:
        """Whether rows of so many bytes that the host cannot keep should be kept by the engine between passes."""

    @abstractmethod
    def array(self, values: np.ndarray) -> Any:
        """An engine array of these values."""

    @abstractmethod
    def full(self, n_rows: int, value: float, dtype: type) -> Any:
        """An engine array (n_rows,) filled with ``value``."""

    @abstractmethod
    def to_host(self, array: Any) -> np.ndarray:
        """The values of an engine array, or of placed rows."""

    @abstractmethod
    def survey(self, rows: Any, column_max: np.ndarray) -> tuple[int, int, float] | None:
        """Raise ``column_max`` (d,) to max|x| of the rows; return (row, column, value) of the first not finite."""

    @abstractmethod
    def extent(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of each column, (d,) float64."""

    @abstractmethod
    def unit_rows(self, rows: Any) -> tuple[Any, int | None]:
        """The rows scaled to unit length, and the number of the first that is zero (then the others are undefined)."""

    # -- assignment and update ---------------------------------------------------------------------------------------

    @abstractmethod
    def planner(self, rows: Any | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> Any:
        """What decides whether ``assign`` and ``gains`` get a sketch.

        ``planner.choose(centers, labels, movement)`` before an assignment, ``planner.choose_for_seeding(trials)`` once.
        ``rows`` are all the rows where they are one resident part, else None; ``mode`` is "auto", "full" or "sketch".
        """

    @abstractmethod
    def new_assignment(self, n_rows: int, label: int = -1, *, beside: Any | None = None) -> Assignment:
        """State of ``n_rows`` rows that all have ``label`` (-1: none) and are in no sum yet.

        That of all rows of a fit or, if it is to lie ``beside`` placed rows, of these alone.
        """

    @abstractmethod
    def labelled(self, rows: Any, labels: np.ndarray) -> Assignment:
        """State of placed ``rows`` alone, that have ``labels`` (m,) int32 (-1: none) and are in no sum yet."""

    @abstractmethod
    def new_sums(self, n_clusters: int, n_features: int) -> Sums:
        """Sums of no rows, as engine arrays."""

    @abstractmethod
    def sums_on_host(self, sums: Sums) -> Sums:
        """The sums as NumPy arrays."""

    @abstractmethod
    def prepare_centers(self, centers: Any, frame: Frame, movement: Movement | None = None) -> Any:
        """Centres (k, d) float64, engine array within the frame, as :meth:`assign` reads them with ``movement``."""

    @abstractmethod
    def assign(
        self,
        rows: Any,
        start: int,
        centers: Any,
        state: Assignment,
        movement: Movement | None,
        *,
        sketch: Any | None = None,
        certify: bool = True,
    ) -> Work | None:
        """Label rows start..start+m by the argmin of the canonical distance, ties to the lowest index.

        ``movement`` since the state's bounds were true lets rows keep their label unseen; None: every row is screened.
        ``sketch`` of all rows (every row must have a label then) may save most of the work; it never changes the
        result. ``certify=False`` takes the screen's word: labels may then differ where two centres are nearly as close.
        Returns what it cost where that is known at once.
        """

    @abstractmethod
    def move_rows(self, rows: Any, weights: Any | None, state: Assignment, frame: Frame, sums: Sums) -> None:
        """Move the rows whose label is not the ``previous`` one between the ``sums``; then it is the previous one.

        ``state`` is that of these rows alone, (m,); a label of -1 is no cluster.
        """

    @abstractmethod
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
    ) -> Update:
        """Mean of each cluster, rounded to ``dtype`` and held as float64; one without weight keeps its centre.

        ``spherical``: scaled to unit length. The state halts when no row was moved, when the shift is at most
        ``tolerance``, and when there are empty clusters unless ``keep_empty``. Clears ``sums.n_moved``.
        """

    @abstractmethod
    def movement(self, old: Any, new: Any, frame: Frame) -> Movement:
        """Bounds of the movement from centres ``old`` to ``new``, both (k, d) float64."""

    @abstractmethod
    def resume(self, state: Assignment) -> None:
        """Clear the state's halt."""

    @abstractmethod
    def relabel(self, state: Assignment, row: int, label: int) -> None:
        """Give one row a label, with bounds that promise nothing."""

    # -- distances ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def distances(self, rows: Any, centers: Any, labels: Any | None, frame: Frame) -> Any:
        """Canonical distance of each row to ``centers[labels]`` (None: the first), (m,) float64, in scaled units."""

    @abstractmethod
    def pairwise(self, rows: Any, centers: Any, frame: Frame, metric: str = "euclidean") -> np.ndarray:
        """Canonical distance of each row to every centre, (m, k) float64, in scaled units.

        ``metric`` as in :mod:`gpuclust.engines.neighborhood`.
        """

    @abstractmethod
    def conditioned(self, rows: Any, frame: Frame) -> Conditioned:
        """The rows in float32, shifted and scaled by the frame: new arrays."""

    @abstractmethod
    def distances_to(self, rows: Any, others: Any, which: Any, indices: Any, frame: Frame) -> Any:
        """Canonical distance of ``rows[which[i]]`` to ``others[indices[i]]``, (p,) float64, in scaled units.

        ``others`` (n, d) are placed rows, of any dtype; ``which`` int32 and ``indices`` int64 (p,) are engine arrays.
        An index of -1 stands for no row: infinity.
        """

    @abstractmethod
    def inertia(self, parts: Iterable[Part], centers: Any, labels: Any | None, frame: Frame) -> float:
        """Weighted sum of the rows' distances to ``centers[labels]`` (None: the first), correctly rounded, scaled."""

    @abstractmethod
    def distance_sums(
        self, a: Any, b: Any | None, runs_a: np.ndarray, runs_b: np.ndarray, form: SumFormat
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the distances of each row of ``a`` to each run of ``b``, and of each row of b to each run of a.

        Placed rows, and where their runs begin and end, (r + 1,) int64 from 0 to m. The sums are int64 limbs on the
        host, (2, runs of b, m) and (2, runs of a, rows of b): see :mod:`gpuclust.engines.distance_sums`. ``b`` None: a
        itself, and ``runs_b`` is ``runs_a``; each pair is then looked at once, and both tables are the same.
        """

    # -- mixtures ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def mixture_densities(self, rows: Any, mixture: Mixture, *, responsibilities: bool = False) -> Densities:
        """Labels and log-densities of the rows, on the host, and if asked for the responsibilities (m, k)."""

    @abstractmethod
    def mixture_moments(
        self, rows: Any, mixture: Mixture, form: MomentFormat, responsibilities: np.ndarray | None = None
    ) -> Moments:
        """Moments of the rows about the means of each component, on the host, and their deficits.

        The mixture's responsibilities count or, if given, others, (m, k) float64 from 0 to 1: then no deficits do.
        """

    # -- seeding -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def gains(
        self,
        part: Part,
        candidates: np.ndarray,
        nearest: Any,
        factor: float,
        frame: Frame,
        sketch: Any | None = None,
    ) -> tuple[np.ndarray, Any]:
        """How much each candidate (l, d) float64 would lower the rows' integer weights: (l,) int64.

        The integer weight of a row is floor(nearest * weight * factor), ``nearest`` (m,) float64 its distance to the
        nearest seed. Also returns what :meth:`adopt` may reuse, or None. ``sketch`` is of all rows.
        """

    @abstractmethod
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
        """Lower ``nearest`` to the distance to ``candidates[best]`` where that is closer.

        ``part`` may be None when ``found``, from :meth:`gains`, is not.
        """

    @abstractmethod
    def closer(self, distances: Any, labels: Any, offset: int, nearest: Any, owner: Any) -> None:
        """Where ``distances`` are below ``nearest``: take them, and ``labels + offset`` as ``owner`` (int32)."""

    @abstractmethod
    def oversample(
        self, nearest: Any, weights: Any | None, factor: float, chance: float, stream: Stream, start: int
    ) -> np.ndarray:
        """Positions (int64, rising) where ``stream.uniform`` at ``start`` + position is below weight x ``chance``.

        The weight is floor(nearest * weights * factor).
        """

    @abstractmethod
    def largest(self, values: Any, weights: Any | None) -> float:
        """max(values * weights)."""

    @abstractmethod
    def block_totals(self, values: Any, weights: Any | None, factor: float) -> np.ndarray:
        """Sums of floor(values * weights * factor) over consecutive blocks of ``DRAW_BLOCK`` rows, int64."""

    # -- neighbours --------------------------------------------------------------------------------------------------

    @abstractmethod
    def cells(self, rows: Any, grid: Grid, neighborhood: Neighborhood) -> Cells:
        """Rows, all of them within the grid, sorted into its cells."""

    @abstractmethod
    def pairs(self, n_rows: int, neighborhood: Neighborhood, frame: Frame, sample: np.ndarray, memory: int) -> Pairs:
        """What compares ``n_rows`` rows block by block; ``memory`` bytes may be used to remember pairs.

        ``sample`` (m, d) are some of the rows; the frame has the neighbourhood's scale.
        """
