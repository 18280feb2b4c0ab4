"""Canonical distances on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.variants import Variant, metric_macros

__all__ = ["listed_distances", "own_distances", "pairwise"]

# Pairs whose distances lie on the device at a time.
_PAIRS = 1 << 26


def own_distances(kernels: Kernels, rows: PlacedRows, centers: Any, labels: Any | None, frame: Frame) -> Any:
    """Distance of each row to ``centers[labels]``, (m,) float64 on the device."""
    m, out = len(rows), kernels.xp.empty(len(rows), np.float64)
    kernels.launch(
        Variant("distances", rows.macros), "own_distances", kernels.blocks(-(-m // 256), 8), 256,
        rows.values, np.int32(m), np.int32(rows.n_features), centers, labels, np.float64(frame.scale), out, None,
    )  # fmt: skip
    return out


def listed_distances(
    kernels: Kernels, rows: PlacedRows, others: PlacedRows, which: Any, indices: Any, frame: Frame
) -> Any:
    """Distance of ``rows[which[i]]`` to ``others[indices[i]]``, (p,) float64 on the device; infinity for -1."""
    out = kernels.xp.empty(len(indices), np.float64)
    if len(indices):
        kernels.launch(
            Variant("distances", others.macros), "listed_distances", kernels.blocks(-(-len(indices) // 256), 8), 256,
            others.values, np.int32(others.n_features), rows.values.astype(np.float64, copy=False), which, indices,
            np.int64(len(indices)), np.float64(frame.scale), out,
        )  # fmt: skip
    return out


def pairwise(kernels: Kernels, rows: PlacedRows, centers: Any, frame: Frame, metric: str = "euclidean") -> np.ndarray:
    """Distance of each row to every centre, (m, k) float64 on the host."""
    variant = Variant("distances", rows.macros + (() if metric == "euclidean" else metric_macros(metric)))
    m, k = len(rows), len(centers)
    result, step = np.empty((m, k)), max(1, _PAIRS // k)
    for first in range(0, m, step):
        values = rows.values[first : first + step]
        out = kernels.xp.empty((len(values), k), np.float64)
        grid = (kernels.blocks(-(-len(values) // 32), 4), min(8, -(-k // 8)))
        kernels.launch(
            variant, "pairwise", grid, 256,
            values, np.int32(len(values)), np.int32(rows.n_features), centers, np.int32(k),
            np.float64(frame.scale), out, None,
        )  # fmt: skip
        result[first : first + step] = out.get()
    return result
