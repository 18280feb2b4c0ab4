"""What drawing first centres needs of rows on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.base import DRAW_BLOCK, Stream
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.variants import Variant

__all__ = ["block_totals", "closer", "largest", "oversample"]

_SEEDING = Variant("seeding")


def _blocks(kernels: Kernels, n: int) -> int:
    return kernels.blocks(-(-n // 1024), 8)


def block_totals(kernels: Kernels, values: Any, weights: Any | None, factor: float) -> np.ndarray:
    """See :meth:`gpuclust.engines.base.Engine.block_totals`."""
    n = len(values)
    out = kernels.xp.empty(-(-n // DRAW_BLOCK), np.int64)
    kernels.launch(
        _SEEDING, "block_totals", kernels.blocks(-(-len(out) // 8), 8), 256,
        values, weights, np.float64(factor), np.int64(n), out, None,
    )  # fmt: skip
    return out.get()


def closer(kernels: Kernels, distances: Any, labels: Any, offset: int, nearest: Any, owner: Any) -> None:
    """See :meth:`gpuclust.engines.base.Engine.closer`."""
    n = len(distances)
    kernels.launch(
        _SEEDING, "closer", _blocks(kernels, n), 256,
        distances, labels, np.int32(n), np.int32(offset), nearest, owner, None,
    )  # fmt: skip


def oversample(
    kernels: Kernels, nearest: Any, weights: Any | None, factor: float, chance: float, stream: Stream, start: int
) -> np.ndarray:
    """See :meth:`gpuclust.engines.base.Engine.oversample`."""
    n = len(nearest)
    picked, count = kernels.xp.empty(n, np.int32), kernels.xp.zeros(1, np.int32)
    kernels.launch(
        _SEEDING, "oversample", _blocks(kernels, n), 256,
        nearest, weights, np.int32(n), np.float64(factor), np.float64(chance), np.uint64(stream.key), np.int64(start),
        picked, count, None,
    )  # fmt: skip
    return np.sort(picked[: int(count.get()[0])].get()).astype(np.int64)


def largest(kernels: Kernels, values: Any, weights: Any | None) -> float:
    """See :meth:`gpuclust.engines.base.Engine.largest`."""
    n, bits = len(values), kernels.xp.zeros(1, np.uint64)
    kernels.launch(_SEEDING, "largest", _blocks(kernels, n), 256, values, weights, np.int64(n), bits, None)
    return float(bits.get().view(np.float64)[0])
