"""What screens compute in: float16 on tensor cores, or float32 on any GPU."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import accumulation_error
from gpuclust.engines.cuda.variants import HALF, SINGLE, Macros

__all__ = ["HALF_PRECISION", "SINGLE_PRECISION", "Precision", "padded"]

_STEP = 16  # terms that a tensor core adds at once


class Precision(NamedTuple):
    """Macros of a screen's kernels, the dtype of its rows, and ``rho``, about the rounding of a row."""

    macros: Macros
    dtype: np.dtype
    rho: float

    def constants(self, width: int, *, of_centers: bool = False) -> tuple[np.float64, np.float64, np.float64]:
        """``rho``, ``g`` and an absolute part, for vectors of ``width``: the bound of `gpuclust.engines.canonical`.

        A score starts from the centre's constant, about |y|**2 / 2, which the error of the sum is relative to as well:
        hence twice the g for centres. 2**-36 is for the residual norms of a sketch, which are rounded up
        (``SKETCH_SLACK``), and 2**-118 a term for what is flushed to zero.
        """
        gamma = accumulation_error(width + 1, self.dtype) * (2 if of_centers else 1) + 2.0**-36
        return np.float64(self.rho), np.float64(gamma), np.float64(width * 2.0**-118)


HALF_PRECISION = Precision(HALF, np.dtype(np.float16), 2.0**-12)
SINGLE_PRECISION = Precision(SINGLE, np.dtype(np.float32), 2.0**-25)


def padded(width: int) -> int:
    """The width of screen rows: whole steps of the tensor cores."""
    return -(-width // _STEP) * _STEP
