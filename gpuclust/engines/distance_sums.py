"""Sums of distances, not of their squares, that are the same bits in any order: what silhouettes are made of.

A **run** is a set of consecutive rows of a block, such as those of one cluster where rows are sorted by cluster. Of
each row of one block the distances to the rows of each run of another are added up::

    euclidean   sum over j of sqrt(D(x, y_j))      D the canonical distance (gpuclust.engines.canonical), scaled
    manhattan   sum over j of D(x, y_j)            D the canonical sum of absolute differences, scaled

The root is IEEE's, correctly rounded, so a distance is the same everywhere. It is added as two int64 limbs,

    high = rint(delta 2**a)        low = rint((delta 2**a - high) 2**b)        a + b >= 120 - 2 log2 n - log2(max delta)

but of at most 51 bits each (so a + b is less for fewer than 2,000 rows): then adding 1.5 * 2**52 units to a float64
rounds it to an integer and leaves that integer in its low bits, which is quicker than a conversion. n rows cannot
overflow them. Distances are thus resolved to 2**-90 of the largest possible one for up to 32,000 rows, and to 2**-80
for a million: an outlier at 1e9 costs no digit of the others.

Coordinates are scaled before they are subtracted, not after. With s a power of two the bits are the same unless x s
falls below 2**-1022, where nothing is left of it at this resolution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import fixed_point

__all__ = ["SUMMED", "SumFormat"]

#: Metrics of which distances can be summed.
SUMMED = ("euclidean", "manhattan")
_MOST_BITS = 51
_ROUNDER = 1.5 * 2.0**52


class SumFormat(NamedTuple):
    """How distances are added up.

    Attributes
    ----------
    metric : {"euclidean", "manhattan"}
    scale : float
        Power of two of the canonical distance: coordinates times ``scale`` differ by at most one.
    high, low : float
        2**a and 2**b.
    """

    metric: str
    scale: float
    high: float
    low: float

    @classmethod
    def of(cls, n_rows: int, n_features: int, scale: float, metric: str = "euclidean") -> SumFormat:
        """For sums over at most ``n_rows`` rows."""
        largest = math.sqrt(n_features) if metric == "euclidean" else n_features
        # One bit more than the largest distance needs, for its rounding.
        exponent = math.frexp(largest)[1] + 1
        bits = min(_MOST_BITS, 62 - math.ceil(math.log2(n_rows + 1)))
        return cls(metric, scale, 2.0 ** (bits - exponent), 2.0**bits)

    @property
    def rounders(self) -> tuple[float, float]:
        """What is added to a distance, and to what the first limb leaves of it, to round them."""
        return _ROUNDER / self.high, _ROUNDER / (self.high * self.low)

    def limbs(self, distances: np.ndarray) -> np.ndarray:
        """The limbs of scaled ``distances`` (m,) float64: (2, m) int64."""
        scaled = distances * self.high
        high = np.rint(scaled)
        return np.stack([high, np.rint((scaled - high) * self.low)]).astype(np.int64)

    def values(self, limbs: np.ndarray) -> np.ndarray:
        """The sums of ``limbs`` (2, ...) as float64, in scaled units."""
        return fixed_point(limbs[0], limbs[1], self.high, self.low)
