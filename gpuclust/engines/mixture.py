"""Gaussian mixtures: densities and sums of moments that are the same bits in any order, on any engine.

**Densities.** A component c has a mean m, a constant and a factor P with P P' its precision matrix. For a row x, in
float64, in this order and without contraction::

    z_i = x_i - m_i        y_j = z_0 P_0j + z_1 P_1j + ... + z_j P_jj        q = y_0**2 + y_1**2 + ...
    l_c = constant_c - min(q, MOST) / 2

P is upper triangular; where it is diagonal, y_j = z_j P_j. ``MOST`` stands for whatever overflows, so that everything
that follows is finite. The label is the argmax of l, ties to the lowest index; with t the largest l,
::

    e_c = exp(l_c - t)     s = e_0 + e_1 + ...     density = t + log(s)     responsibility r_c = e_c * (1 / s)

**exp and log** are made of additions and multiplications (and log of one division), because those of libraries differ
in the last bit. With k = rint(x / ln 2) and u = (x - k hi) - k lo, hi + lo = ln 2 and k hi exact, exp(x) = 2**k times
Taylor's polynomial of degree 13 in u, |u| <= 0.3466: what it leaves out is below u**14 / 14! < 2**-57 of the result,
which with all roundings is within 1.25 units in the last place. Below ``LEAST`` the result is zero: 2**-1021 beside the
one that is always in s. log is fdlibm's (Sun Microsystems 1993), of an error below one unit in the last place.

**Moments.** The M-step needs of every component the sums over rows of r z_i z_j, with z_0 = 1 put before the others, so
that weights, first and second moments are one list of pairs i >= j. Moments are about the mean that the densities were
computed with: it is near the next one, so that hardly anything cancels when it is taken off, and one pass over the rows
does both. (r z_i) z_j is added in fixed point by the rounders of :mod:`gpuclust.engines.distance_sums`, two limbs of at
most 51 bits, in units of 2**(e_i + e_j) with 2**e_j above the largest |z_j|. A responsibility below ``cutoff`` would
leave both limbs zero; such rows are passed by, which changes nothing but the time.

**Log-likelihood.** The sum over rows of the deficit, ceiling - density >= 0, in bins that hold every float64 exactly
(``kernels/total.cu``), rounded once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from gpuclust.engines.canonical import fixed_point

__all__ = [
    "BINS",
    "EXP_TERMS",
    "LEAST",
    "LN2",
    "LN2_REST",
    "LOG2E",
    "LOG_TERMS",
    "MOST",
    "ROOT_HALF",
    "ROUNDER",
    "Densities",
    "Mixture",
    "MomentFormat",
    "Moments",
    "exp",
    "log",
]

MOST, LEAST = 1e300, -708.0
#: Adding it rounds to an integer, and leaves that integer in the low bits.
ROUNDER = 1.5 * 2.0**52
LOG2E = 1.44269504088896338700e00
#: ln 2 in two pieces: products of the first, of 33 bits, with small integers are exact.
LN2, LN2_REST = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: 1 / n!, from the highest power down.
EXP_TERMS = tuple(1.0 / math.factorial(n) for n in range(13, -1, -1))
#: The bits of the square root of one half, cut off: a mantissa between it and twice it is reduced.
ROOT_HALF = 0x3FE6A09E00000000
LOG_TERMS = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
    1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
)  # fmt: skip

#: Words of 32 bits of an exact sum; word q counts multiples of 2**(32 q - 2148).
BINS = 136
_LOWEST = -2148
_MOST_BITS = 51
# Exponents of columns: rounders of two columns stay normal numbers.
_NARROWEST, _WIDEST = -400, 400


class Mixture(NamedTuple):
    """A mixture of k Gaussians in d features as engines compute with it, on the host.

    means : ndarray (k, d) float64
    factors : ndarray (k, d, d), upper triangular, or (k, 1, d), diagonal; float64
    constants : ndarray (k,) float64
        Logarithms of the weight and of the density at the mean.
    """

    means: np.ndarray
    factors: np.ndarray
    constants: np.ndarray

    @property
    def ceiling(self) -> float:
        """No density is above it."""
        return float(self.constants.max()) + math.ceil(math.log2(len(self.constants) + 1)) + 1.0


class MomentFormat(NamedTuple):
    """Which moments are summed, and how they are added up.

    Attributes
    ----------
    left, right : ndarray (p,) int32
        The pairs i >= j; 0 stands for the one, i + 1 for feature i.
    high : ndarray (p,) float64
        Powers of two: the scales of the first limb.
    low : float
        The scale of the second limb, relative to the first.
    """

    left: np.ndarray
    right: np.ndarray
    high: np.ndarray
    low: float

    @classmethod
    def of(cls, n_rows: int, reach: np.ndarray, *, diagonal: bool) -> MomentFormat:
        """For sums over at most ``n_rows`` rows with |x - mean| <= ``reach`` (d,); no products of two features."""
        d = len(reach)
        if diagonal:
            features = np.arange(1, d + 1)
            left = np.concatenate([[0], features, features])
            right = np.concatenate([np.zeros(d + 1, np.int64), features])
        else:
            left, right = np.tril_indices(d + 1)
        exponents = np.concatenate([[0], np.clip(np.frexp(reach)[1], _NARROWEST, _WIDEST)])
        bits = min(_MOST_BITS, 62 - math.ceil(math.log2(n_rows + 1)))
        # One bit more than the largest value needs, for its rounding.
        high = np.ldexp(1.0, bits - 1 - exponents[left] - exponents[right])
        return cls(left.astype(np.int32), right.astype(np.int32), high, 2.0**bits)

    @property
    def rounders(self) -> np.ndarray:
        """(2, p): what is added to a value, and to what the first limb leaves of it, to round them."""
        first = ROUNDER / self.high
        return np.stack([first, first / self.low])

    @property
    def cutoff(self) -> float:
        """Responsibilities below it add nothing to any sum."""
        return self.low**-2

    def values(self, limbs: np.ndarray) -> np.ndarray:
        """The sums of ``limbs`` (2, k, p) as float64."""
        return fixed_point(limbs[0], limbs[1], self.high, self.low)


@dataclass
class Moments:
    """Sums over rows: ``limbs`` (2, k, p) int64 of a `MomentFormat`, and of the deficits, ``bins`` (136,) int64.

    Those of any parts of the data add up, in any order, to the same limbs and the same total of the bins; carries may
    be in one bin or the next.
    """

    limbs: np.ndarray
    bins: np.ndarray

    @classmethod
    def zeros(cls, n_components: int, form: MomentFormat) -> Moments:
        return cls(np.zeros((2, n_components, len(form.left)), np.int64), np.zeros(BINS, np.int64))

    def __iadd__(self, other: Moments) -> Moments:
        self.limbs += other.limbs
        self.bins += other.bins
        return self

    def deficit(self, n_rows: int) -> float:
        """The mean deficit of so many rows, correctly rounded."""
        total = sum(int(word) << (32 * place) for place, word in enumerate(self.bins))
        return float(Fraction(total, n_rows << -_LOWEST))


class Densities(NamedTuple):
    """What a mixture says of rows, on the host.

    labels : ndarray (m,) int32
        The most probable component, ties to the lowest index.
    log_densities : ndarray (m,) float64
    responsibilities : ndarray (m, k) float64 or None
    """

    labels: np.ndarray
    log_densities: np.ndarray
    responsibilities: np.ndarray | None


def exp(x: np.ndarray) -> np.ndarray:
    """exp of values <= 0; zero below ``LEAST``."""
    x = np.asarray(x, np.float64)
    clipped = np.maximum(x, LEAST)
    k = (clipped * LOG2E + ROUNDER) - ROUNDER
    u = (clipped - k * LN2) - k * LN2_REST
    value = np.full_like(x, EXP_TERMS[0])
    for term in EXP_TERMS[1:]:
        value = value * u + term
    return np.where(x < LEAST, 0.0, np.ldexp(value, k.astype(np.int64)))


def log(x: np.ndarray) -> np.ndarray:
    """log of normal positive values."""
    bits = np.ascontiguousarray(x, np.float64).view(np.int64)
    k = (bits - ROOT_HALF) >> 52
    f = (bits - (k << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (LOG_TERMS[1] + w * (LOG_TERMS[3] + w * LOG_TERMS[5]))
    even = z * (LOG_TERMS[0] + w * (LOG_TERMS[2] + w * (LOG_TERMS[4] + w * LOG_TERMS[6])))
    half = 0.5 * f * f
    power = k.astype(np.float64)
    return power * LN2 - ((half - (s * (half + (odd + even)) + power * LN2_REST)) - f)
