"""All rows within a radius of each query: FAISS proposes a few too many, canonical distances decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.neighbors.bounds import Bound
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.search import Progress
from gpuclust.neighbors.searchers import HostSearcher, Searcher

__all__ = ["Found", "within"]

_LARGEST_BLOCK = 1 << 12
_LARGEST_SCORE = 2.0**120


class Found(NamedTuple):
    """Rows near queries, by query and then by index.

    ``starts`` (m + 1,) int64: those of query i are ``starts[i]`` to ``starts[i + 1]`` of ``indices`` int64 and
    ``distances`` float64, canonical and scaled.
    """

    starts: np.ndarray
    indices: np.ndarray
    distances: np.ndarray


def within(
    index: FlatIndex, queries: Dataset, limit: float, own: np.ndarray | None = None, tell: Progress | None = None
) -> Found:
    """The rows whose canonical distance to a query is at most ``limit``, in the scale of ``index.canonical(queries)``.

    ``own`` and ``tell`` as in `FlatIndex.nearest`. Memory beyond what is found is bounded by ``index.memory``.
    """
    frame, done, total = index.canonical(queries), 0, queries.n_rows * index.data.n_rows
    pieces = [_Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for base, searcher in index.parts():
        for part in queries.parts():
            for first, n_rows, near in _near(index, base, searcher, part, frame, limit):
                which, indices, distances = near.which + np.int64(first), near.indices + base.start, near.distances
                wanted = distances <= limit if own is None else (distances <= limit) & (indices != own[which])
                order = np.flatnonzero(wanted)
                order = order[np.lexsort((indices[order], which[order]))]
                pieces.append(_Pairs(which[order], indices[order], distances[order]))
                done += n_rows * len(base.rows)
                if tell is not None:
                    tell("search", done, total)
    which, indices, distances = _joined(pieces)
    order = np.argsort(which, kind="stable")  # the rows of the index came part by part
    starts = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=queries.n_rows))]).astype(np.int64)
    return Found(starts, indices[order], distances[order])


class _Pairs(NamedTuple):
    """Pairs of rows that may be near: positions in a block of queries and in a part, and canonical distances."""

    which: np.ndarray
    indices: np.ndarray
    distances: np.ndarray


def _near(
    index: FlatIndex, base: Part, searcher: Searcher | None, part: Part, frame: Frame, limit: float
) -> Iterator[tuple[int, int, _Pairs]]:
    """Blocks of queries: the number of their first, how many they are, and their pairs."""
    most, at = len(base.rows), 0
    while at < len(part.rows):
        # As many queries as memory allows if all of them had a few times more candidates than any has had so far.
        size = index.memory // (64 * min(len(base.rows), 4 * most + 64))
        rows = part.rows[at : at + min(max(1, size), _LARGEST_BLOCK)]
        pairs = _proposed(index, base, searcher, rows, frame, limit)
        most = int(np.bincount(pairs.which, minlength=1).max())
        yield part.start + at, len(rows), pairs
        at += len(rows)


def _proposed(index: FlatIndex, base: Part, searcher: Searcher | None, rows: Any, frame: Frame, limit: float) -> _Pairs:
    """By FAISS, where it can; queries far out, whose bound is wide, are compared with every row."""
    engine = index.data.engine
    if index.metric != "euclidean" or not isinstance(searcher, HostSearcher):
        return _compared(index, base, rows, np.arange(len(rows)), frame, limit)
    conditioned = engine.conditioned(rows, index.frame)
    bound = Bound.between(int(conditioned.values.shape[1]), index.data.n_features, index.frame, frame)
    highest = bound.highest(limit, engine.to_host(conditioned.squares))
    usual = highest <= min(2 * np.median(highest), _LARGEST_SCORE)
    counts, indices = searcher.within(conditioned, usual, highest[usual].max(initial=0.0))
    which = np.repeat(np.flatnonzero(usual).astype(np.int32), counts)
    distances = engine.distances_to(rows, base.rows, engine.array(which), engine.array(indices), frame)
    found = _Pairs(which, indices, engine.to_host(distances))
    if usual.all():
        return found
    return _joined([found, _compared(index, base, rows, np.flatnonzero(~usual), frame, limit)])


def _compared(index: FlatIndex, base: Part, rows: Any, numbers: np.ndarray, frame: Frame, limit: float) -> _Pairs:
    """By all distances, of as many queries at a time as memory allows."""
    engine, queries = index.data.engine, index.data.engine.to_host(rows)[numbers].astype(np.float64)
    step = max(1, index.memory // (32 * len(base.rows)))
    found = [_Pairs(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))]
    for at in range(0, len(queries), step):
        distances = engine.pairwise(base.rows, engine.array(queries[at : at + step]), frame, index.metric).T
        which, indices = np.nonzero(distances <= limit)
        found.append(_Pairs(numbers[at + which].astype(np.int32), indices, distances[which, indices]))
    return _joined(found)


def _joined(found: list[_Pairs]) -> _Pairs:
    return _Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))
