"""Places on a sphere, given as latitude and longitude, as points of the unit sphere.

The sine is computed here from the polynomials of fdlibm (Sun Microsystems 1993), with additions and multiplications
alone: those of a machine's libraries differ in the last bit from one processor to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gpuclust.errors import DataError
from gpuclust.sources.base import Chunk, Source
from gpuclust.validation import to_host

__all__ = ["SphereSource", "chord"]

# pi / 2 in two pieces: products of the first, of 33 bits, with small integers are exact.
_HALF_PI, _HALF_PI_REST = 1.57079632673412561417e00, 6.07710050650619224932e-11
_SINE = (
    1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
    -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01,
)  # fmt: skip
_COSINE = (
    -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
    2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02,
)  # fmt: skip


class SphereSource(Source):
    """Points (n, 3) float64 of the unit sphere for rows (latitude, longitude) of another source, in radians.

    Latitudes lie within pi/2 of the equator; longitudes within 2 pi, so that both [-pi, pi] and [0, 2 pi] are taken.

    Raises
    ------
    DataError
        The source has another number of features than two; when rows are read, one of them is out of range.
    """

    n_features, dtype = 3, np.dtype(np.float64)

    def __init__(self, source: Source) -> None:
        if source.n_features != 2:
            raise DataError(
                f"metric='haversine' takes two features, latitude and longitude in radians; X has {source.n_features}."
            )
        self._source, self.n_rows, self.description = source, source.n_rows, source.description
        self.resident = source.resident
        self._rows = np.concatenate([c.rows for c in self._converted(0, None)]) if self.resident else None

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        if self._rows is None:
            return self._converted(start, stop)
        return iter([Chunk(start, self._rows[start:stop])])

    def take(self, indices: np.ndarray) -> np.ndarray:
        return _points(np.asarray(self._source.take(indices), np.float64))

    def _converted(self, start: int, stop: int | None) -> Iterator[Chunk]:
        for chunk in self._source.chunks(start, stop):
            rows = np.asarray(to_host(chunk.rows), np.float64)
            for column, most, name in ((0, math.pi / 2, "latitude"), (1, 2 * math.pi, "longitude")):
                # pi/2 of float32 is above that of float64.
                bad = ~(np.abs(rows[:, column]) <= most * (1 + 2.0**-23))
                if bad.any():
                    row = int(bad.argmax())
                    raise DataError(
                        f"metric='haversine': the {name} of row {chunk.start + row} of X is {rows[row, column]:g}; in "
                        f"radians, it must lie within {most:.5g} of zero."
                    )
            yield Chunk(chunk.start, _points(rows))


def chord(angle: float) -> float:
    """Length of the straight line between points of the unit sphere that lie an angle (> 0) apart; 2.5 beyond pi."""
    return 2 * float(_sine_cosine(np.array([angle / 2]))[0][0]) if angle < math.pi else 2.5


def _points(rows: np.ndarray) -> np.ndarray:
    sine, cosine = _sine_cosine(np.ascontiguousarray(rows.T))
    return np.stack([cosine[0] * cosine[1], cosine[0] * sine[1], sine[0]], axis=1)


def _sine_cosine(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of angles within 2 pi, to about one unit in the last place."""
    turns = np.rint(angle * (2 / math.pi))
    x = (angle - turns * _HALF_PI) - turns * _HALF_PI_REST
    z = x * x
    sine, cosine = np.zeros_like(x), np.zeros_like(x)
    for a, b in zip(_SINE, _COSINE, strict=True):
        sine, cosine = sine * z + a, cosine * z + b
    sine, cosine = x + x * z * sine, 1 - (z * 0.5 - z * z * cosine)
    quadrant = turns.astype(np.int64) & 3
    odd = (quadrant & 1).astype(bool)
    sine, cosine = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    return np.where(quadrant >= 2, -sine, sine), np.where((quadrant == 1) | (quadrant == 2), -cosine, cosine)
