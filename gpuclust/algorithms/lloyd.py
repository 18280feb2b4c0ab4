"""Lloyd's algorithm: one loop for arrays and files, any engine, with exact sums and certified labels.

Lloyd 1982. Rows whose label cannot have changed are skipped (Hamerly 2010, SDM), the sums are updated from the rows
that changed label alone, and a sketch of the rows screens the centres where it pays; none of this changes a bit of the
result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gpuclust.algorithms.assignment import inertia
from gpuclust.algorithms.dataset import Dataset, Part
from gpuclust.engines.base import Assignment, Sums
from gpuclust.engines.canonical import Frame, exact_total

__all__ = ["Callback", "LloydResult", "run"]

# : callback(iteration, n_changed, center_shift): rows that changed label, squared movement of all centres in the user's
# units.
Callback = Callable[[int, int, float], None]


class LloydResult(NamedTuple):
    """What a run found. ``labels`` are those of the returned ``centers``, to the last bit.

    labels : ndarray (n,) int32
    centers : ndarray (k, d) float64, values of the data's dtype
    inertia : float
    n_iter : int
    n_distinct : int, number of clusters with rows
    converged : bool
    """

    labels: np.ndarray
    centers: np.ndarray
    inertia: float
    n_iter: int
    n_distinct: int
    converged: bool


def run(
    data: Dataset,
    centers: np.ndarray,
    *,
    max_iter: int,
    tol: float,
    precision: str = "exact",
    spherical: bool = False,
    callback: Callback | None = None,
    screen: str = "auto",
    delta: bool = True,
) -> LloydResult:
    """Run Lloyd's iterations from ``centers`` (k, d).

    Parameters
    ----------
    max_iter, tol
        As scikit-learn's: stop when no label changed, when the squared movement of the centres is at most ``tol`` times
        the mean variance of the columns, or after ``max_iter`` iterations.
    precision : {"exact", "fast"}
        "fast" takes the word of the float32 screen where it is uncertain.
    spherical : bool
        Scale centres to unit length (the rows are, by ``Dataset(normalize=True)``).
    callback
        Called after each iteration; an exception that it raises ends the run.
    screen : {"auto", "full", "sketch"}
        Which screen the engine uses; "auto" decides by cost. Never changes the result of exact runs.
    delta : bool
        Update the sums by the rows that changed label, or add all rows anew. Never changes the result.
    """
    engine = data.engine
    centers = _rounded(centers, data.dtype)
    frame = data.frame(centers)
    state = engine.new_assignment(data.n_rows)
    sums = Sums.zeros(*centers.shape)
    planner = engine.planner(_resident_rows(data), data.sample, len(centers), frame, screen)
    tolerance = tol * data.variance(frame) if tol > 0 else 0.0
    certify, movement = precision == "exact", None
    stable, converged, n_iter = False, False, 0

    def assign(part: Part) -> None:
        engine.assign(part.rows, part.start, prepared, state, movement, sketch=sketch, certify=certify)

    while n_iter < max_iter and not converged:
        sketch = planner.choose(centers, state.labels, movement.drifts) if movement else None
        prepared, n_changed = engine.prepare_centers(centers, frame, movement), 0
        if not delta:
            sums = Sums.zeros(*centers.shape)
        for part in data.parts():
            rows = part.rows_slice
            before, after = state.previous[rows], state.labels[rows]
            assign(part)
            n_changed += int(np.count_nonzero(before != after))
            engine.move_rows(part.rows, part.weights, before if delta else np.full_like(before, -1), after, frame, sums)
            before[:] = after
        n_moved = _relocate_empty(data, centers, state, sums, frame)
        updated = _centroids(data, sums, centers, frame, spherical)
        movement = engine.movement(centers, updated, frame)
        own = np.arange(len(centers), dtype=np.int32)
        shift = exact_total([engine.distances(updated, centers, own, frame)])
        centers, n_iter = updated, n_iter + 1
        # The same labels have the same exact sums: then the centres did not move, and the labels are theirs.
        stable = n_changed == 0 and n_moved == 0
        converged = stable or shift <= tolerance
        if callback is not None:
            callback(n_iter, n_changed, shift / frame.scale / frame.scale)
    if not stable:
        sketch = planner.choose(centers, state.labels, movement.drifts) if movement else None
        prepared = engine.prepare_centers(centers, frame, movement)
        for part in data.parts():
            assign(part)
    return LloydResult(
        labels=state.labels,
        centers=centers,
        inertia=inertia(data, centers, state.labels),
        n_iter=n_iter,
        n_distinct=int(np.count_nonzero(_rows_in(state.labels, len(centers)))),
        converged=converged,
    )


def _rounded(centers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Centres as the caller will get them: in the data's dtype, held as float64."""
    return np.ascontiguousarray(centers).astype(dtype).astype(np.float64)


def _resident_rows(data: Dataset):  # type: ignore[no-untyped-def]
    return next(data.parts()).rows if data.resident else None


def _rows_in(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Rows of each cluster, counted by pieces: ``bincount`` copies its input as int64."""
    pieces = (labels[start : start + (1 << 20)] for start in range(0, len(labels), 1 << 20))
    return sum((np.bincount(piece, minlength=n_clusters) for piece in pieces), np.zeros(n_clusters, np.int64))


def _centroids(data: Dataset, sums: Sums, centers: np.ndarray, frame: Frame, spherical: bool) -> np.ndarray:
    """Mean of each cluster; a cluster without weight keeps its centre."""
    weights = sums.weights(frame)
    filled = weights > 0
    means = sums.totals(frame)
    means /= np.where(filled, weights, 1.0)[:, None]
    if not filled.all():
        means[~filled] = centers[~filled]
    if spherical:
        zero, first = np.zeros((1, means.shape[1])), np.zeros(len(means), np.int32)
        lengths = np.sqrt(data.engine.distances(means, zero, first, frame)) / frame.scale
        # Rows that cancel out have a mean without direction.
        means = np.where(lengths[:, None] > 0, means / np.where(lengths > 0, lengths, 1.0)[:, None], centers)
    return _rounded(means, data.dtype)


def _relocate_empty(data: Dataset, centers: np.ndarray, state: Assignment, sums: Sums, frame: Frame) -> int:
    """Give each empty cluster the row farthest from its own centre; return how many rows moved.

    In order of cluster and of distance, ties to the lowest row. Rows of no weight and rows alone in their cluster stay.
    """
    empty = np.flatnonzero(sums.weights(frame) <= 0)
    if not len(empty):
        return 0
    rows_in = _rows_in(state.labels, len(centers))
    # At most one row of each cluster is passed over for being alone.
    wanted = len(empty) + len(centers)
    far_rows, far_distances = np.empty(0, np.int64), np.empty(0)
    for part in data.parts():
        distances = data.engine.distances(part.rows, centers, state.labels[part.rows_slice], frame)
        if part.weights is not None:
            distances[part.weights == 0] = 0.0
        far_rows = np.concatenate([far_rows, np.arange(part.start, part.start + len(distances))])
        far_distances = np.concatenate([far_distances, distances])
        order = _farthest(far_distances, wanted)
        far_rows, far_distances = far_rows[order], far_distances[order]
    moved = 0
    for row, distance in zip(far_rows.tolist(), far_distances.tolist(), strict=True):
        label = state.labels[row]
        if moved == len(empty) or distance == 0.0:
            break
        if rows_in[label] == 1:
            continue
        rows_in[label] -= 1
        state.labels[row] = empty[moved]
        state.lower[row], state.upper[row] = 0.0, np.inf
        one = slice(row, row + 1)
        weights = None if data.sample_weight is None else data.sample_weight[one]
        values = data.engine.place(data.take(np.array([row])))
        data.engine.move_rows(values, weights, state.previous[one], state.labels[one], frame, sums)
        state.previous[row] = empty[moved]
        moved += 1
    return moved


def _farthest(distances: np.ndarray, count: int) -> np.ndarray:
    """Positions of the ``count`` largest, largest first, ties by position."""
    if len(distances) > 4 * count:
        # All that may count, ties included, before sorting.
        least = np.partition(distances, len(distances) - count)[len(distances) - count]
        kept = np.flatnonzero(distances >= least)
    else:
        kept = np.arange(len(distances))
    return kept[np.argsort(-distances[kept], kind="stable")][:count]
