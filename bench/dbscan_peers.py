"""The DBSCAN contenders: each labels all rows for a given eps and min_samples, with every thread it can use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cases import Contender
from bench.data import Rows

__all__ = ["CONTENDERS"]

Result = tuple[NDArray[Any], NDArray[Any]]  # labels (n,), -1 for noise; indices of the core rows


def gpuclust(rows: Rows, eps: float, min_samples: int) -> Result:
    from gpuclust import DBSCAN

    model = DBSCAN(eps, min_samples=min_samples, device="cpu").fit(rows)
    return model.labels_, model.core_sample_indices_


def sklearn(rows: Rows, eps: float, min_samples: int) -> Result:
    from joblib import parallel_config
    from sklearn.cluster import DBSCAN

    with parallel_config("threading"):  # its own choice, loky, becomes a single thread in a daemonic process
        model = DBSCAN(eps=eps, min_samples=min_samples, n_jobs=-1).fit(rows)
    return model.labels_, model.core_sample_indices_


def wang(rows: Rows, eps: float, min_samples: int) -> Result:
    """The package `dbscan` of Wang, Gu and Shun ("Theoretically-efficient and practical parallel DBSCAN", 2020)."""
    import dbscan

    labels, core = dbscan.DBSCAN(rows.astype(np.float64), eps=eps, min_samples=min_samples)
    return labels, np.flatnonzero(core)


_ALL = [
    Contender("gpuclust", "gpuclust", gpuclust),
    Contender("sklearn", "scikit-learn", sklearn, note="n_jobs=-1; stores all lists of neighbours"),
    Contender("dbscan", "dbscan", wang, True, "numbers clusters in its own order; float64; 2 <= d <= 20"),
]

CONTENDERS = {contender.name: contender for contender in _ALL}
