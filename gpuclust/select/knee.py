"""The knee of a curve: where it stands furthest from the straight line between its ends.

V. Satopää, J. Albrecht, D. Irwin, B. Raghavan, "Finding a kneedle in a haystack: detecting knee points in system
behavior", ICDCS Workshops 2011, for one knee and without smoothing.
"""

from __future__ import annotations

import numpy as np

__all__ = ["knee"]


def knee(x: np.ndarray, y: np.ndarray) -> int:
    """Position of the point furthest below the chord from the first point to the last, the first of equals.

    Parameters
    ----------
    x, y : ndarray (m,) float64
        A curve with rising ``x``; it is measured in units of its own extent, so that units do not matter.
    """
    rise, run = y[-1] - y[0], x[-1] - x[0]
    if len(x) < 3 or run == 0:
        return 0
    chord = y[0] + rise * ((x - x[0]) / run)
    return int((chord - y).argmax())
