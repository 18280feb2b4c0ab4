"""What a float32 search may get wrong, so that its answers can be certified.

FAISS computes squared distances in float32, of rows that were conditioned first (`gpuclust.engines.base.Conditioned`):
t = (x - o) s u for a query, y likewise for a row, both rounded to nearest, T and Y, in w terms and in any order,
directly or as |T|**2 + |Y|**2 - 2 T.Y, with or without FMA. Its *score* C of the pair differs from |t - y|**2

* by rounding T and Y, at most 4 u (|t|**2 + |y|**2), u = 2**-24;
* by the three sums of w products, at most gamma_w (|T|**2 + |Y|**2 + 2 |T||Y|) <= 2 gamma_w (|T|**2 + |Y|**2);
* by adding these up, at most 4 u (|T|**2 + |Y|**2), which also covers a negative result that is set to zero
  (Higham 2002, (3.5)); the direct form loses less.

All of it is at most 2 e (|t|**2 + |y|**2) + f, e = ``screen_error(w, float32)`` of :mod:`gpuclust.engines.canonical`,
f for underflow. The size of the row needs not be known: |y|**2 <= 2 |t|**2 + 2 |t - y|**2. So for a row at canonical
distance D, in units of the search,

    C <= (1 + 5 e) D + 6 e |t|**2 + f    =: highest(D)

(a fifth e for the rounding of D). This one inequality certifies both kinds of search:

* *the k nearest*: FAISS returns k + margin rows; those that it leaves out have scores of at least its last one. The
  canonical distances of what it returned are computed; if highest(D_k) is below the last score, every row left out is
  farther than D_k, and the k nearest, ties to the lowest index, are among those returned.
* *all within a radius*: rows at D <= R**2 have scores of at most highest(R**2): FAISS is asked for those, and canonical
  distances decide.

A score above highest(D) of its own row shows a search that does not compute in float32 (TF32, by an environment
variable): then nothing that it says is believed. Tests are written so that NaN means "not certified".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import Frame, screen_error

__all__ = ["LARGEST_COORDINATE", "Bound"]

# FAISS ends the process on coordinates from 1e19 on. Rows lie within Frame.unit, at most 2**50; queries anywhere.
LARGEST_COORDINATE = 2.0**52
# What is flushed to zero, below 2**-126, times two coordinates, for each of w terms.
_FLOOR = 2.0**-70


class Bound(NamedTuple):
    """``highest``: scores of rows of ``width`` at canonical distances that are ``factor`` times smaller than scores."""

    error: float
    floor: float
    factor: float

    @classmethod
    def between(cls, width: int, n_features: int, search: Frame, canonical: Frame) -> Bound:
        """For rows conditioned by frame ``search`` and distances scaled by frame ``canonical``."""
        ratio = search.scale * search.unit / canonical.scale
        return cls(screen_error(width, np.float32, n_features), width * _FLOOR, ratio * ratio)

    def highest(self, distances: np.ndarray | float, squares: np.ndarray) -> np.ndarray:
        """The highest score of a row at a canonical distance from a query of |t|**2 ``squares``; both broadcast.

        NaN or infinity for queries that lie too far out to be searched.
        """
        squares = np.where(squares <= LARGEST_COORDINATE**2, squares, np.inf)
        with np.errstate(over="ignore", invalid="ignore"):
            return (1 + 5 * self.error) * (distances * self.factor) + 6 * self.error * squares + self.floor
