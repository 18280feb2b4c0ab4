"""The gap statistic: how much lower the inertia is than that of rows without clusters.

R. Tibshirani, G. Walther, T. Hastie, "Estimating the number of clusters in a data set via the gap statistic", J. R.
Stat. Soc. B 63, 2001, with reference rows drawn uniformly from the range of each feature (their choice (a)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.select.fits import fits
from gpuclust.select.progress import Progress
from gpuclust.sources import as_source

__all__ = ["N_REFERENCES", "gap"]

N_REFERENCES = 10


def gap(
    data: Dataset, ks: Sequence[int], seed: int, progress: Progress, *, spherical: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Gap and its error for each of ``ks``, (m,) float64 each.

    gap(k) is the mean of log inertia of ``N_REFERENCES`` sets of reference rows, as many as ``data`` has, minus that of
    ``data``; the error is sqrt(1 + 1 / N_REFERENCES) times the standard deviation. All NaN if the time is over before
    two sets are done, or the inertia is 0.
    """
    own = np.array([_log(fit.inertia) for fit in fits(data, ks, seed, spherical=spherical)])
    low, high = data.extent
    references: list[np.ndarray] = []
    for turn in range(N_REFERENCES):
        progress("gap", turn, N_REFERENCES)
        uniform = purpose_stream(seed, f"gap {turn}").uniform(data.n_rows * data.n_features)
        rows = (low + uniform.reshape(data.n_rows, -1) * (high - low)).astype(data.dtype)
        inertias: list[float] = []
        reference = Dataset(data.engine, as_source(rows), normalize=spherical)
        for fit in fits(reference, ks, seed, spherical=spherical):
            if progress.over():
                break
            inertias.append(_log(fit.inertia))
        if len(inertias) < len(ks):
            break
        references.append(np.array(inertias))
    else:
        progress("gap", N_REFERENCES, N_REFERENCES)
    if len(references) < 2:
        return np.full(len(ks), np.nan), np.full(len(ks), np.nan)
    found = np.array(references)
    return found.mean(axis=0) - own, found.std(axis=0) * math.sqrt(1 + 1 / len(found))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan
