"""Rows and centres as a screen reads them, prepared in NumPy, and the true distances between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests import reference

DTYPES = {"half": np.dtype(np.float16), "single": np.dtype(np.float32)}
UNIT_ROUNDOFF, RHO = {"half": 2.0**-23, "single": 2.0**-24}, {"half": 2.0**-12, "single": 2.0**-25}
# A score: kernels give it to no centre, and no centre's is lower.
PADDING = -1e30


class Vectors(NamedTuple):
    """Rounded vectors (m, width), the squared norms of the exact ones, and their parts of the screen's error."""

    values: np.ndarray
    norms: np.ndarray
    slacks: np.ndarray


def rounded(t: np.ndarray, screen: str, norms: np.ndarray | None = None) -> Vectors:
    """Vectors (m, d) in units of the screen; ``norms``: of what they are a sketch of."""
    dtype = DTYPES[screen]
    t = np.pad(t, ((0, 0), (0, -t.shape[1] % 16)))
    values = np.clip(t, *(np.array([-1, 1]) * float(np.finfo(dtype).max))).astype(dtype)
    squares, residuals = (t * t).sum(axis=1), np.square(t - values.astype(np.float64)).sum(axis=1)
    rho, width = RHO[screen], t.shape[1]
    gamma = 2.4 * (1.25 * width + 16) * UNIT_ROUNDOFF[screen]
    slacks = 0.5 * ((rho + gamma) * squares + residuals / rho) * 1.01 + width * 2.0**-118
    return Vectors(values, squares if norms is None else norms, slacks)


def _up(values: np.ndarray) -> np.ndarray:
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)


class Rows(NamedTuple):
    """The kernels' arguments about rows."""

    values: np.ndarray
    width: np.int32
    norms: np.ndarray
    slacks: np.ndarray

    @classmethod
    def of(cls, vectors: Vectors) -> Rows:
        return cls(_raw(vectors.values), np.int32(vectors.values.shape[1]), vectors.norms.astype(np.float32),
                   _up(vectors.slacks))  # fmt: skip


class Centers(NamedTuple):
    """The kernels' arguments about centres; the slots after the last centre are padding."""

    values: np.ndarray
    constants: np.ndarray
    twice: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, vectors: Vectors, order: np.ndarray | None = None, panel: int = 128) -> Centers:
        """``vectors`` in their own order, to be placed in ``order``."""
        k = len(vectors.values)
        order = np.arange(k, dtype=np.int32) if order is None else order.astype(np.int32)
        exact = (vectors.slacks - 0.5 * vectors.norms)[order]
        constants = _up(exact)
        twice = _up(2 * vectors.slacks[order] + (constants - exact))
        room = -k % panel
        return cls(
            _raw(np.pad(vectors.values[order], ((0, room), (0, 0)))),
            np.pad(constants, (0, room), constant_values=PADDING),
            np.pad(twice, (0, room)),
            order,
        )


def _raw(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint8)


def clusters(
    m: int, k: int, d: int, *, seed: int = 0, dtype: np.dtype | type = np.float32, spread: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m, d) around centres (k, d)."""
    rng = np.random.default_rng(seed)
    c = rng.normal(size=(k, d))
    return (c[rng.integers(0, k, m)] + spread * rng.normal(size=(m, d))).astype(dtype), c


class Problem:
    """Rows and centres, the true distances between them, and both as a screen reads them."""

    def __init__(
        self, x: np.ndarray, c: np.ndarray, screen: str, *, origin: np.ndarray | None = None,
        unit: float | None = None, order: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.x, self.centers, self.screen = x, c.astype(np.float64), screen
        self.scale = reference.scale(np.concatenate([x.astype(np.float64), self.centers]))
        self.origin = np.median(x.astype(np.float64), axis=0) if origin is None else origin
        t = (x.astype(np.float64) - self.origin) * self.scale
        spread = float(np.sqrt(np.median((t * t).mean(axis=1)))) or 1.0
        self.unit = 2.0 ** -np.round(np.log2(spread)) if unit is None else unit
        self.squared = reference.distances(x, self.centers, self.scale)
        self.labels = self.squared.argmin(axis=1).astype(np.int32)
        ordered = np.sort(np.sqrt(self.squared), axis=1)
        self.nearest = ordered[:, 0]
        self.others = ordered[:, 1] if c.shape[0] > 1 else np.full(len(x), np.inf)
        self.rows = Rows.of(rounded(t * self.unit, screen))
        self.slots = Centers.of(rounded((self.centers - self.origin) * self.scale * self.unit, screen), order)

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.x), len(self.centers), self.x.shape[1]

    @property
    def exact(self) -> tuple[Any, ...]:
        """Arguments x, centers, d, scale."""
        return self.x, self.centers, np.int32(self.x.shape[1]), np.float64(self.scale)
