"""Lloyd's algorithm: one loop for arrays and files, any engine, with exact sums and certified labels.

Lloyd 1982. Rows whose label cannot have changed are skipped (Hamerly 2010, SDM), the sums are updated from the rows
that changed label alone, and a sketch of the rows screens the centres where it pays; none of this changes a bit of the
result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms.assignment import inertia
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.base import Assignment, Movement, Part, Sums, Update
from gpuclust.engines.canonical import Frame
from gpuclust.sources.base import Chunk

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
        "fast" takes the word of the engine's first screen (float32, or float16 on tensor cores) where it is uncertain.
    spherical : bool
        Scale centres to unit length (the rows are, by ``Dataset(normalize=True)``).
    callback
        Called after each iteration; an exception that it raises ends the run.
    screen : {"auto", "full", "sketch"}
        Which screen the engine uses; "auto" decides by cost. Never changes the result of exact runs.
    delta : bool
        Update the sums by the rows that changed label, or add all rows anew. Never changes the result.
    """
    engine, certify = data.engine, precision == "exact"
    rounded = _rounded(centers, data.dtype)
    frame = data.frame(rounded)
    state, sums = engine.new_assignment(data.n_rows), engine.new_sums(*rounded.shape)
    planner = engine.planner(data.single, data.sample, len(rounded), frame, screen)
    tolerance = tol * data.variance(frame) if tol > 0 else 0.0
    update_centers = partial(engine.update_centers, dtype=data.dtype, spherical=spherical, tolerance=tolerance)

    def assign(centers: Any, movement: Movement | None) -> Iterator[Part]:
        sketch = planner.choose(centers, state.labels, movement)
        prepared = engine.prepare_centers(centers, frame, movement)
        for part in data.parts():
            engine.assign(part.rows, part.start, prepared, state, movement, sketch=sketch, certify=certify)
            yield part

    def iterate(centers: Any, movement: Movement | None) -> _Step:
        nonlocal sums
        if not delta:
            sums = engine.new_sums(*rounded.shape)
            state.previous.fill(-1)
        for part in assign(centers, movement):
            engine.move_rows(part.rows, part.weights, state[part.rows_slice], frame, sums)
        return _Step(centers, update_centers(centers, sums, state, frame))

    # Steps are issued ahead of their outcomes, as many as the engine likes. One that ends the run, or finds an empty
    # cluster, halts the state: those issued after it have done nothing.
    lag = engine.lag if data.resident and delta else 0
    centers, movement = engine.array(rounded), None
    ahead: deque[_Step] = deque()
    stable, converged, n_iter = False, False, 0
    while n_iter < max_iter and not converged:
        while len(ahead) <= lag and n_iter + len(ahead) < max_iter:
            latest = ahead[-1].update if ahead else None
            ahead.append(iterate(latest.centers, latest.movement) if latest else iterate(centers, movement))
        step = ahead.popleft()
        update, outcome = step.update, step.update.outcome()
        n_changed, n_moved = outcome.n_moved, 0
        if outcome.n_empty:
            n_moved = _relocate_empty(data, engine.to_host(step.centers), state, sums, frame)
            ahead.clear()
            update = update_centers(step.centers, sums, state, frame, keep_empty=True)
            outcome = update.outcome()
        centers, movement, n_iter = update.centers, update.movement, n_iter + 1
        # The same labels have the same exact sums: then the centres did not move, and the labels are theirs.
        stable = n_changed == 0 and n_moved == 0
        converged = stable or outcome.shift <= tolerance
        if step.update is not update and not converged:
            engine.resume(state)
        if callback is not None:
            callback(n_iter, n_changed, outcome.shift / frame.scale / frame.scale)
    if not stable:
        engine.resume(state)
        for _ in assign(centers, movement):
            pass
    labels, found = engine.to_host(state.labels), engine.to_host(centers)
    return LloydResult(
        labels=labels,
        centers=found,
        inertia=inertia(data, found, labels),
        n_iter=n_iter,
        n_distinct=int(np.count_nonzero(_rows_in(labels, len(found)))),
        converged=converged,
    )


class _Step(NamedTuple):
    """An iteration: the centres before it, and what it made of them."""

    centers: Any
    update: Update


def _rounded(centers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Centres as the caller will get them: in the data's dtype, held as float64."""
    return np.ascontiguousarray(centers).astype(dtype).astype(np.float64)


def _rows_in(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Rows of each cluster, counted by pieces: ``bincount`` copies its input as int64."""
    pieces = (labels[start : start + (1 << 20)] for start in range(0, len(labels), 1 << 20))
    return sum((np.bincount(piece, minlength=n_clusters) for piece in pieces), np.zeros(n_clusters, np.int64))


def _relocate_empty(data: Dataset, centers: np.ndarray, state: Assignment, sums: Sums, frame: Frame) -> int:
    """Give each empty cluster the row farthest from its own centre; return how many rows moved.

    In order of cluster and of distance, ties to the lowest row. Rows of no weight and rows alone in their cluster stay.
    """
    engine = data.engine
    engine.resume(state)
    empty = np.flatnonzero(engine.sums_on_host(sums).weights(frame) <= 0)
    rows_in = _rows_in(engine.to_host(state.labels), len(centers))
    placed = engine.array(centers)
    # At most one row of each cluster is passed over for being alone.
    wanted = len(empty) + len(centers)
    far_rows, far_distances = np.empty(0, np.int64), np.empty(0)
    for part in data.parts():
        distances = engine.to_host(engine.distances(part.rows, placed, state.labels[part.rows_slice], frame))
        if part.weights is not None:
            distances[engine.to_host(part.weights) == 0] = 0.0
        far_rows = np.concatenate([far_rows, np.arange(part.start, part.start + len(distances))])
        far_distances = np.concatenate([far_distances, distances])
        order = _farthest(far_distances, wanted)
        far_rows, far_distances = far_rows[order], far_distances[order]
    moved = 0
    for row, distance in zip(far_rows.tolist(), far_distances.tolist(), strict=True):
        if moved == len(empty) or distance == 0.0:
            break
        one = slice(row, row + 1)
        label = int(engine.to_host(state.labels[one])[0])
        if rows_in[label] == 1:
            continue
        rows_in[label] -= 1
        engine.relabel(state, row, int(empty[moved]))
        weights = None if data.weights is None else data.weights[one]
        for _, placed in engine.placed([Chunk(row, data.take(np.array([row])))], keep=True):
            engine.move_rows(placed, weights, state[one], frame, sums)
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
