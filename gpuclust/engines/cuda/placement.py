"""Rows onto a device: where they lie already, all at once, or piece by piece through pinned buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import Precision, padded
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.cuda.staging import Staging

__all__ = ["Placement"]

# Pieces are large enough to hide a launch and small enough to overlap with the work on the one before.
_PIECE_BYTES = 1 << 28
_SMALLEST_PIECE = 1024
# Row numbers of a part are int32 in the kernels, and an item of an update is a row number or its complement.
_LARGEST_PART = 1 << 30
# Share of the free memory that rows to keep may take, and a piece: the state of all rows and centres need some too.
_SHARE, _PIECE_SHARE = 0.8, 0.4


class Placement:
    """Places rows on one device. Errors are CuPy's: `Device.active` turns them into gpuclust's."""

    def __init__(self, kernels: Kernels, precision: Precision) -> None:
        self._kernels, self._xp, self._precision = kernels, kernels.xp, precision

    def array(self, values: Any) -> Any:
        """A C-contiguous array on the device of a host or device array; no copy where it is one already."""
        xp = self._xp
        if isinstance(values, np.ndarray):
            return xp.asarray(np.ascontiguousarray(values))
        if not isinstance(values, xp.ndarray):
            values = xp.from_dlpack(values)
        if values.device.id != self._kernels.device.number:
            values = values.copy()  # to the current device
        return xp.ascontiguousarray(values)

    def place(self, values: Any) -> PlacedRows:
        """Rows, with all the memory that operations on them need."""
        if isinstance(values, PlacedRows):
            return values
        rows = PlacedRows(self._kernels, self.array(values))
        rows.reserve(self._precision)
        return rows

    def holds(self, n_bytes: int) -> bool:
        """Whether rows of so many bytes fit with their screen rows, which take at most as much again, and lists."""
        return 2.5 * n_bytes <= _SHARE * self._kernels.device.memory()[0]

    def kept(self, chunks: Iterable[Any]) -> Iterator[tuple[int, PlacedRows]]:
        """Place whole chunks, to stay.

        Raises
        ------
        OutOfMemoryError
            They do not fit, or would leave too little for everything else.
        """
        for chunk in chunks:
            n_rows, n_features = chunk.rows.shape
            # Rows that lie on the device already take no more.
            rows = n_features * chunk.rows.dtype.itemsize if isinstance(chunk.rows, np.ndarray) else 0
            needed = n_rows * (rows + self._extra_per_row(n_features))
            free, total = self._kernels.device.memory()
            if needed > _SHARE * free:
                raise self._xp.cuda.memory.OutOfMemoryError(needed, total - free)
            for at in range(0, n_rows, _LARGEST_PART):
                yield chunk.start + at, self.place(chunk.rows[at : at + _LARGEST_PART])

    def _extra_per_row(self, n_features: int) -> int:
        """Memory that a placed row takes besides itself: its screen row, bounds of that, lists."""
        return padded(n_features) * self._precision.dtype.itemsize + 32

    def streamed(self, chunks: Iterable[Any]) -> Iterator[tuple[int, PlacedRows]]:
        """Place the rows of chunks piece by piece; half as large pieces from then on where memory runs out."""
        staging: Staging | None = None
        size = 0
        for chunk in chunks:
            at = 0
            while at < len(chunk.rows):
                size = size or self._piece_rows(chunk.rows)
                values = chunk.rows[at : at + size]
                try:
                    if isinstance(values, np.ndarray):
                        if staging is None:
                            staging = Staging(self._kernels.device, size, values.shape[1], values.dtype)
                        values = staging.send(values)
                    placed = self.place(values)
                except self._xp.cuda.memory.OutOfMemoryError:
                    staging = None
                    if size <= _SMALLEST_PIECE:
                        raise
                    size = max(_SMALLEST_PIECE, size // 2)
                    continue
                yield chunk.start + at, placed
                del placed
                at += len(values)

    def _piece_rows(self, values: Any) -> int:
        n_features, itemsize = values.shape[1], values.dtype.itemsize
        free, _ = self._kernels.device.memory()
        per_row = 2 * n_features * itemsize + self._extra_per_row(n_features)  # two device buffers
        wanted = min(_PIECE_BYTES // (n_features * itemsize), int(_PIECE_SHARE * free) // per_row, _LARGEST_PART)
        return max(_SMALLEST_PIECE, wanted)
