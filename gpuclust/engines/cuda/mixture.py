"""Densities and moments of Gaussian mixtures on a device: :mod:`gpuclust.engines.mixture`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.totals import ExactTotal
from gpuclust.engines.cuda.variants import Variant
from gpuclust.engines.mixture import Densities, Mixture, MomentFormat, Moments
from gpuclust.errors import DeviceMemoryError

__all__ = ["COLUMNS", "THREADS", "densities", "moments"]

#: Threads of a block, and features whose factors lie side by side, as in kernels/mixture.cu.
THREADS, COLUMNS = 128, 8
# Elements of the tables of rows by features and by components, and of a tile of rows in shared memory.
_TABLE, _TILE = 1 << 24, 1 << 12
_BLOCKS = 16  # of a multiprocessor, to sum moments


class _Placed(NamedTuple):
    """A mixture on the device; ``height`` rows of factors a component, 1: diagonal, ``stride`` elements each."""

    means: Any
    factors: Any
    height: int
    stride: int
    constants: Any

    @classmethod
    def of(cls, xp: Any, mixture: Mixture) -> _Placed:
        k, height, d = mixture.factors.shape
        stride = -(-d // COLUMNS) * COLUMNS
        # Zeros beyond the last feature add nothing: a thread does so many features at a time.
        factors = np.zeros((k, height, stride))
        factors[:, :, :d] = mixture.factors
        return cls(
            xp.asarray(np.ascontiguousarray(mixture.means)), xp.asarray(factors), height, stride,
            xp.asarray(np.ascontiguousarray(mixture.constants)),
        )  # fmt: skip


class _Block(NamedTuple):
    """Rows ``first`` to ``first + m`` of a part, and what is known of them on the device."""

    first: int
    values: Any  # (m, d)
    joint: Any  # (k, m) float64, at last responsibilities
    labels: Any  # (m,) int32
    densities: Any  # (m,) float64

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + len(self.values))


def densities(kernels: Kernels, rows: PlacedRows, mixture: Mixture, *, responsibilities: bool) -> Densities:
    """See :meth:`gpuclust.engines.base.Engine.mixture_densities`."""
    m, k = len(rows), len(mixture.means)
    found = Densities(np.empty(m, np.int32), np.empty(m), np.empty((m, k)) if responsibilities else None)
    for block in _evaluated(kernels, rows, mixture):
        found.labels[block.rows] = block.labels.get()
        found.log_densities[block.rows] = block.densities.get()
        if found.responsibilities is not None:
            found.responsibilities[block.rows] = block.joint.get().T
    return found


def moments(
    kernels: Kernels,
    rows: PlacedRows,
    mixture: Mixture,
    form: MomentFormat,
    responsibilities: np.ndarray | None,
) -> Moments:
    """See :meth:`gpuclust.engines.base.Engine.mixture_moments`."""
    xp, (k, d) = kernels.xp, mixture.means.shape
    limbs, total = xp.zeros((2, k, len(form.left)), np.int64), ExactTotal(kernels)
    means, left, right = (xp.asarray(np.ascontiguousarray(each)) for each in (mixture.means, form.left, form.right))
    rounders, tile = xp.asarray(form.rounders), _tile_rows(kernels, d)
    groups = -(-len(form.left) // THREADS)
    if responsibilities is None:
        blocks = _evaluated(kernels, rows, mixture)
    else:
        blocks = _given(kernels, rows, responsibilities)
    for block in blocks:
        m = len(block.values)
        if responsibilities is None:
            total.add(xp.maximum(mixture.ceiling - block.densities, 0.0))
        shares = max(1, min(-(-m // tile), kernels.device.n_multiprocessors * _BLOCKS // (k * groups)))
        kernels.launch(
            Variant("mixture", rows.macros), "moments", (k * groups, shares), THREADS,
            block.values, np.int32(m), np.int32(d), means, block.joint, np.float64(form.cutoff), left, right,
            np.int32(len(form.left)), np.int32(groups), rounders, np.int32(tile), np.int32(k), limbs,
            shared_memory=8 * tile * (d + 2),
        )  # fmt: skip
    return Moments(limbs.get(), total.bins.get())


def _evaluated(kernels: Kernels, rows: PlacedRows, mixture: Mixture) -> Iterator[_Block]:
    """The rows by blocks, with labels, log-densities and responsibilities; valid until the next is asked for."""
    xp, (k, d) = kernels.xp, mixture.means.shape
    placed, variant = _Placed.of(xp, mixture), Variant("mixture", rows.macros)
    for first, values in _blocks(rows, d + k):
        m = len(values)
        columns, joint = xp.empty((d, m), np.float64), xp.empty((k, m), np.float64)
        labels, found = xp.empty(m, np.int32), xp.empty(m, np.float64)
        kernels.launch(
            variant, "turn", (-(-m // 32), min(64, -(-d // 32))), 256, values, np.int32(m), np.int32(d), columns
        )
        kernels.launch(
            variant, "log_joint", (-(-m // THREADS), min(k, 65535)), THREADS,
            columns, np.int32(m), np.int32(d), placed.means, placed.factors, np.int32(placed.height),
            np.int32(placed.stride), placed.constants, np.int32(k), joint,
        )  # fmt: skip
        kernels.launch(variant, "normalize", -(-m // THREADS), THREADS, joint, np.int32(m), np.int32(k), labels, found)
        yield _Block(first, values, joint, labels, found)


def _given(kernels: Kernels, rows: PlacedRows, responsibilities: np.ndarray) -> Iterator[_Block]:
    xp = kernels.xp
    for first, values in _blocks(rows, responsibilities.shape[1]):
        joint = np.ascontiguousarray(responsibilities[first : first + len(values)].T)
        yield _Block(first, values, xp.asarray(joint), None, None)


def _blocks(rows: PlacedRows, columns: int) -> Iterator[tuple[int, Any]]:
    step = max(THREADS, _TABLE // columns)
    for first in range(0, len(rows), step):
        yield first, rows.values[first : first + step]


def _tile_rows(kernels: Kernels, n_features: int) -> int:
    """Rows of a tile in shared memory."""
    if 8 * (n_features + 2) > kernels.device.shared_memory:
        raise DeviceMemoryError(
            f"A row of {n_features} features does not fit the shared memory of the device, "
            f"{kernels.device.shared_memory} bytes: use device='cpu', or reduce the features first."
        )
    return max(1, min(64, _TILE // (n_features + 2)))
