"""Initial centres: seeded from the rows, given by the caller, or made by the caller's function."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuclust.algorithms import seeding
from gpuclust.algorithms.dataset import Dataset
from gpuclust.errors import ParameterError
from gpuclust.sources import Source, as_source

__all__ = ["SEEDINGS", "draw_seed", "initial_centers"]

SEEDINGS: dict[str, Callable[[Dataset, int, int], tuple[np.ndarray, np.ndarray]]] = {
    "k-means++": seeding.plus_plus,
    "k-means||": seeding.parallel,
    "random": seeding.random_rows,
}


def draw_seed(random_state: np.random.RandomState) -> int:
    """Draw one seed in [0, 2**63): all that the algorithms take from a random state."""
    return int(random_state.randint(0, 2**63 - 1, dtype=np.int64))


def initial_centers(
    init: Any, n_clusters: int, X: Any, data: Dataset, random_state: np.random.RandomState
) -> np.ndarray:
    """Return initial centres (n_clusters, n_features), float64 rounded to the precision of the rows.

    Parameters
    ----------
    init : str, array-like or callable
        The estimator's parameter.
    X
        What the caller passed as rows: a callable gets an array, or the `Source` when `X` is a path or a `Source`.
    data : Dataset
        The rows, opened.
    random_state : RandomState
        One seed is drawn from it for the seeded methods; a callable gets it as it is.

    Raises
    ------
    ParameterError
        Centres of the wrong shape, or not finite in the dtype of the rows.
    """
    if isinstance(init, str):
        centers, _ = SEEDINGS[init](data, n_clusters, draw_seed(random_state))
        return centers
    if callable(init):
        # A callable written for scikit-learn expects an array. Files stay on disk: it gets the Source to take from.
        on_disk = isinstance(X, str | os.PathLike | Source)
        rows = data.source if on_disk else data.take(np.arange(data.n_rows))
        init = init(rows, n_clusters, random_state=random_state)
    return _checked(init, n_clusters, data)


def _checked(init: Any, n_clusters: int, data: Dataset) -> np.ndarray:
    """Return the caller's centres (any array or table) in float64, rounded to the rows' precision."""
    source = as_source(init, name="init")
    shape = (source.n_rows, source.n_features)
    if source.n_rows != n_clusters:
        raise ParameterError(
            f"The shape of the initial centers {shape} does not match the number of clusters {n_clusters}."
        )
    if source.n_features != data.n_features:
        raise ParameterError(
            f"The shape of the initial centers {shape} does not match the number of features of the data "
            f"{data.n_features}."
        )
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinity and is reported below
        centers = source.take(np.arange(source.n_rows)).astype(data.dtype).astype(np.float64)
    if not np.isfinite(centers).all():
        row, column = np.argwhere(~np.isfinite(centers))[0]
        raise ParameterError(f"init contains NaN or infinity in {data.dtype}: first at row {row}, column {column}.")
    return centers
