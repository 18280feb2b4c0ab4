"""The rows that benchmarks cluster: float32, seeded, the same each time; or real, from the packages or a file.

*Blobs* are as many Gaussian clusters as are asked for, around centres drawn from N(0, I), with noise of standard
deviation 0.4 d^(1/4) per coordinate. The mean squared distance of two rows of different blobs then exceeds that of two
rows of one blob by 2 d, which is 1 / (0.16 sqrt 2) = 4.4 standard deviations, in every dimension d: the blobs overlap a
little, and from random rows as initial centres k-means still changes labels in the tenth iteration, so that nobody can
stop early. *Clumps* lie further apart, and a tenth of the rows is noise around them: what DBSCAN is for. Photographs
are those that scikit-learn ships, so nothing is downloaded.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EMBEDDINGS_VARIABLE",
    "Rows",
    "Unavailable",
    "blobs",
    "clumps",
    "embeddings",
    "isotropic",
    "patches",
    "pixels",
]

EMBEDDINGS_VARIABLE = "GPUCLUST_BENCH_EMBEDDINGS"
BLOCK_ROWS = 65536  # made at a time: no second array of the size of the data

Rows = NDArray[np.float32]


class Unavailable(Exception):
    """The data of a case is not on this machine; the message says how to provide it."""


def blobs(n_features: int, n_clusters: int, n_rows: int) -> Rows:
    random = np.random.default_rng(20)
    centers = random.standard_normal((n_clusters, n_features), dtype=np.float32)
    rows = random.standard_normal((n_rows, n_features), dtype=np.float32)
    rows *= np.float32(0.4 * n_features**0.25)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        block += centers[random.integers(0, n_clusters, len(block))]
    return rows


def clumps(n_features: int, n_clumps: int, side: float, n_rows: int) -> Rows:
    """Gaussian clumps of standard deviation 1 around points of a cube, and one row in ten anywhere in it."""
    random = np.random.default_rng(23)
    centers = random.random((n_clumps, n_features), dtype=np.float32) * np.float32(side)
    rows = random.standard_normal((n_rows, n_features), dtype=np.float32)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        block += centers[random.integers(0, n_clumps, len(block))]
        anywhere = random.random(len(block), dtype=np.float32) < 0.1
        block[anywhere] = random.random((int(anywhere.sum()), n_features), dtype=np.float32) * np.float32(side)
    return rows


def isotropic(n_features: int, n_rows: int) -> Rows:
    return np.random.default_rng(21).standard_normal((n_rows, n_features), dtype=np.float32)


def patches(n_rows: int) -> Rows:
    """8 x 8 RGB patches every 2 pixels of scikit-learn's two photographs: (133140, 192), values 0 to 255."""
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (8, 8, 3))[::2, ::2, 0] for photo in _photographs()]
    return _thinned(np.concatenate([window.reshape(-1, 192) for window in windows]), n_rows)


def pixels(n_rows: int) -> Rows:
    """RGB pixels of scikit-learn's two photographs: (546560, 3), values 0 to 255."""
    return _thinned(np.concatenate([photo.reshape(-1, 3) for photo in _photographs()]), n_rows)


def embeddings(n_rows: int) -> Rows:
    """Rows of the ``.npy`` file (float16 or float32, 2-D) that an environment variable names."""
    path = os.environ.get(EMBEDDINGS_VARIABLE)
    if not path:
        raise Unavailable(f"set {EMBEDDINGS_VARIABLE} to the path of a .npy file of embeddings")
    if not Path(path).is_file():
        raise Unavailable(f"{EMBEDDINGS_VARIABLE}={path}: no such file")
    return _thinned(np.load(path, mmap_mode="r"), n_rows)


def _photographs() -> list[NDArray[np.uint8]]:
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def _thinned(rows: NDArray[np.generic], n_rows: int) -> Rows:
    """About `n_rows` rows spread over the whole, so that a scaled case still sees all of a picture."""
    return rows[:: max(1, len(rows) // n_rows)].astype(np.float32)
