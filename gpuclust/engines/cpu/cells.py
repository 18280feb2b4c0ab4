"""Neighbours by the cells of a grid on the CPU: :class:`gpuclust.engines.neighborhood.Cells`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.engines.cpu import cell_kernels
from gpuclust.engines.cpu.cell_kernels import Sorted, make_rule
from gpuclust.engines.cpu.cell_tree import plant
from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.cpu.union import find
from gpuclust.engines.neighborhood import Grid, Neighborhood

__all__ = ["CpuCells"]

# Runs of cells a thread gets, or more: the last one to end is then not far behind.
_RUNS = 32


class CpuCells:
    """Rows (m, d) sorted into cells.

    Takes the rows once more and 4 bytes a row, and about 12 bytes for each cell and each node above one; sorting takes
    16 bytes a row for a moment.
    """

    def __init__(self, rows: np.ndarray, grid: Grid, neighborhood: Neighborhood) -> None:
        order, values, self._tree = plant(rows, grid)
        self._starts = self._tree.starts
        self._n_cells = len(self._starts) - 1
        self._data = Sorted(values, rows, order, np.zeros(self._n_cells, np.int32))
        self._rule = make_rule(neighborhood, grid, rows.dtype, self._tree.n_columns)
        # Rounded to the precision of the rows, outwards.
        kind, down, up = rows.dtype.type, rows.dtype.type(-np.inf), rows.dtype.type(np.inf)
        surely, hopeless = kind(self._rule.surely), kind(self._rule.hopeless)
        self._limits = np.nextafter(surely, down), np.nextafter(hopeless, up)

    def cores(self, enough: int) -> np.ndarray:
        """See `Cells`."""
        core = np.zeros(len(self._data.order), np.uint8)
        self._run(cell_kernels.count, min(enough, 2**62), core)
        return core

    def sums(self, values: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        sums = np.empty(len(self._data.order), np.int64)
        self._run(cell_kernels.sum_values, values[self._data.order], sums)
        return sums

    def components(self, core: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        self._partition(core)
        parent = np.arange(self._n_cells, dtype=np.int32)
        self._run(cell_kernels.link, parent)
        out = np.full(len(core), -1, np.int32)
        _name_components(self._data, self._starts, parent, out)
        return out

    def claim(self, core: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        self._partition(core)
        out = np.where(core != 0, labels, np.int32(-1))
        self._run(cell_kernels.claim, labels, out)
        return out

    def nearest(self, core: np.ndarray) -> np.ndarray:
        """See `Cells`."""
        self._partition(core)
        out = np.where(core != 0, np.arange(len(core), dtype=np.int32), np.int32(-1))
        self._run(cell_kernels.nearest, out)
        return out

    def _partition(self, core: np.ndarray) -> None:
        self._by_runs(lambda lo, hi: cell_kernels.partition(self._data, self._starts, lo, hi, core))

    def _run(self, compiled: Callable[..., Any], *args: Any) -> None:
        self._by_runs(lambda lo, hi: compiled(self._data, self._tree, self._rule, *self._limits, lo, hi, *args))

    def _by_runs(self, function: Callable[[int, int], Any]) -> None:
        """Call ``function(first cell, end)`` for runs of cells of about as many rows each."""
        m = len(self._data.order)
        n_runs = max(1, min(_RUNS * n_threads(), m // 512))
        cuts = np.searchsorted(self._starts, [m * run // n_runs for run in range(n_runs + 1)])

        def one(lo: int, hi: int) -> None:
            if cuts[lo] < cuts[lo + 1]:
                function(int(cuts[lo]), int(cuts[lo + 1]))

        run_blocks(one, n_runs, 1)


@kernel
def _name_components(data, starts, parent, out):  # type: ignore[no-untyped-def]
    """Give each core row the smallest position in its component."""
    smallest = np.full(parent.size, np.int32(2**31 - 1))
    for cell in range(parent.size):
        root = find(parent, cell)
        for i in range(starts[cell], starts[cell] + data.n_core[cell]):
            smallest[root] = min(smallest[root], data.order[i])
    for cell in range(parent.size):
        root = find(parent, cell)
        for i in range(starts[cell], starts[cell] + data.n_core[cell]):
            out[data.order[i]] = smallest[root]
