"""The arrays of frames on a device: sent once per frame, not once per launch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from gpuclust.engines.canonical import Frame

__all__ = ["Frames"]

_KEPT = 8


class DeviceFrame(NamedTuple):
    """``origin`` and ``high`` (d,) float64 of a `Frame`, on the device."""

    origin: Any
    high: Any


class Frames:
    """The last few frames' arrays; a frame is known by its identity."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._known: OrderedDict[int, tuple[Frame, DeviceFrame]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, frame: Frame) -> DeviceFrame:
        with self._lock:
            if id(frame) not in self._known:
                sent = DeviceFrame(self._xp.asarray(frame.origin), self._xp.asarray(frame.high))
                self._known[id(frame)] = (frame, sent)  # kept with the frame, so that its identity stays its own
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return self._known[id(frame)][1]
