"""Operations on rows and fixed centres: labels, inertia, distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import exact_products, exact_total

__all__ = ["inertia", "predict", "transform"]


def predict(data: Dataset, centers: np.ndarray, precision: str = "exact") -> np.ndarray:
    """Label of each row, (n,) int32: the centre (k, d) of least canonical distance, ties to the lowest index."""
    prepared = data.engine.prepare_centers(centers, data.frame(centers))
    labels = np.empty(data.n_rows, np.int32)
    for part in data.parts():
        state = data.engine.new_assignment(len(part.rows))
        data.engine.assign(part.rows, 0, prepared, state, None, certify=precision == "exact")
        labels[part.rows_slice] = state.labels
    return labels


def inertia(data: Dataset, centers: np.ndarray, labels: np.ndarray) -> float:
    """Weighted sum of squared distances of the rows to the centres of their labels, correctly rounded."""
    frame = data.frame(centers)

    def terms() -> Iterator[np.ndarray]:
        for part in data.parts():
            squared = data.engine.distances(part.rows, centers, labels[part.rows_slice], frame)
            yield from [squared] if part.weights is None else exact_products(part.weights, squared)

    return exact_total(terms()) / frame.scale / frame.scale


def transform(data: Dataset, centers: np.ndarray) -> np.ndarray:
    """Euclidean distance of each row to each centre, (n, k) float64."""
    frame = data.frame(centers)
    out = np.empty((data.n_rows, len(centers)))
    for part in data.parts():
        out[part.rows_slice] = np.sqrt(data.engine.pairwise(part.rows, centers, frame)) / frame.scale
    return out
