"""A first look at rows on a device: their largest values, what is not finite; rows of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import SINGLE_PRECISION
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.variants import Variant

__all__ = ["extent", "survey", "unit_rows"]

_NONE = np.uint64(2**64 - 1)


def survey(kernels: Kernels, rows: PlacedRows, column_max: np.ndarray) -> tuple[int, int, float] | None:
    """See :meth:`gpuclust.engines.base.Engine.survey`."""
    xp, (m, d) = kernels.xp, rows.values.shape
    largest, bad = xp.asarray(column_max.view(np.uint64)), xp.full(1, _NONE, np.uint64)
    kernels.launch(
        # A thread's columns repeat, which takes as many threads as columns at least.
        _variant(rows), "survey", max(kernels.blocks(-(-m * d // 8192), 8), -(-d // 256)), 256,
        rows.values, np.int64(m), np.int32(d), largest, bad,
    )  # fmt: skip
    column_max[:] = largest.get().view(np.float64)
    first = int(bad.get()[0])
    if first == int(_NONE):
        return None
    row, column = divmod(first, d)
    return row, column, float(rows.values[row : row + 1, column : column + 1].get()[0, 0])


def extent(kernels: Kernels, rows: PlacedRows) -> tuple[np.ndarray, np.ndarray]:
    """See :meth:`gpuclust.engines.base.Engine.extent`."""
    xp, (m, d) = kernels.xp, rows.values.shape
    low, high = xp.full(d, _NONE, np.uint64), xp.zeros(d, np.uint64)
    kernels.launch(
        Variant("dbscan_grid", rows.macros), "extent", max(kernels.blocks(-(-m * d // 8192), 8), -(-d // 256)), 256,
        rows.values, np.int64(m), np.int32(d), low, high,
    )  # fmt: skip
    return _from_order(low.get()), _from_order(high.get())


def _from_order(bits: np.ndarray) -> np.ndarray:
    """The float64 of which these are `ordered` of kernels/dbscan_grid.cu."""
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, bits ^ sign, ~bits).view(np.float64)


def unit_rows(kernels: Kernels, rows: PlacedRows) -> tuple[Any, int | None]:
    """The rows' values scaled to unit length, and the number of the first row that is zero."""
    xp, (m, d) = kernels.xp, rows.values.shape
    out, zero = xp.empty((m, d), rows.values.dtype), xp.full(1, _NONE, np.uint64)
    kernels.launch(
        _variant(rows), "unit_rows", kernels.blocks(-(-m // 8), 8), 256,
        rows.values, np.int32(m), np.int32(d), out, zero,
    )  # fmt: skip
    first = int(zero.get()[0])
    return out, None if first == int(_NONE) else first


def _variant(rows: PlacedRows) -> Variant:
    return Variant("rows", rows.macros + SINGLE_PRECISION.macros)
