"""Rows that do not lie in memory, slab by slab: slices of the grid along one feature, with the cells beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.neighborhood import Grid

__all__ = ["Slab", "Slabs"]

_MOST_BINS = 1 << 20


class Slab(NamedTuple):
    """Rows of a slab and of the cells beside it, in the data's order.

    ``rows`` (m, d) on the host, ``numbers`` (m,) int64 of them in the data, ``own`` (m,) bool: those of the
    slab itself. Of the slab of all rows, which lie elsewhere, none of the three is needed.
    """

    rows: np.ndarray | None = None
    numbers: np.ndarray | None = None
    own: np.ndarray | None = None

    def of(self, values: np.ndarray) -> np.ndarray:
        """Those of the data's values (n,) that are of these rows."""
        return values if self.numbers is None else values[self.numbers]

    def numbered(self, positions: np.ndarray) -> np.ndarray:
        """The numbers of rows in the data, given their positions here."""
        return positions if self.numbers is None else self.numbers[positions]

    def put(self, found: np.ndarray, values: np.ndarray) -> None:
        """Write what was found (m,) for the slab's own rows into the data's values."""
        if self.numbers is None:
            values[:] = found
        else:
            values[self.numbers[self.own]] = found[self.own]


class Slabs:
    """The slabs of a dataset: every row is in one of them, and all its neighbours are beside it.

    A slab has at most ``most_rows`` rows with those beside it, or else is a single slice of the grid.
    """

    def __init__(self, data: Dataset, grid: Grid, most_rows: int) -> None:
        self._data, self._feature = data, int(grid.order[-1])
        self._origin, self._inverse = float(grid.origin[self._feature]), grid.inverse_side
        n_cells = int(grid.n_cells[self._feature])
        self._cells_per_bin = -(-n_cells // _MOST_BINS)
        self._beside = -(-grid.reach // self._cells_per_bin)
        counts = np.zeros(-(-n_cells // self._cells_per_bin), np.int64)
        for _, rows in self._chunks():
            counts += np.bincount(self._bins(rows), minlength=len(counts))
        self._before = np.concatenate(([0], np.cumsum(counts)))
        self._cuts = self._cut(most_rows)

    def __len__(self) -> int:
        return len(self._cuts) - 1

    def __iter__(self) -> Iterator[Slab]:
        for lo, hi in zip(self._cuts[:-1], self._cuts[1:], strict=True):
            yield self._gather(lo, hi)

    def _cut(self, most_rows: int) -> list[int]:
        """The first bin of each slab, and the number of bins."""
        cuts, n_bins = [0], len(self._before) - 1
        for end in range(1, n_bins):
            if self._n_near(cuts[-1], end + 1) > most_rows:
                cuts.append(end)
        return [*cuts, n_bins]

    def _near(self, lo: int, hi: int) -> tuple[int, int]:
        return max(0, lo - self._beside), min(len(self._before) - 1, hi + self._beside)

    def _n_near(self, lo: int, hi: int) -> int:
        first, end = self._near(lo, hi)
        return int(self._before[end] - self._before[first])

    def _gather(self, lo: int, hi: int) -> Slab:
        first, end = self._near(lo, hi)
        m = self._n_near(lo, hi)
        rows, numbers, own = (
            np.empty((m, self._data.n_features), self._data.dtype),
            np.empty(m, np.int64),
            np.empty(m, bool),
        )
        at = 0
        for start, chunk in self._chunks():
            bins = self._bins(chunk)
            chosen = np.flatnonzero((bins >= first) & (bins < end))
            part = slice(at, at + len(chosen))
            rows[part], numbers[part] = chunk[chosen], chosen + start
            own[part] = (bins[chosen] >= lo) & (bins[chosen] < hi)
            at += len(chosen)
        return Slab(rows, numbers, own)

    def _chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        for part in self._data.parts():
            yield part.start, self._data.engine.to_host(part.rows)

    def _bins(self, rows: np.ndarray) -> Any:
        cells = np.floor((rows[:, self._feature].astype(np.float64) - self._origin) * self._inverse)
        return cells.astype(np.int64) // self._cells_per_bin
