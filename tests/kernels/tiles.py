"""Launches of the kernels of kernels/tile.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.cuda.warpgroups import WarpgroupTile
from tests.emulation import Module
from tests.kernels.screens import DTYPES, Problem, Rows

# Panel, and whether rows stay in shared memory where they fit.
DEFAULTS = {"settle": (128, True), "decide": (64, True), "gains": (16, False), "dbscan_tiles": (128, True)}
RESIDENT_BYTES = 1024


class State:
    """Labels and bounds of rows; untouched ones are told by what they were made with."""

    def __init__(self, m: int) -> None:
        self.labels = np.full(m, -1, np.int32)
        self.upper, self.lower = np.full((2, m), -1, np.float32)

    def __iter__(self) -> Any:
        return iter((self.labels, self.upper, self.lower))


def launch(
    file: str, name: str, problem: Problem, rows: Rows, *args: Any, blocks: int = 2,
    macros: dict[str, int] | None = None, tile: WarpgroupTile | None = None, **options: Any,
) -> None:  # fmt: skip
    """Kernel ``name`` of a file, whose first arguments are ``rows``; ``macros`` of kernels/tile.cuh, or ``tile``'s."""
    panel, resident = DEFAULTS[file]
    row_bytes, half = int(rows.width) * DTYPES[problem.screen].itemsize, problem.screen == "half"
    numbers = {"PANEL": panel, "SLICE_BYTES": 128, "STAGES": 3, "WARPS": 4}
    numbers |= {"RESIDENT": int(resident and row_bytes <= RESIDENT_BYTES), **(macros or {})}
    types = {"SCREEN": "__half" if half else "float", "SCREEN_HALF": int(half)}
    types["ROW"] = "float" if problem.x.dtype == np.float32 else "double"
    tile_rows = 32 * numbers["WARPS"] if half else 128
    slices = -(-row_bytes // numbers["SLICE_BYTES"]) if numbers["RESIDENT"] else numbers["STAGES"]
    shared = slices * tile_rows * numbers["SLICE_BYTES"] + 4 * tile_rows
    shared += numbers["STAGES"] * numbers["PANEL"] * (numbers["SLICE_BYTES"] + 4)
    threads, defines = tile_rows if half else 256, {**types, **numbers}
    if tile is not None:
        threads, defines, shared = tile.threads, {**types, **dict(tile.macros)}, tile.shared_memory(int(rows.width))
    function = Module(file, defines, **options).get_function(name)
    function((blocks,), (threads,), (*rows, *args), shared_mem=shared)


class Outcome:
    """What settle left: the state, the open rows with their limits, the rows to screen again, the work."""

    def __init__(self, m: int) -> None:
        self.state, self.work = State(m), np.zeros(3, np.uint64)
        self._rows, self._again = np.full((2, m), -7, np.int32)
        self._limits = np.full(m, 7, np.float32)
        self._n_open, self._n_again = np.zeros((2, 1), np.int32)

    @property
    def lists(self) -> tuple[np.ndarray, ...]:
        return self._rows, self._limits, self._n_open, self._again, self._n_again, self.work

    @property
    def open(self) -> dict[int, float]:
        rows = self._rows[: self._n_open[0]].tolist()
        assert len(set(rows)) == len(rows)
        return dict(zip(rows, self._limits.tolist(), strict=False))

    @property
    def again(self) -> list[int]:
        return sorted(self._again[: self._n_again[0]].tolist())


def settle(
    problem: Problem, *, kept: np.ndarray | None = None, needs: np.ndarray | None = None,
    drifts: np.ndarray | None = None, certify: bool = True, state: State | None = None,
    halt: np.ndarray | None = None, **options: Any,
) -> Outcome:  # fmt: skip
    m, k, _ = problem.shape
    outcome = Outcome(m)
    outcome.state = outcome.state if state is None else state
    count = np.array([m if kept is None else len(kept)], np.int32)
    launch(
        "settle", "settle", problem, problem.rows, kept, needs, count, *problem.slots, drifts, np.int32(k),
        np.float32(1 / problem.unit), np.int32(certify), *outcome.state, *outcome.lists, halt, **options,
    )  # fmt: skip
    return outcome
