"""What a kernel file is compiled with: macros for the dtypes of rows and of screens, and the compiler's options.

A kernel's name is the same in every variant of its file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from gpuclust.engines.neighborhood import METRICS

__all__ = ["HALF", "SINGLE", "WARPGROUPS", "Macros", "Variant", "metric_macros", "row_macros"]

Macros = tuple[tuple[str, str], ...]

SINGLE: Macros = (("SCREEN", "float"), ("SCREEN_HALF", "0"))
HALF: Macros = (("SCREEN", "__half"), ("SCREEN_HALF", "1"))
WARPGROUPS = ("SCREEN_WGMMA", "1")
_ROW_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
# `-fmad=false`: a product and a sum are contracted only where a kernel writes fmaf. CuPy itself adds `-ftz=true`.
_OPTIONS = ("-std=c++17", "-fmad=false")


def row_macros(dtype: DTypeLike) -> Macros:
    """Macros of kernels that read rows of ``dtype``, float32 or float64."""
    return (("ROW", _ROW_TYPES[np.dtype(dtype)]),)


def metric_macros(metric: str) -> Macros:
    """Macros of kernels that compare rows by ``metric``."""
    return (("METRIC", str(METRICS.index(metric))),)


class Variant(NamedTuple):
    """One compilation of a kernel file. Those that exist: `tests/compilation/variants.py`."""

    file: str
    macros: Macros = ()

    @property
    def label(self) -> str:
        """The macros in words, for messages and reports."""
        return " ".join(f"{name}={value}" for name, value in self.macros) or "plain"

    @property
    def options(self) -> tuple[str, ...]:
        """What the compiler is told, besides the architecture; of 9.0, what no later one has is asked for here."""
        # Beside CuPy's own -arch=sm_90: NVRTC makes one of the two, from 12.9 on.
        architecture = ("-arch=sm_90a",) if WARPGROUPS in self.macros else ()
        return (*_OPTIONS, *architecture, *(f"-D{name}={value}" for name, value in self.macros))
