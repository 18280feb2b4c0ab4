"""Which rows are neighbours, and the two ways to find them: by the cells of a grid, and by pairs of tiles.

**The test.** Rows x and y are neighbours when their canonical distance is at most ``limit``, in float64::

    euclidean   sum_j ((x_j - y_j) s)**2  <=  (eps s)**2
    manhattan   sum_j |(x_j - y_j) s|     <=  eps s
    chebyshev   max_j |(x_j - y_j) s|     <=  eps s

with sums in the canonical order (:mod:`gpuclust.engines.canonical`) and s the power of two that brings eps below one:
nothing overflows that matters, and multiplying by s changes no bit. A row is its own neighbour. Every screen brackets
the canonical distance; what lies between its two limits is decided canonically, so that neighbours never depend on how
they were found.

**The grid**, for few features. A row's cell has coordinates c_j = floor((x_j - o_j) / side), computed in float64 with
one rounding each for the difference, the inverse side and the product: an error of at most ``SLACK`` cells while
c_j < ``LARGEST_CELL``. With g_j = max(0, |v_j| - 1) the gap between cells v apart, d features and

    euclidean   side = eps / sqrt(d) (1 - 2**-8)    neighbours only where  sum_j g_j**2 <= d
    manhattan   side = eps / d       (1 - 2**-8)                           sum_j g_j    <= d
    chebyshev   side = eps           (1 - 2**-8)                           max_j g_j    <= 1

rows of one cell are neighbours of each other: their distance is at most eps (1 - 2**-8) (1 + 2 SLACK). Rows of cells
whose gaps add up to d + 1 or more are not: the left-hand side is an integer, and shrinking the side, SLACK and the
rounding of the canonical distance lower the distance by less than one part in 2 d for d <= ``MOST_FEATURES``.

**Numbering** is scikit-learn's: clusters by their smallest core row, a border row belongs to the lowest of its core
neighbours' clusters. Components are therefore named by their smallest row, which no order of unions can change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuclust.engines.base import Part

__all__ = [
    "LARGEST_CELL",
    "METRICS",
    "MOST_FEATURES",
    "SLACK",
    "Cells",
    "Grid",
    "Neighborhood",
    "Pairs",
    "Tell",
    "ignore",
    "make_grid",
]

METRICS = ("euclidean", "manhattan", "chebyshev")
MOST_FEATURES = 8
LARGEST_CELL = 2.0**40
SLACK = 3 * LARGEST_CELL * 2.0**-53
_SHRINK = 1 - 2.0**-8


class Neighborhood(NamedTuple):
    """The test for neighbours.

    Attributes
    ----------
    metric : {"euclidean", "manhattan", "chebyshev"}
    eps : float
    scale : float
        Power of two s of the canonical distance.
    limit : float
        Largest canonical distance of neighbours, scaled: squared for "euclidean".
    """

    metric: str
    eps: float
    scale: float
    limit: float

    @classmethod
    def within(cls, eps: float, metric: str) -> Neighborhood:
        """Rows at most ``eps`` (finite, > 0) apart."""
        scale = math.ldexp(1.0, -min(max(math.frexp(eps)[1], -1000), 1000))
        scaled = eps * scale
        return cls(metric, eps, scale, scaled * scaled if metric == "euclidean" else scaled)


class Grid(NamedTuple):
    """A grid of cells for a neighbourhood.

    Attributes
    ----------
    origin : ndarray (d,) float64
        Lower corner of cell 0.
    inverse_side : float
        Cells per unit of length.
    n_cells : ndarray (d,) int64
        Cells along each feature: coordinates lie in [0, n_cells).
    order : ndarray (d,) int64
        Features in the order in which cells are sorted, the one of most cells last: its runs are longest.
    reach : int
        Largest offset of cells that can hold neighbours, in any one feature.
    budget : int
        Bound of the sum (euclidean: of squares; chebyshev: of the maximum) of gaps.
    """

    origin: np.ndarray
    inverse_side: float
    n_cells: np.ndarray
    order: np.ndarray
    reach: int
    budget: int


def make_grid(neighborhood: Neighborhood, low: np.ndarray, high: np.ndarray) -> Grid | None:
    """The grid for rows with features in [low, high], (d,) float64; None where there are too many features or cells."""
    d = len(low)
    if d > MOST_FEATURES:
        return None
    parts = {"euclidean": math.sqrt(d), "manhattan": d, "chebyshev": 1}[neighborhood.metric]
    inverse = parts / (neighborhood.eps * _SHRINK)
    with np.errstate(over="ignore"):
        farthest = np.floor((high - low) * inverse)
    if not (math.isfinite(inverse) and (farthest < LARGEST_CELL).all()):
        return None
    budget = 1 if neighborhood.metric == "chebyshev" else d
    reach = 1 + (math.isqrt(budget) if neighborhood.metric == "euclidean" else budget)
    n_cells = farthest.astype(np.int64) + 1
    return Grid(np.asarray(low, np.float64), inverse, n_cells, np.argsort(n_cells, kind="stable"), reach, budget)


class Cells(Protocol):
    """Rows sorted into the cells of a grid. Positions are those of the rows (m, d) that were given; m < 2**31.

    Results and per-row arguments are engine arrays (m,); results are new arrays.
    """

    def cores(self, enough: int) -> Any:
        """uint8: 1 for the rows with at least ``enough`` neighbours, themselves included."""

    def sums(self, values: Any) -> Any:
        """int64: the sum of ``values`` (int64) over each row's neighbours, itself included, modulo 2**64."""

    def components(self, core: Any) -> Any:
        """int32: for each core row the smallest position in its component of neighbouring core rows; others -1."""

    def claim(self, core: Any, labels: Any) -> Any:
        """int32: a core row's own label; for others the lowest label among core neighbours, -1 if there are none."""

    def nearest(self, core: Any) -> Any:
        """int32: for each other row the position of its nearest core neighbour, the lowest of equals, or -1.

        For core rows their own position.
        """


#: Is told how much of a comparison is done, and of how much, in units of its own. It may raise to stop.
Tell = Callable[[int, int], None]


def ignore(done: int, total: int) -> None:
    """Tell nobody."""


class Pairs(Protocol):
    """Neighbours among blocks of rows, found by comparing tiles; each pair of rows is looked at once.

    Made for ``n_rows`` < 2**31 rows in all. Row numbers are those of the whole: block ``Part`` s know where they start.
    ``core`` (uint8), ``labels`` (int32), ``values`` and ``sums`` (int64) are engine arrays (n_rows,).

    The order of calls is: ``count`` for all pairs of blocks, ``cores``, ``link``, ``link_missed`` for all pairs if
    ``missed``, ``components``, ``claim``, ``claim_missed`` for all pairs if ``missed``. With weights, ``weigh`` takes
    the place of ``count`` and ``cores``; then everything was missed.

    Comparisons of blocks call ``tell`` while they last, in the caller's thread. When it raises they end soon, and what
    they have counted or joined so far is of no use.
    """

    def block(self, part: Part) -> Any:
        """A part prepared for comparisons; ``part.rows`` must stay valid while the block is used."""

    def count(self, a: Any, b: Any, enough: int, tell: Tell = ignore) -> None:
        """Count the neighbours among blocks a and b, where a is b or lies before it, and remember pairs.

        Core rows that show themselves are joined at once. What there is no memory to remember is missed.
        """

    def weigh(self, a: Any, b: Any, values: Any, sums: Any, tell: Tell = ignore) -> None:
        """Add to ``sums`` the ``values`` of neighbours; those of the row itself too, when a is b."""

    def cores(self, enough: int) -> Any:
        """uint8: 1 for the rows of which at least ``enough`` neighbours were counted, themselves included."""

    @property
    def missed(self) -> bool:
        """Whether some pairs of neighbours are not remembered."""

    def link(self, core: Any) -> None:
        """Join the components of remembered pairs of core rows."""

    def link_missed(self, a: Any, b: Any, core: Any, tell: Tell = ignore) -> None:
        """Join those of the pairs of blocks a and b that were missed."""

    def components(self, core: Any) -> Any:
        """int32: for each core row the smallest row of its component; others -1."""

    def claim(self, core: Any, labels: Any) -> None:
        """Lower the labels of other rows to the lowest of their remembered core neighbours; -1 counts as none."""

    def claim_missed(self, a: Any, b: Any, core: Any, labels: Any, tell: Tell = ignore) -> None:
        """The same for pairs of blocks a and b that were missed."""
