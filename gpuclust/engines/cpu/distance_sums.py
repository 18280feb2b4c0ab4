"""Sums of distances between two blocks of rows, each pair looked at once: :mod:`gpuclust.engines.distance_sums`.

Rows of one block are packed into panels of one run each, feature by feature, narrow enough for the first-level cache.
Every row of the other block meets a panel in one sweep (:mod:`~gpuclust.engines.cpu.vector.between`), which serves the
sums of the row and of the panel's rows alike. Threads take panels; each has a table of its own for the other block.
"""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.cpu.vector.between import (
    TOGETHER,
    euclidean_of_one,
    euclidean_of_some,
    manhattan_of_one,
    manhattan_of_some,
)
from gpuclust.engines.distance_sums import SumFormat

__all__ = ["distance_sums"]

# Elements of a panel, and the most rows of one: 32 KiB and 64 rows are read from the first-level cache.
_PANEL, _WIDEST = 1 << 12, 64
# Pieces of work a thread gets, if the tables of all pieces stay within so many bytes; one where runs are shorter than
# so many rows, and tables take as long to clear as to fill.
_PIECES, _TABLES, _SHORT = 4, 64 * 2**20, 32


def distance_sums(
    a: np.ndarray, b: np.ndarray | None, runs_a: np.ndarray, runs_b: np.ndarray, form: SumFormat
) -> tuple[np.ndarray, np.ndarray]:
    """See `gpuclust.engines.base.Engine.distance_sums`."""
    columns = a if b is None else b
    values = a.astype(np.float64) * form.scale
    panels = _panels(runs_b, a.shape[1])
    flat = np.zeros(int((panels[:, 3] * a.shape[1]).sum()))
    pack(columns, form.scale, panels, flat)
    sums_b = np.zeros((2, len(runs_a) - 1, len(columns)), np.int64)
    shape = (2, len(runs_b) - 1, len(a))
    each = _PIECES if len(columns) >= _SHORT * (len(runs_b) - 1) else 1
    pieces = max(1, min(each * n_threads(), _TABLES // (8 * int(np.prod(shape)))))
    high, low = form.rounders

    def piece(lo: int, hi: int) -> np.ndarray:
        # Where rows are compared among themselves both directions belong into one table.
        mine = np.zeros(shape, np.int64)
        add_panels(
            values, runs_a, flat, panels[lo:hi], b is None, high, low,
            mine, mine if b is None else sums_b, None if form.metric == "euclidean" else True,
        )  # fmt: skip
        return mine

    # Of n rows compared among themselves the first panels meet the most; pieces are handed out one at a time.
    sums_a = sum(run_blocks(piece, len(panels), -(-len(panels) // pieces)), np.zeros(shape, np.int64))
    bits = np.array(form.rounders).view(np.int64)
    for table, runs in ((sums_a, runs_b), (sums_b, runs_a)):
        table -= bits[:, None, None] * np.diff(runs)[None, :, None]  # modulo 2**64, as they were added
    return sums_a, sums_a if b is None else sums_b


def _panels(runs: np.ndarray, n_features: int) -> np.ndarray:
    """Consecutive rows of one run: run, first row, rows, rows padded to whole vectors, and the place among elements."""
    widest = min(_WIDEST, max(8, _PANEL // n_features // 8 * 8))
    lengths = np.diff(runs)
    pieces = -(-lengths // widest)
    run = np.repeat(np.arange(len(lengths)), pieces)
    within = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = runs[:-1][run] + within * widest
    count = np.minimum(widest, runs[1:][run] - first)
    padded = -(-count // 8) * 8
    place = (np.cumsum(padded) - padded) * n_features
    return np.stack([run, first, count, padded, place], axis=1).astype(np.int64)


@kernel
def pack(data, scale, panels, flat):  # type: ignore[no-untyped-def]
    """Write scaled rows into panels, every eight of them feature by feature; padding is zero."""
    width = data.shape[1]
    for p in range(panels.shape[0]):
        first, count, place = panels[p, 1], panels[p, 2], panels[p, 4]
        for i in range(count):
            start = place + i // 8 * 8 * width + i % 8
            for j in range(width):
                flat[start + 8 * j] = np.float64(data[first + i, j]) * scale


@kernel
def add_panels(values, runs, flat, panels, among, high, low, sums, panel_sums, manhattan):  # type: ignore[no-untyped-def]
    """Add the distances between ``values`` (m, d) and the rows of ``panels`` to the tables of both.

    ``sums`` (2, runs of the panels, m) and ``panel_sums`` (2, ``runs``, rows of the panels) int64. ``among``: the rows
    of the panels are those of ``values``; each pair is then looked at by the panel that comes first. ``manhattan``:
    None or True, so that the compiler knows which.
    """
    row_sums = np.empty(2 * TOGETHER, np.int64)
    for p in range(panels.shape[0]):
        run, first, count, padded, place = panels[p, 0], panels[p, 1], panels[p, 2], panels[p, 3], panels[p, 4]
        columns = np.zeros(2 * padded, np.int64)
        start = first if among else 0
        for r in range(runs.size - 1):
            stop = runs[r + 1]
            i = max(start, runs[r])
            while i < stop:
                # Rows of the panel itself meet it in both roles: there the columns' sums would count twice.
                inside = among and i < first + count
                limit = min(stop, first + count) if inside else stop
                columns[:] = 0
                while i < limit:
                    some = TOGETHER if i + TOGETHER <= limit else 1
                    if manhattan is None:
                        if some == TOGETHER:
                            euclidean_of_some(values, i, flat, place, padded, count, high, low, row_sums, columns)
                        else:
                            euclidean_of_one(values, i, flat, place, padded, count, high, low, row_sums, columns)
                    elif some == TOGETHER:
                        manhattan_of_some(values, i, flat, place, padded, count, high, low, row_sums, columns)
                    else:
                        manhattan_of_one(values, i, flat, place, padded, count, high, low, row_sums, columns)
                    for t in range(some):
                        sums[0, run, i + t] += row_sums[t]
                        sums[1, run, i + t] += row_sums[some + t]
                    i += some
                if not inside:
                    for t in range(count):
                        panel_sums[0, r, first + t] += columns[t]
                        panel_sums[1, r, first + t] += columns[padded + t]
