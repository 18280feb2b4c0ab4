"""Screen rows and centres as kernels/rows.cu prepares them, in NumPy, and launches of the tile kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests.emulation import Module

DTYPES = {"half": np.float16, "single": np.float32}
PANELS = {"settle": 128, "decide": 64, "gains": 16}


class Vectors(NamedTuple):
    """Rounded vectors (m, width) with the squared norm of each and its part of the screen's error, float64."""

    values: np.ndarray
    norms: np.ndarray
    slacks: np.ndarray


def prepare(x: np.ndarray, origin: np.ndarray, factor: float, screen: str) -> Vectors:
    dtype = DTYPES[screen]
    width = -(-x.shape[1] // 16) * 16
    t = np.zeros((len(x), width))
    t[:, : x.shape[1]] = (x.astype(np.float64) - origin) * factor
    largest = 65504.0 if screen == "half" else 2.0**56
    values = np.clip(t, -largest, largest).astype(dtype)
    norms, residuals = (t * t).sum(axis=1), np.square(t - values.astype(np.float64)).sum(axis=1)
    unit, rho = (2.0**-23, 2.0**-12) if screen == "half" else (2.0**-24, 2.0**-25)
    gamma = 2 * 1.1 * (width + width / 4 + 16) * unit
    return Vectors(values, norms, 0.5 * ((rho + gamma) * norms + residuals / rho) * 1.01 + 2.0**-118 * width)


def rounded_up(values: np.ndarray) -> np.ndarray:
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)


class Rows(NamedTuple):
    """Arguments T, width, norms, slacks of the kernels."""

    values: np.ndarray
    width: np.int32
    norms: np.ndarray
    slacks: np.ndarray


class Centers(NamedTuple):
    """Arguments Y, constants, twice, order of the kernels; slots beyond the centres are padding."""

    values: np.ndarray
    constants: np.ndarray
    twice: np.ndarray
    order: np.ndarray


def screen_rows(x: np.ndarray, origin: np.ndarray, factor: float, screen: str) -> Rows:
    vectors = prepare(x, origin, factor, screen)
    width = np.int32(vectors.values.shape[1])
    return Rows(vectors.values, width, vectors.norms.astype(np.float32), rounded_up(vectors.slacks))


def screen_centers(
    c: np.ndarray, origin: np.ndarray, factor: float, screen: str, panel: int, order: np.ndarray | None = None
) -> Centers:
    order = np.arange(len(c), dtype=np.int32) if order is None else order.astype(np.int32)
    vectors = prepare(c[order], origin, factor, screen)
    padding = -len(c) % panel
    exact = vectors.slacks - 0.5 * vectors.norms
    constants = rounded_up(exact)
    twice = rounded_up(2 * vectors.slacks + (constants - exact))
    return Centers(
        np.pad(vectors.values, ((0, padding), (0, 0))),
        np.pad(constants, (0, padding), constant_values=-1e30),
        np.pad(twice, (0, padding)),
        order,
    )


class Tiles:
    """One variant of a tile kernel's file."""

    def __init__(self, file: str, screen: str, row: np.dtype | type, module: dict[str, Any] | None = None, **macros: int) -> None:
        self.file, self.screen = file, screen
        self.macros = {"PANEL": PANELS[file], "SLICE_BYTES": 128, "STAGES": 3, "RESIDENT": int(file != "gains"), **macros}
        types = {"SCREEN": "__half" if screen == "half" else "float", "SCREEN_HALF": int(screen == "half")}
        types["ROW"] = "float" if np.dtype(row) == np.float32 else "double"
        self._module = Module(file, {**types, **self.macros}, **(module or {}))

    @property
    def panel(self) -> int:
        return self.macros["PANEL"]

    def shared_memory(self, width: int) -> int:
        slice_bytes, stages, rows = self.macros["SLICE_BYTES"], self.macros["STAGES"], self.rows
        slices = -(-width * DTYPES[self.screen]().itemsize // slice_bytes)
        tile = (slices if self.macros["RESIDENT"] else stages) * rows * slice_bytes
        return tile + stages * self.panel * (slice_bytes + 4) + rows * 4

    @property
    def rows(self) -> int:
        return 32 * self.macros.get("WARPS", 4) if self.screen == "half" else 128

    def launch(self, name: str, blocks: int, rows: Rows, *args: Any) -> None:
        """Kernel ``name``, whose first arguments are ``rows``."""
        threads = self.rows if self.screen == "half" else 256
        self._module.get_function(name)(
            (blocks,), (threads,), (*rows, *args), shared_mem=self.shared_memory(int(rows.width))
        )
