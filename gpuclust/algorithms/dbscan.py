"""DBSCAN: clusters of rows with many neighbours (Ester et al., KDD 1996), exactly, without storing who they are.

Core rows are counted, joined, and claim the rows beside them: three stages, in which rows are asked about their
neighbours and no answer is kept. Memory is O(n) beyond the data, plus what pairs may be remembered in. Two forms find
neighbours, and the result does not depend on which: by the cells of a grid, for few features (with its unions over
cells after T. Gunawan, "A faster algorithm for DBSCAN", 2013), and by pairs of tiles. Data that is not in memory is
read slab by slab, or block by block past itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gpuclust.algorithms import weights as exact_weights
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.form import prefers_cells
from gpuclust.algorithms.slabs import Slab, Slabs
from gpuclust.engines.canonical import Frame
from gpuclust.engines.neighborhood import Cells, Grid, Neighborhood, Pairs, Tell, make_grid
from gpuclust.errors import ParameterError

__all__ = ["Clustering", "Progress", "dbscan", "nearest_core", "number"]

Progress = Callable[[str, int, int], None]

# Memory for remembered pairs or for a slab, where nobody limits it.
_MEMORY = 2**30
# Distances that are computed at a time where nothing cheaper finds the nearest.
_PAIRWISE = 1 << 22


class Clustering(NamedTuple):
    """``labels`` (n,) int32: clusters by their smallest core row, -1 for noise. ``core`` (n,) bool."""

    labels: np.ndarray
    core: np.ndarray


def dbscan(
    data: Dataset,
    neighborhood: Neighborhood,
    min_samples: int,
    *,
    weights: np.ndarray | None = None,
    form: str = "auto",
    max_memory: int | None = None,
    callback: Progress | None = None,
) -> Clustering:
    """Cluster rows that have at least ``min_samples`` neighbours, themselves included, and the rows beside them.

    Parameters
    ----------
    data : Dataset
        Fewer than 2**31 rows.
    neighborhood : Neighborhood
    min_samples : int
        At least 1.
    weights : ndarray (n,) float64, optional
        Count a neighbour as so many; finite, of any sign. Sums are exact.
    form : {"auto", "cells", "pairs"}
        How neighbours are found; the result is the same.
    max_memory : int, optional
        Bytes for remembered pairs and, when rows are not in memory, for slabs.
    callback : callable, optional
        ``callback(stage, done, total)``, in the caller's thread, while "count", "link" and "claim" last, several times
        a second as a rule, and at the end of each. It may raise to stop.

    Raises
    ------
    ParameterError
        ``form="cells"`` for too many features or cells.
    """
    tell = callback or (lambda stage, done, total: None)
    memory = max_memory or _MEMORY
    grid = None if form == "pairs" else make_grid(neighborhood, *data.extent)
    if form == "cells" and grid is None:
        raise ParameterError(f"form='cells' is for a few features and cells; X has {data.n_features} features.")
    if grid is not None and (form == "cells" or prefers_cells(data, grid)):
        return _by_cells(data, grid, neighborhood, min_samples, weights, memory, tell)
    return _by_pairs(data, neighborhood, min_samples, weights, memory, tell)


def number(components: np.ndarray) -> np.ndarray:
    """Labels, (n,) int32, of components named by their smallest row; -1 where there is none."""
    roots = components == np.arange(len(components), dtype=components.dtype)
    ranks = np.cumsum(roots, dtype=np.int32) - np.int32(1)
    return np.where(components >= 0, ranks[components], np.int32(-1))


# -- by cells ----------------------------------------------------------------------------------------------------------


def _by_cells(
    data: Dataset,
    grid: Grid,
    neighborhood: Neighborhood,
    min_samples: int,
    weights: np.ndarray | None,
    memory: int,
    tell: Progress,
) -> Clustering:
    engine, n = data.engine, data.n_rows
    if data.single is not None:
        n_slabs, kept = 1, [(Slab(), engine.cells(data.single, grid, neighborhood))]

        def sorted_slabs() -> Iterator[tuple[Slab, Cells]]:
            return iter(kept)

    else:
        # A row takes its own bytes twice over and those of sorting it.
        found = Slabs(data, grid, max(1, memory // (3 * data.n_features * data.dtype.itemsize + 64)))
        n_slabs = len(found)

        def sorted_slabs() -> Iterator[tuple[Slab, Cells]]:
            return ((slab, engine.cells(engine.place(slab.rows), grid, neighborhood)) for slab in found)

    def stage(name: str) -> Iterator[tuple[Slab, Cells]]:
        for done, each in enumerate(sorted_slabs(), start=1):
            yield each
            tell(name, done, n_slabs)

    core = _cores(stage, n, min_samples, weights, engine, tell)
    names, meetings = np.full(n, -1, np.int32), [np.empty((0, 2), np.int64)]
    for slab, cells in stage("link"):
        roots = engine.to_host(cells.components(engine.array(slab.of(core))))
        if slab.numbers is None:
            names = roots
            continue
        own = np.flatnonzero(roots >= 0)
        numbers, found_names = slab.numbered(own), slab.numbered(roots[own]).astype(np.int32)
        known = names[numbers]
        differ = (known >= 0) & (known != found_names)
        meetings.append(np.unique(np.stack([known[differ], found_names[differ]], axis=1), axis=0).astype(np.int64))
        names[numbers] = found_names
    labels = number(_merged(names, np.concatenate(meetings)))
    claimed = np.empty(n, np.int32)
    for slab, cells in stage("claim"):
        near = cells.claim(engine.array(slab.of(core)), engine.array(slab.of(labels)))
        slab.put(engine.to_host(near), claimed)
    return Clustering(claimed, core.astype(bool))


def _cores(
    stage: Callable[[str], Iterator[tuple[Slab, Cells]]],
    n_rows: int,
    min_samples: int,
    weights: np.ndarray | None,
    engine: Any,
    tell: Progress,
) -> np.ndarray:
    """Flags (n,) uint8 of the core rows."""

    def gathered(dtype: type, ask: Callable[[Slab, Cells], Any], each: Iterator[tuple[Slab, Cells]]) -> np.ndarray:
        out: np.ndarray = np.empty(n_rows, dtype)
        for slab, cells in each:
            slab.put(engine.to_host(ask(slab, cells)), out)
        return out

    if weights is None:
        return gathered(np.uint8, lambda slab, cells: cells.cores(min_samples), stage("count"))
    flags = exact_weights.enough(
        weights,
        min_samples,
        lambda values: gathered(
            np.int64, lambda slab, cells: cells.sums(engine.array(slab.of(values))), stage("count")
        ),
    )
    return flags.view(np.uint8)


def _merged(names: np.ndarray, meetings: np.ndarray) -> np.ndarray:
    """Names of components, of which those that meet are one: the smallest of their names."""
    if not len(meetings):
        return names
    ids, ends = np.unique(meetings, return_inverse=True)
    ends = ends.reshape(meetings.shape)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(ids), len(ids)))
    _, groups = connected_components(graph, directed=False)
    smallest = np.full(groups.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, groups, ids)
    renamed = np.arange(len(names) + 1, dtype=np.int32)  # the last: no name
    renamed[-1] = -1
    renamed[ids] = smallest[groups]
    return renamed[names]


# -- by pairs ----------------------------------------------------------------------------------------------------------


def _by_pairs(
    data: Dataset,
    neighborhood: Neighborhood,
    min_samples: int,
    weights: np.ndarray | None,
    memory: int,
    tell: Progress,
) -> Clustering:
    engine, n = data.engine, data.n_rows
    pairs = engine.pairs(n, neighborhood, _frame(data, neighborhood, data.sample[:1]), data.sample, memory)
    blocks = _Blocks(data, pairs)

    def stage(name: str) -> Iterator[tuple[Any, Any, Tell]]:
        before = 0
        for seen, a, b in blocks:

            def so_far(done: int, all_of_it: int, before: int = before, seen: int = seen) -> None:
                tell(name, before + seen * done // all_of_it, blocks.total)

            yield a, b, so_far
            before += seen
            tell(name, before, blocks.total)

    if weights is None:
        for a, b, so_far in stage("count"):
            pairs.count(a, b, min_samples, so_far)
        core = pairs.cores(min_samples)
    else:

        def sums(values: np.ndarray) -> np.ndarray:
            placed, out = engine.array(values), engine.full(n, 0, np.int64)
            for a, b, so_far in stage("count"):
                pairs.weigh(a, b, placed, out, so_far)
            return engine.to_host(out)

        core = engine.array(exact_weights.enough(weights, min_samples, sums).view(np.uint8))
    pairs.link(core)
    for a, b, so_far in stage("link") if pairs.missed else ():
        pairs.link_missed(a, b, core, so_far)
    tell("link", blocks.total, blocks.total)
    labels = engine.array(number(engine.to_host(pairs.components(core))))
    pairs.claim(core, labels)
    for a, b, so_far in stage("claim") if pairs.missed else ():
        pairs.claim_missed(a, b, core, labels, so_far)
    tell("claim", blocks.total, blocks.total)
    return Clustering(engine.to_host(labels), engine.to_host(core).astype(bool))


class _Blocks:
    """Every pair of blocks of a dataset, and how many pairs of rows it has.

    Resident blocks are prepared once; others are read, each past all that follow it.
    """

    def __init__(self, data: Dataset, pairs: Pairs) -> None:
        self._data, self._pairs = data, pairs
        self._kept = [pairs.block(part) for part in data.parts()] if data.single is not None or data.resident else None
        self.total = data.n_rows * (data.n_rows + 1) // 2

    def __iter__(self) -> Iterator[tuple[int, Any, Any]]:
        return self._read() if self._kept is None else self._held(self._kept)

    def _held(self, blocks: list[Any]) -> Iterator[tuple[int, Any, Any]]:
        sizes = [len(part.rows) for part in self._data.parts()]
        for i, a in enumerate(blocks):
            for j in range(i, len(blocks)):
                yield _n_pairs(sizes[i], sizes[j], i == j), a, blocks[j]

    def _read(self) -> Iterator[tuple[int, Any, Any]]:
        for part in self._data.parts():
            a = self._pairs.block(part)
            for other in self._data.parts(start=part.start):
                same = other.start == part.start
                b = a if same else self._pairs.block(other)
                yield _n_pairs(len(part.rows), len(other.rows), same), a, b


def _n_pairs(m: int, n: int, same: bool) -> int:
    return m * (m + 1) // 2 if same else m * n


# -- new rows ----------------------------------------------------------------------------------------------------------


def nearest_core(data: Dataset, cores: np.ndarray, neighborhood: Neighborhood) -> np.ndarray:
    """The nearest of the core rows (k, d) within reach of each row, the first of equals: (n,) int32, or -1."""
    out = np.full(data.n_rows, -1, np.int32)
    if not len(cores):
        return out
    low, high = cores.min(axis=0).astype(np.float64), cores.max(axis=0).astype(np.float64)
    with np.errstate(over="ignore"):
        # What lies further out has no core row within eps.
        low, high = low - 2 * neighborhood.eps, high + 2 * neighborhood.eps
    grid = make_grid(neighborhood, low, high)
    if grid is None:
        near = _nearest_center if neighborhood.metric == "euclidean" else _nearest_of_all
        return near(data, cores, neighborhood, out)
    engine = data.engine
    for part in data.parts():
        rows = engine.to_host(part.rows)
        inside = np.flatnonzero(((rows >= low) & (rows <= high)).all(axis=1))
        both = np.concatenate([cores, rows[inside]])
        flags = np.zeros(len(both), np.uint8)
        flags[: len(cores)] = 1
        cells = engine.cells(engine.place(both), grid, neighborhood)
        out[part.start + inside] = engine.to_host(cells.nearest(engine.array(flags)))[len(cores) :]
    return out


def _nearest_center(data: Dataset, cores: np.ndarray, neighborhood: Neighborhood, out: np.ndarray) -> np.ndarray:
    """By k-means' assignment, with the core rows as centres."""
    engine, centers = data.engine, cores.astype(np.float64)
    frame = _frame(data, neighborhood, centers)
    placed = engine.array(centers)
    prepared = engine.prepare_centers(placed, frame)
    for part in data.parts():
        state = engine.new_assignment(len(part.rows), beside=part.rows)
        engine.assign(part.rows, 0, prepared, state, None)
        distances = engine.to_host(engine.distances(part.rows, placed, state.labels, frame))
        out[part.rows_slice] = np.where(distances <= neighborhood.limit, engine.to_host(state.labels), np.int32(-1))
    return out


def _nearest_of_all(data: Dataset, cores: np.ndarray, neighborhood: Neighborhood, out: np.ndarray) -> np.ndarray:
    """By all distances."""
    engine, frame = data.engine, _frame(data, neighborhood, cores)
    placed, step = engine.array(cores.astype(np.float64)), max(1, _PAIRWISE // len(cores))
    for part in data.parts():
        rows = engine.to_host(part.rows)
        for at in range(0, len(rows), step):
            distances = engine.pairwise(engine.place(rows[at : at + step]), placed, frame, neighborhood.metric)
            winner = distances.argmin(axis=1).astype(np.int32)
            near = distances.min(axis=1) <= neighborhood.limit
            out[part.start + at : part.start + at + len(winner)] = np.where(near, winner, np.int32(-1))
    return out


def _frame(data: Dataset, neighborhood: Neighborhood, centers: np.ndarray) -> Frame:
    """The frame of rows and centres, with the neighbourhood's scale; the unit makes up for it."""
    frame = data.frame(centers)
    return frame._replace(scale=neighborhood.scale, unit=frame.unit * (frame.scale / neighborhood.scale))
