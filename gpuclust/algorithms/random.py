"""Counter-based randomness: every number is a function of (seed, purpose, index), never of visiting order.

SplitMix64 (Steele, Lea and Flood 2014) applied to a key and a counter: 64 well-mixed bits, the same on every machine.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

__all__ = ["Stream", "purpose_stream"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Stream(NamedTuple):
    """The random numbers of one purpose: index -> 64 bits."""

    key: int

    def integers(self, count: int, start: int = 0) -> np.ndarray:
        """Random uint64 at indices start..start+count."""
        with np.errstate(over="ignore"):
            counter = np.arange(start, start + count, dtype=np.uint64)
            return _mix(np.uint64(self.key) + (counter + np.uint64(1)) * _GOLDEN)

    def uniform(self, count: int, start: int = 0) -> np.ndarray:
        """Random float64 in [0, 1), multiples of 2**-53."""
        return (self.integers(count, start) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, bound: int, index: int) -> int:
        """A random integer in [0, bound), bound < 2**63, at ``index``. The bias is below bound * 2**-64."""
        return int(self.integers(1, index)[0]) * bound >> 64


def purpose_stream(seed: int, purpose: str) -> Stream:
    """The stream of ``purpose`` under ``seed``; different names are independent."""
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return Stream(int.from_bytes(digest, "little"))
