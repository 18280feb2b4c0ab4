"""Exact sums of weights: each float64 as a few integers, whose sums say whether the weights reach a threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["enough"]


def enough(weights: np.ndarray, threshold: int, sums: Callable[[np.ndarray], Any]) -> np.ndarray:
    """Where the exact sum of the weights of some rows is at least ``threshold``: (n,) bool.

    Parameters
    ----------
    weights : ndarray (n,) float64
        Finite, of any sign.
    threshold : int
        Above zero.
    sums : callable
        ``sums(values)`` adds up (n,) int64 for each row, modulo 2**64; the same rows each time.
    """
    given = np.append(weights, float(threshold))
    lowest, top = _exponents(given)
    # Sums of all rows' limbs, and a carry, stay below 2**62.
    width = 61 - len(given).bit_length()
    carry: Any = np.int64(0)
    for exponent, limb in _limbs(given, lowest, top, width):
        total = sums(limb[:-1]) - limb[-1] + carry
        carry = total >> width
        if exponent + width > top:
            return np.asarray(total >= 0)
    raise AssertionError("no limb is the last")


def _exponents(values: np.ndarray) -> tuple[int, int]:
    """Exponents of the lowest bit that is set in any of the values, and of one above the highest."""
    mantissas, exponents = np.frexp(values[values != 0])
    integers = (mantissas * 2.0**53).astype(np.int64)
    lowest_bits = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return int((exponents - 53 + lowest_bits).min()), int(exponents.max())


def _limbs(values: np.ndarray, lowest: int, top: int, width: int) -> list[tuple[int, np.ndarray]]:
    """The values as sums of int64 times 2**exponent, below 2**width each, of the value's sign; lowest first."""
    limbs, rest = [], values.copy()
    for exponent in reversed(range(lowest, top + 1, width)):
        # Cut towards zero: what is left are the value's lower bits, and nothing is rounded.
        part = np.trunc(np.ldexp(rest, -exponent))
        rest -= np.ldexp(part, exponent)
        limbs.append((exponent, part.astype(np.int64)))
    return limbs[::-1]
