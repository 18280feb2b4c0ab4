"""Pairs of rows that threads remember, in chunks, within a budget."""

from __future__ import annotations

import threading

import numpy as np

__all__ = ["Chunk", "Remembered"]

# Pairs of a chunk: several tiles fit, and a thread seldom needs another one.
_CHUNK = 1 << 18


class Chunk:
    """Room for ``capacity`` pairs (int32, int32), the first ``used[0]`` of them taken."""

    def __init__(self, capacity: int) -> None:
        self.pairs = np.empty((capacity, 2), np.int32)
        self.used = np.zeros(1, np.int64)

    @property
    def room(self) -> int:
        return len(self.pairs) - int(self.used[0])


class Remembered:
    """Chunks of pairs, at most ``n_bytes`` in all. Memory is only touched where pairs are written."""

    def __init__(self, n_bytes: int) -> None:
        self._left = n_bytes // 8
        self._open: list[Chunk] = []
        self._full: list[Chunk] = []
        self._lock = threading.Lock()

    def take(self, room: int) -> Chunk | None:
        """A chunk with room for so many pairs, for the caller alone until it is given back; None: there is none."""
        with self._lock:
            for chunk in self._open:
                if chunk.room >= room:
                    self._open.remove(chunk)
                    return chunk
            capacity = min(max(_CHUNK, room), self._left)
            if capacity < room:
                return None
            self._left -= capacity
        return Chunk(capacity)

    def give_back(self, chunk: Chunk) -> None:
        with self._lock:
            (self._open if chunk.room else self._full).append(chunk)

    def parts(self) -> list[np.ndarray]:
        """The pairs, (k, 2) arrays; while no chunk is taken."""
        return [chunk.pairs[: int(chunk.used[0])] for chunk in [*self._full, *self._open]]
