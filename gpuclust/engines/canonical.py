"""The canonical distance, the fixed-point sums and every error bound, written once and cited everywhere.

**Canonical distance.** For a row x and a centre c, both exact float64 values, and a power of two s fixed per fit::

    D(x, c) = sum_j ((x_j - c_j) * s)**2        float64, no contraction

Element j is added to accumulator j mod 32 in order of j; the 32 accumulators are added as a tree: accumulator l takes l
+ 16, then l + 8, l + 4, l + 2, l + 1. Any machine with IEEE 754 binary64 gives the same bits, and 32 lanes suit a warp
as well as four 512-bit registers. s keeps the squares from overflowing or vanishing. **The label of a row is the argmin
of D, ties to the lowest index**, and nothing else ever decides a label.

**Accuracy of D.** Each term carries the rounding of the subtraction and the square, (1 + e)**3 with |e| <= 2**-53, and
passes at most ceil(d / 32) + 5 additions, so the computed value is within a factor 1 +- ``canonical_error(d)`` of the
exact one (all terms are non-negative; Higham 2002, section 3.1).

**The screen.** Write t = (x - o) s and y = (c - o) s with a fixed origin o: then D = |t|^2 - 2 (t.y - |y|^2 / 2), so
the centre of least D is that of greatest score t.y - |y|^2 / 2. A screen computes scores in a precision of unit
roundoff u from rounded copies of t and y, with w terms, in any order, with or without FMA. Its constant is h = -(1/2 -
e) |y|^2, with e = ``screen_error(w, u)``:

* rounding t and y costs at most 2.03 u |t||y|, the sum at most gamma_(w+1) (|t||y| + |h|), the constant u |h|
  (Higham 2002, (3.5) and problem 3.1; |t||y| <= (|t|^2 + |y|^2) / 2);
* so the computed score S lies in [score - e |t|^2 / 2 - f, score + e |t|^2 / 2 + 2 e |y|^2 + f], where f = ``FLOOR``
  covers
  underflow, also with denormals flushed to zero.

The part of the error that grows with the centre sits in the centre's own constant, so one far centre does not spoil the
bounds of the others. With b the centre of the best screened score, a centre of screened score S is excluded when

    S < S_b - 2 e |y_b|^2 - e |t|^2 - 2 f

and the row is settled when all but b are. ``screen_error`` contains the rounding of D itself, so an excluded centre
loses in computed canonical distances too. The others are candidates: D is evaluated for each. Tests are written so that
NaN means "candidate".

**Screens of measured rounding.** On a GPU rows and centres are rounded to T and Y (float16 or float32, in units of
``Frame.unit``) and the errors r = |t - T|, q = |y - Y| are measured, not assumed: values that overflow or vanish in
float16 are then covered like any others. From t.y - T.Y = (t - T).y + T.(y - Y), the inequalities of Cauchy and Schwarz
and of the arithmetic and geometric mean, for any rho > 0::

    |t.y - T.Y| <= r |y| + |T| q <= (r**2 / rho + rho |y|**2) / 2 + (rho |T|**2 + q**2 / rho) / 2

and the sum of w terms in float32 adds at most g (|T|**2 + |Y|**2) / 2, g = ``accumulation_error``. So the error is at
most E_t + E_y, each a function of one vector::

    E_v = ((rho + g) |v|**2 + |v - V|**2 / rho) / 2

(``slack`` in kernels/, widened by 1 % for |T| <= |t| (1 + 2**-10) and the rounding of these very figures); the rules
above hold with E in place of e. Tensor cores cut, they do not round, what they add: products of two float16 are exact,
each step of 8 or 16 terms aligns them and the running sum to the largest exponent, loses less than one unit in the 24th
bit of each, and as much again where its result is cut to 24 bits (Fasi et al. 2021): 2**-23 for each of w + w/4 terms.

**The sketch.** With V of q orthonormal columns (orthonormal up to 2**-40, checked), p = V't and r = |t - V V't|, the
inequality of Cauchy and Schwarz for the residuals gives t.y <= p_t.p_y + r_t r_y: the score of width q + 1 computed
from (p, r) is an upper bound of the score. V, p and r are computed in float64 with r rounded up (``SKETCH_SLACK``),
then rounded to the screen's precision, so that the bounds above hold with w = q + 1. A row's own centre gives the score
to beat, (|t|^2 - D_own) / 2.

**Bounds carried across iterations.** From a settled row's scores follow an upper bound of the distance to its centre
and a lower bound to all others (distances, not squares). When centres move, the first grows by the movement of its own
centre, the second falls by the largest movement of any other (Hamerly 2010). A row looks only at the centres that moved
further than the gap; while upper + ``TINY`` < lower there are none and the label cannot change. Both bounds are kept in
float32, each step widened by ``OUTWARD``, which exceeds the rounding of float32 and of D; below ``TINY`` float32 has no
digits left to widen.

**Fixed-point sums.** A sum over rows of w_i x_ij is kept as two int64 limbs. With t = w x 2**a_j: high = rint(t), low =
rint((t - high) 2**b). a_j is such that n * max|w x_j| * 2**a_j < 2**62, and b such that n * 2**(b - 1) <= 2**62:
overflow is impossible, whatever the order, and the quantum is at most 2**-(121 - 2 log2 n) of the largest value.
Integer addition is associative, so the sums are the same for any chunking, any number of threads, and after any number
of exact delta updates.

**Inertia** is the correctly rounded sum of the exact products w_i D_i (``exact_products``, ``exact_total``), so it does
not depend on the order either, and a weight of w is w rows.

References: Y. Ding et al., Yinyang k-means, ICML 2015. M. Fasi et al., Numerical behavior of NVIDIA tensor cores, PeerJ
Computer Science 2021. G. Hamerly, Making k-means even faster, SDM 2010. N. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., 2002.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

__all__ = [
    "FLOOR",
    "LANES",
    "LARGEST",
    "OUTWARD",
    "SKETCH_SLACK",
    "TINY",
    "Frame",
    "accumulation_error",
    "canonical_error",
    "exact_products",
    "exact_total",
    "fixed_point",
    "make_frame",
    "screen_error",
]

LANES = 32
OUTWARD = 2.0**-20
# Bounds must differ by more than this: near it, float32 has no digits left in which to widen them.
TINY = 2.0**-120
SKETCH_SLACK = 2.0**-38
LARGEST = 2.0**1000
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -1000, 1000

# Absolute part of the screen's error per unit of width: |t|, |y| <= 1 in each coordinate, and a flushed value or
# product is below the smallest normal number of the precision.
FLOOR = {np.dtype(np.float32): 2.0**-118, np.dtype(np.float64): 2.0**-1010}


def canonical_error(n_features: int) -> float:
    """Relative error of the canonical distance of rows of ``n_features`` elements."""
    return 1.01 * (-(-n_features // LANES) + 8) * 2.0**-53


def screen_error(width: int, dtype: np.dtype | type, n_features: int) -> float:
    """The bound e of the module's docstring for a screen of ``width`` terms computed in ``dtype``."""
    unit = 2.0**-24 if np.dtype(dtype) == np.float32 else 2.0**-53
    return 1.01 * (width + 16) * unit + 4.0 * canonical_error(n_features)


def accumulation_error(width: int, dtype: np.dtype | type) -> float:
    """The bound g of the module's docstring: ``width`` products of ``dtype`` (float16 or float32) added in float32."""
    roundings = (width + width / 4) * 2.0**-23 if np.dtype(dtype) == np.float16 else width * 2.0**-24
    return 1.1 * (roundings + 16 * 2.0**-23) + 4.0 * canonical_error(width)


class Frame(NamedTuple):
    """How rows are conditioned: t = (x - origin) * scale, and how their sums are scaled.

    Attributes
    ----------
    origin : ndarray (d,) float64
        A point amid the data. Affects speed, never a result.
    scale : float
        Power of two with |t_j| <= 1. Part of the canonical distance.
    high : ndarray (d,) float64
        2**a_j of the fixed-point sums.
    low : float
        2**b of the fixed-point sums.
    weight_high : float
        The scale of the sums of weights: they are a further column of the sums.
    unit : float
        Power of two that brings the coordinates of most rows, t * unit, near 1: for screens of few exponent bits.
        Affects speed, never a result.
    """

    origin: np.ndarray
    scale: float
    high: np.ndarray
    low: float
    weight_high: float
    unit: float = 1.0


def _power(exponent: int | np.ndarray) -> np.ndarray:
    return np.ldexp(1.0, np.clip(exponent, _SMALLEST_EXPONENT, _LARGEST_EXPONENT))


def make_frame(
    origin: np.ndarray,
    column_max: np.ndarray,
    reach: float,
    n_rows: int,
    max_weight: float,
    sample: np.ndarray | None = None,
) -> Frame:
    """Frame of ``n_rows`` rows with max|x_j| = ``column_max`` (d,), weights <= ``max_weight``, centres <= ``reach``.

    ``sample`` (m, d), some rows, decides the unit; without it that is 1. The scale does not depend on the origin,
    because it is part of the canonical distance: |x - c| and |x - o| are at most twice the largest value.
    """
    largest = max(float(column_max.max()), reach)
    scale = float(_power(-(math.frexp(largest)[1] + 1) if largest > 0 else 0))
    rows = max(1, math.ceil(math.log2(n_rows + 1)))
    exponents = np.frexp(column_max)[1] + math.frexp(max_weight)[1]
    high = _power(np.where(column_max > 0, 61 - rows - exponents, 0))
    origin = np.clip(origin, -column_max, column_max)
    return Frame(
        origin=origin,
        scale=scale,
        high=high,
        low=float(2.0 ** (62 - rows)),
        weight_high=float(_power(61 - rows - math.frexp(max_weight)[1])) if max_weight != 1.0 else 1.0,
        unit=1.0 if sample is None else _unit((sample.astype(np.float64) - origin) * scale),
    )


def _unit(scaled: np.ndarray) -> float:
    """A power of two, at most 2**50, that brings the root mean square of a typical row near 1."""
    typical = float(np.sqrt(np.median(np.einsum("ij,ij->i", scaled, scaled)) / scaled.shape[1]))
    return 2.0 ** min(max(-math.frexp(typical)[1], 0), 50) if typical > 0 else 1.0


def fixed_point(high: np.ndarray, low: np.ndarray, scale: np.ndarray | float, low_scale: float) -> np.ndarray:
    """The float64 value of fixed-point sums: ``high`` and ``low`` int64 limbs of equal shape, (k,) or (k, d)."""
    out = np.empty(high.shape)
    inverse, bits = 1.0 / np.asarray(scale), math.frexp(low_scale)[1] - 1
    # By rows that fit the cache: a dozen simple passes over large tables would cost more than an iteration's screen.
    step = max(1, _TABLE_BLOCK * len(high) // max(high.size, 1))
    for start in range(0, len(high), step):
        rows = slice(start, start + step)
        # Carries first, so that the two float64 conversions are those of a normalised number.
        carry = low[rows] >> bits
        out[rows] = low[rows] - (carry << bits)
        out[rows] *= 1.0 / low_scale
        out[rows] += high[rows] + carry
        out[rows] *= inverse
    return out


def exact_total(arrays: Iterable[np.ndarray]) -> float:
    """The correctly rounded sum of all values (float64, finite, non-negative) of ``arrays``, whatever their order.

    A running sum is a list of float64 parts whose exact sum is the total (Shewchuk 1997). Values are cut at powers of
    two into layers that NumPy adds without rounding.
    """
    parts: list[float] = []
    for values in arrays:
        for start in range(0, len(values), _BLOCK):
            parts = _compressed(parts + _layers(values[start : start + _BLOCK]))
    return math.fsum(parts)


def exact_products(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Six float64 arrays, each exact, whose sum is ``first * second`` (non-negative, far from under- and overflow)."""
    # 53 bits in two pieces leave 27 in one of them, and two such pieces have a product of 54.
    return [a * b for a in _pieces(first, (36, 18)) for b in _pieces(second, (27,))]


def _pieces(values: np.ndarray, cuts: tuple[int, ...]) -> list[np.ndarray]:
    """``values`` as a sum of arrays: the leading bits of each mantissa down to the first of ``cuts``, and so on."""
    heads = [(values.view(np.int64) & ~np.int64((1 << cut) - 1)).view(np.float64) for cut in cuts]
    return [heads[0], *(b - a for a, b in pairwise([*heads, values]))]


_BLOCK = 1 << 16
_TABLE_BLOCK = 1 << 14


def _layers(values: np.ndarray) -> list[float]:
    """At most 2**20 values as a few float64 with the same exact sum."""
    parts: list[float] = []
    rest = values[values > 0]
    while rest.size:
        exponent = math.frexp(float(rest.max()))[1] - 32
        if exponent < -990:
            # Too small to cut by multiplication; there is next to nothing left.
            return parts + rest.tolist()
        # Whole multiples of 2**exponent, fewer than 2**32 each: 2**20 of them add up exactly in 53 bits.
        layer = np.floor(rest * 2.0**-exponent) * 2.0**exponent
        parts.append(float(layer.sum()))
        rest = rest - layer
        rest = rest[rest > 0]
    return parts


def _compressed(parts: list[float]) -> list[float]:
    """A few parts with the same exact sum: repeatedly split off the correctly rounded total."""
    kept: list[float] = []
    rest = parts
    while (leading := math.fsum(rest)) != 0.0:
        kept.append(leading)
        rest = [*rest, -leading]
    return kept
