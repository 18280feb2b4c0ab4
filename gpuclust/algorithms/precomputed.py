"""DBSCAN of given distances: a matrix n x n, dense or sparse, whose rows list the neighbours.

Distances that are given need no engine: nothing is computed but comparisons with eps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms import weights as exact_weights
from gpuclust.algorithms.dbscan import Clustering, Progress, number
from gpuclust.engines.cpu.listed import claim_listed, components, link_listed, sum_listed
from gpuclust.errors import DataError
from gpuclust.sources.base import Source
from gpuclust.validation import to_host

__all__ = ["DenseDistances", "Distances", "SparseDistances", "dbscan_of_distances"]

# Distances compared at a time.
_BLOCK = 1 << 20
# Distances of i to j and of j to i may differ by the rounding of float32 products.
_ASYMMETRY = 1e-5


class _Lists(NamedTuple):
    """Neighbours of some rows from ``start`` on: those of row i are ``indices[indptr[i] : indptr[i + 1]]``."""

    start: int
    indptr: np.ndarray
    indices: np.ndarray


class Distances(ABC):
    """A square matrix of distances."""

    n_rows: int

    @abstractmethod
    def check(self) -> None:
        """Raise DataError unless they are numbers, not negative, and symmetric."""

    @abstractmethod
    def within(self, eps: float) -> Iterator[_Lists]:
        """For all rows in order, those at most ``eps`` away."""


class DenseDistances(Distances):
    """The rows of a source as distances."""

    def __init__(self, source: Source) -> None:
        if source.n_rows != source.n_features:
            raise DataError(
                f"metric='precomputed' needs a square matrix of distances; X has shape "
                f"{(source.n_rows, source.n_features)}."
            )
        self._source, self.n_rows = source, source.n_rows

    def check(self) -> None:
        for first, rows in self._blocks():
            _check_values(rows, lambda at, first=first: (first + at[0], at[1]))
        # Each chunk against the part of itself and of those after it that mirrors it.
        for chunk in self._source.chunks():
            mine = to_host(chunk.rows)
            for other in self._source.chunks(chunk.start):
                theirs = to_host(other.rows)
                across = mine[:, other.start : other.start + len(theirs)]
                mirrored = theirs[:, chunk.start : chunk.start + len(mine)].T
                bad = np.abs(across - mirrored) > _ASYMMETRY * np.maximum(across, mirrored)
                if bad.any():
                    i, j = np.argwhere(bad)[0]
                    raise _asymmetric(chunk.start + i, other.start + j, across[i, j], mirrored[i, j])

    def within(self, eps: float) -> Iterator[_Lists]:
        for first, rows in self._blocks():
            near = rows <= np.float64(eps)
            ends = np.cumsum(np.count_nonzero(near, axis=1))
            yield _Lists(first, np.append(0, ends), np.nonzero(near)[1])

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        step = max(1, _BLOCK // self.n_rows)
        for chunk in self._source.chunks():
            rows = to_host(chunk.rows)
            for at in range(0, len(rows), step):
                yield chunk.start + at, rows[at : at + step]


class SparseDistances(Distances):
    """A scipy sparse matrix: what is not stored is too far, but for the diagonal, which is 0 then."""

    def __init__(self, matrix: Any) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise DataError(f"metric='precomputed' needs a square matrix of distances; X has shape {matrix.shape}.")
        if matrix.shape[0] < 1:
            raise DataError(f"Found array with 0 sample(s) (shape={matrix.shape}) while a minimum of 1 is required.")
        if matrix.dtype.kind not in "biuf":
            raise DataError(f"X of dtype {matrix.dtype} holds no distances; they should be real numbers.")
        self._matrix = matrix.tocsr(copy=True)
        self._matrix.sum_duplicates()
        self.n_rows = matrix.shape[0]

    def check(self) -> None:
        matrix = self._matrix
        row_of = np.repeat(np.arange(self.n_rows), np.diff(matrix.indptr))
        _check_values(matrix.data, lambda at: (row_of[at[0]], matrix.indices[at[0]]))
        mirrored = matrix.T.tocsr()
        mirrored.sort_indices()
        same = np.array_equal(mirrored.indptr, matrix.indptr) and np.array_equal(mirrored.indices, matrix.indices)
        if not same:
            ones = matrix.astype(bool)
            ones.data[:] = True
            one_sided = (ones.astype(np.int8) - ones.T.tocsr().astype(np.int8)).tocoo()
            stored = np.flatnonzero(one_sided.data > 0)[0]
            i, j = one_sided.row[stored], one_sided.col[stored]
            raise DataError(
                f"metric='precomputed': X is not symmetric: the distance of row {i} to row {j} is stored, and that of "
                f"row {j} to row {i} is not."
            )
        bad = np.abs(matrix.data - mirrored.data) > _ASYMMETRY * np.maximum(matrix.data, mirrored.data)
        if bad.any():
            at = int(bad.argmax())
            raise _asymmetric(row_of[at], matrix.indices[at], matrix.data[at], mirrored.data[at])

    def within(self, eps: float) -> Iterator[_Lists]:
        matrix, first = self._matrix, 0
        while first < self.n_rows:
            end = int(np.searchsorted(matrix.indptr, matrix.indptr[first] + _BLOCK, side="right")) - 1
            end = min(max(end, first + 1), self.n_rows)
            part = slice(matrix.indptr[first], matrix.indptr[end])
            indices, near = matrix.indices[part], matrix.data[part] <= np.float64(eps)
            rows = np.repeat(np.arange(first, end), np.diff(matrix.indptr[first : end + 1]))
            own = np.setdiff1d(np.arange(first, end), rows[indices == rows])
            rows, indices = np.append(rows[near], own), np.append(indices[near], own)
            order = np.argsort(rows, kind="stable")
            ends = np.cumsum(np.bincount(rows - first, minlength=end - first))
            yield _Lists(first, np.append(0, ends), indices[order].astype(np.int64))
            first = end


def dbscan_of_distances(
    distances: Distances,
    eps: float,
    min_samples: int,
    *,
    weights: np.ndarray | None = None,
    callback: Progress | None = None,
) -> Clustering:
    """As :func:`gpuclust.algorithms.dbscan.dbscan`: rows at most ``eps`` from a row are its neighbours.

    Raises
    ------
    DataError
        A distance is negative or no number, or they are not symmetric.
    """
    distances.check()
    n = distances.n_rows

    def stage(name: str) -> Iterator[_Lists]:
        for lists in distances.within(eps):
            yield lists
            if callback is not None:
                callback(name, lists.start + len(lists.indptr) - 1, n)

    def sums(values: np.ndarray) -> np.ndarray:
        out = np.zeros(n, np.int64)
        for lists in stage("count"):
            sum_listed(*lists, values, out)
        return out

    if weights is None:
        core = sums(np.ones(n, np.int64)) >= min_samples
    else:
        core = exact_weights.enough(weights, min_samples, sums)
    parent, names = np.arange(n, dtype=np.int32), np.empty(n, np.int32)
    for lists in stage("link"):
        link_listed(*lists, core, parent)
    components(parent, core, names)
    labels = number(names)
    for lists in stage("claim"):
        claim_listed(*lists, core, labels)
    return Clustering(labels, core)


def _check_values(values: np.ndarray, place: Any) -> None:
    for bad, says in ((np.isnan(values), "NaN"), (values < 0, "a negative distance")):
        if bad.any():
            at = np.argwhere(bad)[0]
            i, j = place(at)
            raise DataError(
                f"metric='precomputed': X contains {says}: {values[tuple(at)]:g} in row {i}, column {j}. Distances "
                "must be numbers of at least 0."
            )


def _asymmetric(i: int, j: int, there: float, back: float) -> DataError:
    return DataError(
        f"metric='precomputed': X is not symmetric: the distance of row {i} to row {j} is {there:g}, and that of row "
        f"{j} to row {i} is {back:g}."
    )
