"""Sums of distances between blocks of rows on a device: :mod:`gpuclust.engines.distance_sums`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.variants import Variant, metric_macros
from gpuclust.engines.distance_sums import SumFormat

__all__ = ["distance_sums"]

# Rows that a block of threads compares with all columns of its share, and columns of a share, or more.
_ROWS, _SHARE = 32, 256


def distance_sums(
    kernels: Kernels, a: PlacedRows, b: PlacedRows | None, runs_a: np.ndarray, runs_b: np.ndarray, form: SumFormat
) -> tuple[np.ndarray, np.ndarray]:
    """See `gpuclust.engines.base.Engine.distance_sums`."""
    xp, others = kernels.xp, a if b is None else b
    m, n, d = len(a), len(others), a.n_features
    run_of = [
        xp.asarray(np.repeat(np.arange(len(runs) - 1, dtype=np.int32), np.diff(runs))) for runs in (runs_a, runs_b)
    ]
    table_a = xp.zeros((2, len(runs_b) - 1, m), np.int64)
    table_b = table_a if b is None else xp.zeros((2, len(runs_a) - 1, n), np.int64)
    grid = (kernels.blocks(-(-m // _ROWS), 4), min(8, -(-n // _SHARE)))
    kernels.launch(
        Variant("distance_sums", a.macros + metric_macros(form.metric)), "add_distances", grid, 256,
        a.values, np.int32(m), run_of[0], np.int32(len(runs_a) - 1), others.values, np.int32(n), run_of[1],
        np.int32(len(runs_b) - 1), np.int32(d), np.int32(b is None), np.float64(form.scale),
        *map(np.float64, form.rounders), table_a, table_b,
    )  # fmt: skip
    sums: list[Any] = [table_a.get(), None if b is None else table_b.get()]
    return sums[0], sums[0] if sums[1] is None else sums[1]
