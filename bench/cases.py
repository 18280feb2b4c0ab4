"""The benchmark cases: which rows, how many clusters, how many iterations, who takes part.

Synthetic rows are float32 and seeded. *Blobs* are as many Gaussian clusters as are asked for, around centres drawn from
N(0, I), with noise of standard deviation 0.4 d^(1/4) per coordinate. The mean squared distance of two rows of different
blobs then exceeds that of two rows of one blob by 2 d, which is 1 / (0.16 sqrt 2) = 4.4 standard deviations, in every
dimension d: the blobs overlap a little, and from random rows as initial centres labels still change in the tenth
iteration, so that nobody can stop early. Photographs are those that scikit-learn ships, so nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["CASES", "EMBEDDINGS_VARIABLE", "Case", "Unavailable", "initial_centers"]

EMBEDDINGS_VARIABLE = "GPUCLUST_BENCH_EMBEDDINGS"

Rows = NDArray[np.float32]

LLOYD = (
    "gpuclust",
    "sklearn-lloyd",
    "sklearn-elkan",
    "faiss-kmeans",
    "faiss-superkmeans",
    "superkmeans",
    "fastkmeans",
    "numpy",
)


class Unavailable(Exception):
    """The data of a case is not on this machine; the message says how to provide it."""


@dataclass(frozen=True)
class Case:
    """One benchmark.

    Attributes
    ----------
    name, title : str
        For the command line, and for people.
    make : callable
        ``make(n_rows, n_clusters)`` returns the rows, float32 (n, d), the same each time; real data may be fewer.
    n_rows, n_clusters, n_iter : int
        Rows asked for, clusters, Lloyd iterations (0: seeding only).
    contenders : tuple of str
        Keys of ``bench.peers.CONTENDERS``; the first is the one that the others are compared with.
    """

    name: str
    title: str
    make: Callable[[int, int], Rows]
    n_rows: int
    n_clusters: int
    n_iter: int
    contenders: tuple[str, ...] = LLOYD

    def scaled(self, scale: float) -> Case:
        """The same case with rows and clusters multiplied by `scale`, for a quick look."""
        n_clusters = max(2, round(self.n_clusters * scale))
        return replace(self, n_rows=max(50 * n_clusters, round(self.n_rows * scale)), n_clusters=n_clusters)

    def rows(self) -> Rows:
        """The data, C-contiguous float32 (n, d).

        Raises
        ------
        Unavailable
            The data is not on this machine.
        """
        return np.ascontiguousarray(self.make(self.n_rows, self.n_clusters)[: self.n_rows], dtype=np.float32)


def initial_centers(rows: Rows, n_clusters: int, seed: int = 0) -> Rows:
    """Distinct random rows, float32 (n_clusters, d): where every contender that takes centres begins."""
    return rows[np.random.default_rng(seed).choice(len(rows), n_clusters, replace=False)]


def blobs(n_features: int) -> Callable[[int, int], Rows]:
    def make(n_rows: int, n_clusters: int) -> Rows:
        random = np.random.default_rng(20)
        centers = random.standard_normal((n_clusters, n_features), dtype=np.float32)
        rows = random.standard_normal((n_rows, n_features), dtype=np.float32)
        rows *= np.float32(0.4 * n_features**0.25)
        for start in range(0, n_rows, 65536):  # in blocks: no second array of this size
            block = rows[start : start + 65536]
            block += centers[random.integers(0, n_clusters, len(block))]
        return rows

    return make


def isotropic(n_features: int) -> Callable[[int, int], Rows]:
    return lambda n_rows, _: np.random.default_rng(21).standard_normal((n_rows, n_features), dtype=np.float32)


def patches(n_rows: int, _: int) -> Rows:
    """8 x 8 RGB patches every 2 pixels of scikit-learn's two photographs: (133140, 192), values 0 to 255."""
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (8, 8, 3))[::2, ::2, 0] for photo in _photographs()]
    return _thinned(np.concatenate([window.reshape(-1, 192) for window in windows]), n_rows)


def pixels(n_rows: int, _: int) -> Rows:
    """RGB pixels of scikit-learn's two photographs: (546560, 3), values 0 to 255."""
    return _thinned(np.concatenate([photo.reshape(-1, 3) for photo in _photographs()]), n_rows)


def embeddings(n_rows: int, _: int) -> Rows:
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


_ALL = [
    Case("16d", "blobs 1M x 16, k=64", blobs(16), 1_000_000, 64, 10),
    Case("128d", "blobs 200k x 128, k=1024", blobs(128), 200_000, 1024, 10),
    Case("768d", "blobs 100k x 768, k=256", blobs(768), 100_000, 256, 10),
    Case("isotropic", "isotropic Gaussian 100k x 128, k=1024", isotropic(128), 100_000, 1024, 10),
    Case("patches", "photo patches 133,140 x 192, k=1024", patches, 133_140, 1024, 25),
    Case("pixels", "RGB pixels 546,560 x 3, k=64", pixels, 546_560, 64, 25),
    Case("embeddings", "text embeddings, k=1024", embeddings, 1_000_000, 1024, 25),
    Case(
        "seeding",
        "k-means++ seeding, photo patches 133,140 x 192, k=1024",
        patches,
        133_140,
        1024,
        0,
        ("gpuclust-seeding", "sklearn-seeding"),
    ),
]

CASES = {case.name: case for case in _ALL}
