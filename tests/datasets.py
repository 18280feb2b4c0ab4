"""Named hard datasets, where fp32 screens, GEMM-form distances and float sums go wrong: for tests of all engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest


class Case(NamedTuple):
    """Rows (n, d) and initial centres (k, d), both of the dtype asked for."""

    X: np.ndarray
    centers: np.ndarray


def _blobs(n: int = 600, d: int = 7, k: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(k, d)) * 3
    X = middles[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    return X, X[rng.choice(n, k, replace=False)]


def _moved(shift: float, factor: float = 1.0) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    def make() -> tuple[np.ndarray, np.ndarray]:
        X, centers = _blobs()
        return X * factor + shift, centers * factor + shift

    return make


def _two_blocks() -> tuple[np.ndarray, np.ndarray]:
    X, _ = _blobs(k=10)
    X[::2] += 1e4
    X[1::2] -= 1e4
    return X, np.concatenate([X[0:10:2], X[1:10:2]])


def _outlier() -> tuple[np.ndarray, np.ndarray]:
    X, centers = _blobs()
    X[17] = 1e9
    return X, centers


def _denormal() -> tuple[np.ndarray, np.ndarray]:
    """Multiples of the smallest denormal of float32: rows differ in a few units of it."""
    rng = np.random.default_rng(1)
    X = rng.integers(-40, 40, size=(300, 5)) * 2.0**-149
    return X, X[:6]


def _all_equal() -> tuple[np.ndarray, np.ndarray]:
    return np.full((50, 4), 3.7), np.array([[3.7] * 4, [0.0] * 4, [5.0] * 4])


def _ties() -> tuple[np.ndarray, np.ndarray]:
    """Centres on the corners of a square, rows on its lattice: many rows are equally near to two or four centres."""
    grid = np.arange(-6.0, 7.0)
    X = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    return X, np.array([[4.0, 4.0], [-4.0, 4.0], [4.0, -4.0], [-4.0, -4.0]])


def _almost_ties() -> tuple[np.ndarray, np.ndarray]:
    """Rows half-way between two of the centres, moved by a few units in the last place: no fp32 screen can tell."""
    rng = np.random.default_rng(2)
    centers = rng.normal(size=(12, 20)).astype(np.float32).astype(np.float64) + 100.0
    pairs = np.array([rng.choice(12, 2, replace=False) for _ in range(400)])
    X = centers[pairs].mean(axis=1)
    return X * (1 + rng.integers(-3, 4, size=(400, 1)) * 2.0**-50), centers


def _duplicated_centers() -> tuple[np.ndarray, np.ndarray]:
    X, centers = _blobs()
    return X, np.concatenate([centers, centers[::-1], centers[:2]])


def _constant_columns() -> tuple[np.ndarray, np.ndarray]:
    X, centers = _blobs(d=9)
    for part in (X, centers):
        part[:, 1] = 0.0
        part[:, 4] = -123456.789
        part[:, 8] = 1e-12
    return X, centers


def _scaled_columns() -> tuple[np.ndarray, np.ndarray]:
    X, centers = _blobs(d=6)
    factors = 10.0 ** np.array([-10, -5, 0, 3, 6, 10])
    return X * factors, centers * factors


def _one_row() -> tuple[np.ndarray, np.ndarray]:
    return np.array([[1.5, -2.0, 7.0]]), np.array([[0.0, 0.0, 0.0]])


def _one_column() -> tuple[np.ndarray, np.ndarray]:
    X, centers = _blobs(d=1)
    return X, np.unique(centers, axis=0)


def _wide() -> tuple[np.ndarray, np.ndarray]:
    return _blobs(n=60, d=4096, k=6)


def _odd_widths(d: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    return lambda: _blobs(n=200, d=d, k=5, seed=d)


def _as_many_as_rows() -> tuple[np.ndarray, np.ndarray]:
    X, _ = _blobs(n=70)
    return X, X[::-1]


def _isotropic() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(3).normal(size=(900, 24))
    return X, X[:40]


def _empty_clusters() -> tuple[np.ndarray, np.ndarray]:
    X, centers = _blobs()
    centers[[2, 5, 7]] += 1e3
    return X, centers


_MAKERS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "shift_0": _moved(0.0),
    "shift_1e2": _moved(1e2),
    "shift_1e4": _moved(1e4),
    "shift_1e6": _moved(1e6),
    "two_blocks_1e4": _two_blocks,
    "outlier_1e9": _outlier,
    "magnitude_1e19": _moved(0.0, 1e19),
    "magnitude_1e30": _moved(0.0, 1e30),
    "magnitude_1e-25": _moved(0.0, 1e-25),
    "magnitude_1e-38": _moved(0.0, 1e-38),
    "magnitude_1e140": _moved(0.0, 1e140),
    "magnitude_1e-200": _moved(0.0, 1e-200),
    "denormal": _denormal,
    "all_equal": _all_equal,
    "ties": _ties,
    "almost_ties": _almost_ties,
    "duplicated_centers": _duplicated_centers,
    "constant_columns": _constant_columns,
    "scaled_columns": _scaled_columns,
    "n_1": _one_row,
    "d_1": _one_column,
    "d_31": _odd_widths(31),
    "d_32": _odd_widths(32),
    "d_33": _odd_widths(33),
    "d_100": _odd_widths(100),
    "d_4096": _wide,
    "k_equals_n": _as_many_as_rows,
    "isotropic": _isotropic,
    "empty_clusters": _empty_clusters,
}

_FLOAT64_ONLY = {"magnitude_1e140", "magnitude_1e-200"}

NARROW = [np.float16, np.int8, np.uint8, np.bool_, np.int16, np.uint16, np.int32, np.int64]

HARD = [
    pytest.param(name, dtype, id=f"{name}-{np.dtype(dtype).name}")
    for name in _MAKERS
    for dtype in (np.float32, np.float64)
    if not (name in _FLOAT64_ONLY and dtype == np.float32)
]


def hard(name: str, dtype: type) -> Case:
    """The named dataset in `dtype`; the same values at every call."""
    X, centers = _MAKERS[name]()
    return Case(np.ascontiguousarray(X.astype(dtype)), np.ascontiguousarray(centers.astype(dtype)))


def narrow(dtype: type) -> Case:
    """Rows of a narrow dtype that fill its range, and distinct rows of them as centres."""
    rng = np.random.default_rng(4)
    kind = np.dtype(dtype)
    if kind == np.bool_:
        X = rng.random((300, 12)) < 0.4
    elif kind.kind == "f":
        X = (rng.normal(size=(300, 6)) * 1000).astype(kind)
    else:
        bounds = np.iinfo(kind)
        low, high = max(int(bounds.min), -(2**52)), min(int(bounds.max), 2**52)
        X = rng.integers(low, high, size=(300, 6), endpoint=True).astype(kind)
    _, first = np.unique(X, axis=0, return_index=True)
    return Case(X, X[np.sort(first)[:7]])


def weights(n: int, seed: int = 5) -> np.ndarray:
    """Positive weights over four orders of magnitude, some of them zero."""
    rng = np.random.default_rng(seed)
    w = 10.0 ** rng.uniform(-2, 2, size=n)
    w[rng.random(n) < 0.1] = 0.0
    w[0] = 1.0
    return w
