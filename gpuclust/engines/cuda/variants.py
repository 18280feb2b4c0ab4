"""Which compilations of which kernel files exist: the one list that the launcher, the static tests and the docs share.

A kernel file is compiled per dtype of the rows (`ROW`) and of the screen rows (`SCREEN`), by macros, so that a kernel's
name is the same in every variant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["HALF", "OPTIONS", "SINGLE", "VARIANTS", "Macros", "Variant", "row_macros"]

Macros = tuple[tuple[str, str], ...]

# `-fmad=false`: a product and a sum are contracted only where a kernel writes fmaf. CuPy itself adds `-ftz=true`.
OPTIONS = ("-std=c++17", "-fmad=false")

SINGLE: Macros = (("SCREEN", "float"), ("SCREEN_HALF", "0"))
HALF: Macros = (("SCREEN", "__half"), ("SCREEN_HALF", "1"))
# Files that multiply tiles of screen rows and centres: `kernels/tile.cuh`.
TILE_FILES = ("assign",)
_ROW_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def row_macros(dtype: DTypeLike) -> Macros:
    """Macros of kernels that read rows of ``dtype``, float32 or float64."""
    return (("ROW", _ROW_TYPES[np.dtype(dtype)]),)


class Variant(NamedTuple):
    """One compilation of a kernel file."""

    file: str
    macros: Macros = ()

    @property
    def label(self) -> str:
        """The macros in words, as in the budgets and in reports."""
        return " ".join(f"{name}={value}" for name, value in self.macros) or "plain"

    @property
    def options(self) -> tuple[str, ...]:
        """What the compiler is told, besides the architecture."""
        return (*OPTIONS, *(f"-D{name}={value}" for name, value in self.macros))

    @property
    def capability(self) -> int:
        """The least compute capability: tiles of float16 are multiplied by instructions that Ampere brought."""
        return 80 if self.file in TILE_FILES and set(HALF) <= set(self.macros) else 75


_ROWS = [row_macros(dtype) for dtype in _ROW_TYPES]
_SCREENS = [SINGLE, HALF]

VARIANTS = [
    Variant("centers"),
    Variant("seeding"),
    Variant("total"),
    *(Variant(file, rows) for file in ("distances", "plan", "update") for rows in _ROWS),
    *(Variant("rows", rows + screen) for rows in _ROWS for screen in _SCREENS),
]
