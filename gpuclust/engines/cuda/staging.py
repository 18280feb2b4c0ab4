"""Rows from host memory to a device while it computes: two pinned buffers, filled and sent in turn."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.engines.cuda.device import Device

__all__ = ["Staging"]


class Staging:
    """Sends pieces of at most ``n_rows`` host rows to the device: a piece travels while the device works on the last.

    Each of two slots has a pinned host buffer and a device buffer. A host buffer is filled again when its last copy has
    left it; a device buffer is written again when the work on the piece that it held has ended.
    """

    def __init__(self, device: Device, n_rows: int, n_features: int, dtype: np.dtype) -> None:
        self._xp, self.n_rows = device.xp, n_rows
        self._stream = self._xp.cuda.Stream(non_blocking=True)
        self._slots = [_Slot(self._xp, (n_rows, n_features), dtype) for _ in range(2)]

    def send(self, rows: np.ndarray) -> Any:
        """Return ``rows`` on the device, for work on the current stream until the next call."""
        work = self._xp.cuda.get_current_stream()
        # What was enqueued since the last call is the work on the last piece.
        self._slots[0].used = self._recorded(work)
        self._slots.reverse()
        slot = self._slots[0]
        slot.sent.synchronize()
        slot.host[: len(rows)] = rows
        placed = slot.device[: len(rows)]
        self._stream.wait_event(slot.used)
        placed.set(slot.host[: len(rows)], stream=self._stream)
        slot.sent = self._recorded(self._stream)
        work.wait_event(slot.sent)
        return placed

    def _recorded(self, stream: Any) -> Any:
        event = self._xp.cuda.Event(disable_timing=True)
        event.record(stream)
        return event


class _Slot:
    """A pinned host buffer and a device buffer, when the last copy was ``sent``, and the last piece ``used``."""

    def __init__(self, xp: Any, shape: tuple[int, int], dtype: np.dtype) -> None:
        size = shape[0] * shape[1]
        self.host = np.frombuffer(xp.cuda.alloc_pinned_memory(size * dtype.itemsize), dtype, size).reshape(shape)
        self.device = xp.empty(shape, dtype)
        self.sent = self.used = xp.cuda.Event(disable_timing=True)
        self.used.record()
