"""Correctly rounded sums on a device, in any order and any number of parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.variants import Variant

__all__ = ["ExactTotal"]

_BINS = 136
_TOTAL = Variant("total")


class ExactTotal:
    """An exact sum of float64 values >= 0, or of products of two; ``bins`` (136,) int64 on the device."""

    def __init__(self, kernels: Kernels, halt: Any | None = None) -> None:
        self._kernels, self._halt = kernels, halt
        self.bins = kernels.xp.zeros(_BINS, np.int64)

    def add(self, values: Any, weights: Any | None = None) -> None:
        """Add ``values`` (n,), each times its weight."""
        n = len(values)
        blocks = self._kernels.blocks(-(-n // 256), 6)
        self._kernels.launch(_TOTAL, "add_exact", blocks, 32, values, weights, np.int64(n), self.bins, self._halt)

    def join(self, bins: Any) -> None:
        """Add what another total has in its bins."""
        self.bins += bins

    def rounded(self) -> Any:
        """The sum so far, rounded to nearest even, as an array (1,) on the device. The sum begins anew."""
        out = self._kernels.xp.empty(1, np.float64)
        self._kernels.launch(_TOTAL, "round_exact", 1, 32, self.bins, out, self._halt)
        return out
