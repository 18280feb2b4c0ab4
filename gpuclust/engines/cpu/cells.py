"""Neighbours by the cells of a grid on the CPU: :class:`gpuclust.engines.neighborhood.Cells`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.engines.cpu import cell_cores, cell_counts
from gpuclust.engines.cpu.cell_rule import Sorted, make_rule
from gpuclust.engines.cpu.cell_tree import plant
from gpuclust.engines.cpu.cell_walk import start_walk
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.neighborhood import Grid, Neighborhood

__all__ = ["CpuCells"]

# Runs of cells a thread gets, or more: the last one to end is then not far behind.
_RUNS = 32


class CpuCells:
    """Rows (m, d) sorted into cells.

    Takes the rows once more and 4 bytes a row, and about 12 bytes for each cell and each node above one; sorting takes
    32 bytes a row for a moment.
    """

    def __init__(self, rows: np.ndarray, grid: Grid, neighborhood: Neighborhood) -> None:
        order, values, self._tree = plant(rows, grid)
        self._starts = self._tree.starts
        self._n_cells = len(self._starts) - 1
        self._data = Sorted(values, rows, order, np.zeros(self._n_cells, np.int32))
        self._rule = make_rule(neighborhood, grid, rows.dtype)
        # Rounded to the precision of the rows, outwards.
        kind, down, up = rows.dtype.type, rows.dtype.type(-np.inf), rows.dtype.type(np.inf)
        surely, hopeless = kind(self._rule.surely), kind(self._rule.hopeless)
        self._limits = np.nextafter(surely, down), np.nextafter(hopeless, up)

    def cores(self, enough: int) -> np.ndarray:
        """See `Cells`."""
        core = np.zeros(len(self._data.order), np.uint8)
        self._run(cell_counts.count, min(enough, 2**62), core)
        return core

    def sums(self, values: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        sums = np.empty(len(self._data.order), np.int64)
        self._run(cell_counts.sum_values, values[self._data.order], sums)
        return sums

    def components(self, core: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        self._partition(core)
        parent = np.arange(self._n_cells, dtype=np.int32)
        crowd = int(self._data.n_core.max(initial=0))
        box, found = (2, len(self._data.values)), (2, crowd if crowd**2 > cell_cores.CROWD else 0)
        self._run(cell_cores.link, parent, scratch=((box, self._data.values.dtype), (found, np.int32)))
        out = np.full(len(core), -1, np.int32)
        cell_cores.name(self._data, self._starts, parent, out)
        return out

    def claim(self, core: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        self._partition(core)
        out = np.where(core != 0, labels, np.int32(-1))
        self._run(cell_cores.claim, labels, out)
        return out

    def nearest(self, core: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        self._partition(core)
        out = np.where(core != 0, np.arange(len(core), dtype=np.int32), np.int32(-1))
        self._run(cell_cores.nearest, out)
        return out

    def _partition(self, core: np.ndarray) -> None:
        self._by_runs(lambda lo, hi: cell_cores.partition(self._data, self._starts, lo, hi, core))

    def _run(self, compiled: Callable[..., Any], *args: Any, scratch: tuple[tuple[Any, Any], ...] = ()) -> None:
        """Call a kernel for runs of cells; ``scratch`` are shapes and dtypes of arrays that each of them gets."""

        def run(lo: int, hi: int) -> None:
            walk, own = start_walk(self._tree, self._rule), [np.empty(*each) for each in scratch]
            compiled(self._data, self._tree, self._rule, walk, *self._limits, lo, hi, *own, *args)

        self._by_runs(run)

    def _by_runs(self, function: Callable[[int, int], Any]) -> None:
        """Call ``function(first cell, end)`` for runs of cells of about as many rows each."""
        m = len(self._data.order)
        n_runs = max(1, min(_RUNS * n_threads(), m // 512))
        cuts = np.searchsorted(self._starts, [m * run // n_runs for run in range(n_runs + 1)])

        def one(lo: int, hi: int) -> None:
            if cuts[lo] < cuts[lo + 1]:
                function(int(cuts[lo]), int(cuts[lo + 1]))

        run_blocks(one, n_runs, 1)
