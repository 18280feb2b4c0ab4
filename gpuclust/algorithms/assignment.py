"""Operations on rows and fixed centres: labels, inertia, distances."""

from __future__ import annotations

import numpy as np

from gpuclust.algorithms.dataset import Dataset

__all__ = ["inertia", "predict", "transform"]


def predict(data: Dataset, centers: np.ndarray, precision: str = "exact") -> np.ndarray:
    """Label of each row, (n,) int32: the centre (k, d) of least canonical distance, ties to the lowest index."""
    engine, frame = data.engine, data.frame(centers)
    prepared = engine.prepare_centers(engine.array(centers), frame)
    labels = np.empty(data.n_rows, np.int32)
    for part in data.parts():
        state = engine.new_assignment(len(part.rows), beside=part.rows)
        engine.assign(part.rows, 0, prepared, state, None, certify=precision == "exact")
        labels[part.rows_slice] = engine.to_host(state.labels)
    return labels


def inertia(data: Dataset, centers: np.ndarray, labels: np.ndarray) -> float:
    """Weighted sum of squared distances of the rows to the centres of their labels, correctly rounded."""
    engine, frame = data.engine, data.frame(centers)
    scaled = engine.inertia(data.parts(), engine.array(centers), engine.array(labels), frame)
    return scaled / frame.scale / frame.scale


def transform(data: Dataset, centers: np.ndarray) -> np.ndarray:
    """Euclidean distance of each row to each centre, (n, k) float64."""
    engine, frame = data.engine, data.frame(centers)
    placed, out = engine.array(centers), np.empty((data.n_rows, len(centers)))
    for part in data.parts():
        out[part.rows_slice] = np.sqrt(engine.pairwise(part.rows, placed, frame)) / frame.scale
    return out
