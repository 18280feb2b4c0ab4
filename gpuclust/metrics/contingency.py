"""How often each pair of labels occurs: all that external scores know of two labelings.

Labels are read block by block, and only pairs that occur are kept: memory is O(pairs), whatever the number of rows.
Counts are integers, and sums of their squares, which int64 cannot hold from some billion rows on, are Python's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gpuclust._cancel import checkpoint
from gpuclust.errors import DataError, ResourceError
from gpuclust.metrics.labels import NARROW, as_labels, from_zero

__all__ = ["Contingency", "contingency_matrix"]

_BLOCK = 1 << 20
# Entries of a dense table that somebody asks for.
_DENSE = 1 << 27


def contingency_matrix(labels_true: Any, labels_pred: Any) -> np.ndarray:
    """Return the number of rows of each pair of a class and a cluster, (n_classes, n_clusters) int64.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,), or path
        Integers or strings; memory maps and .npy files are read block by block.

    Returns
    -------
    ndarray
        Rows are the distinct values of `labels_true` in rising order, columns those of `labels_pred`.

    Raises
    ------
    DataError
        Labels of different lengths, none at all, missing, or no labels at all.
    ResourceError
        More than 2**27 pairs of a class and a cluster.
    """
    return Contingency.of(labels_true, labels_pred).dense()


class _Pairs(NamedTuple):
    """Distinct pairs of labels in rising order, and how often each occurs, (p,) int64."""

    true: np.ndarray
    pred: np.ndarray
    counts: np.ndarray


class Contingency:
    """Distinct pairs of labels and their counts.

    Attributes
    ----------
    n_rows : int
    classes, clusters : ndarray
        Distinct labels of either side, rising.
    rows, columns, counts : ndarray (p,) int64
        Positions of each pair's labels in ``classes`` and ``clusters``, and its count, above 0.
    """

    def __init__(self, pairs: _Pairs) -> None:
        self.classes, self.rows = np.unique(pairs.true, return_inverse=True)
        self.clusters, self.columns = np.unique(pairs.pred, return_inverse=True)
        self.counts = pairs.counts
        self.n_rows = int(pairs.counts.sum())

    @classmethod
    def of(cls, labels_true: Any, labels_pred: Any) -> Contingency:
        """Count the pairs of two labelings; errors as in `contingency_matrix`."""
        true, pred = as_labels(labels_true, "labels_true"), as_labels(labels_pred, "labels_pred")
        if len(true) != len(pred):
            raise DataError(
                f"labels_true has {len(true)} labels and labels_pred {len(pred)}: there must be one of each for a row."
            )
        found = None
        for start in range(0, len(true), _BLOCK):
            checkpoint()
            some = slice(start, start + _BLOCK)
            block = _counted(np.asarray(true[some]), np.asarray(pred[some]))
            found = block if found is None else _merged(found, block)
        assert found is not None
        return cls(found)

    @cached_property
    def class_sizes(self) -> np.ndarray:
        """Rows of each class, int64."""
        return _sums(self.rows, self.counts, len(self.classes))

    @cached_property
    def cluster_sizes(self) -> np.ndarray:
        """Rows of each cluster, int64."""
        return _sums(self.columns, self.counts, len(self.clusters))

    def dense(self) -> np.ndarray:
        """The table, (classes, clusters) int64."""
        shape = len(self.classes), len(self.clusters)
        if shape[0] * shape[1] > _DENSE:
            raise ResourceError(
                f"a table of {shape[0]} classes and {shape[1]} clusters has more than 2**27 entries; scores that do "
                "not need it, such as adjusted_rand_score, count only the pairs that occur."
            )
        table = np.zeros(shape, np.int64)
        table[self.rows, self.columns] = self.counts
        return table


def _counted(true: np.ndarray, pred: np.ndarray) -> _Pairs:
    """The pairs of one block."""
    a, b = from_zero(true), from_zero(pred)
    if a is None or b is None or a.span * b.span > NARROW:
        sides = [np.unique(labels, return_inverse=True) for labels in (true, pred)]
        (classes, rows), (clusters, columns) = sides
        codes, counts = np.unique(rows.astype(np.int64) * len(clusters) + columns, return_counts=True)
        return _Pairs(classes[codes // len(clusters)], clusters[codes % len(clusters)], counts.astype(np.int64))
    counts = np.bincount(a.numbers * b.span + b.numbers, minlength=1)
    codes = np.flatnonzero(counts)
    return _Pairs(codes // b.span + a.least, codes % b.span + b.least, counts[codes].astype(np.int64))


def _merged(a: _Pairs, b: _Pairs) -> _Pairs:
    true, pred, counts = (np.concatenate(column) for column in zip(a, b, strict=True))
    order = np.lexsort((pred, true))
    true, pred = true[order], pred[order]
    first = np.flatnonzero(np.r_[True, (true[1:] != true[:-1]) | (pred[1:] != pred[:-1])])
    return _Pairs(true[first], pred[first], np.add.reduceat(counts[order], first))


def _sums(groups: np.ndarray, counts: np.ndarray, n_groups: int) -> np.ndarray:
    sums = np.zeros(n_groups, np.int64)
    np.add.at(sums, groups, counts)
    return sums
