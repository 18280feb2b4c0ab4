"""Dataset: a source placed on an engine, surveyed once. What every algorithm of this folder loops over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gpuclust.algorithms.random import purpose_stream
from gpuclust.engines.base import Engine, Sums
from gpuclust.engines.canonical import LARGEST, Frame, exact_total, make_frame
from gpuclust.errors import DataError
from gpuclust.sources.base import Source

__all__ = ["Dataset", "Part"]

_SAMPLED_ROWS = 1024


class Part(NamedTuple):
    """Rows ``start`` to ``start + len(rows)`` where the engine computes, and their weights (None: ones)."""

    start: int
    rows: Any
    weights: np.ndarray | None

    @property
    def rows_slice(self) -> slice:
        return slice(self.start, self.start + len(self.rows))


class Dataset:
    """Rows of a source on an engine, with their weights and the figures that conditioning needs.

    Parameters
    ----------
    engine : Engine
    source : Source
    sample_weight : ndarray (n,) float64, optional
        Checked weights: finite, non-negative, not all zero.
    normalize : bool
        Scale every row to unit length (for the cosine metric).

    Attributes
    ----------
    n_rows, n_features, dtype
        Shape and dtype (float32 or float64) of the rows.
    column_max : ndarray (d,) float64
        max|x| of each column.
    sample : ndarray (m, d)
        At most 1,024 rows, one from each of as many equal strata: the same for every chunking.

    Raises
    ------
    DataError
        A value is NaN, infinite or beyond 2**1000; with ``normalize``, a row is zero.
    """

    def __init__(
        self, engine: Engine, source: Source, sample_weight: np.ndarray | None = None, *, normalize: bool = False
    ) -> None:
        self.engine, self.source, self.sample_weight = engine, source, sample_weight
        self.n_rows, self.n_features, self.dtype = source.n_rows, source.n_features, source.dtype
        self._normalize = False
        self._resident: Any = None
        self.resident = source.resident
        self.column_max = self._survey()
        if normalize:
            # Every coordinate of a unit row is at most one, up to rounding.
            self._normalize = True
            self._resident = None
            self.column_max = np.full(self.n_features, 1.5)
        self.sample = self.take(self._strata(_SAMPLED_ROWS))

    def parts(self, *, start: int = 0) -> Iterator[Part]:
        """The rows from ``start`` on, in order. Resident rows come as one part, prepared once."""
        if self.resident and start == 0:
            if self._resident is None:
                self._resident = self._prepared(0, next(iter(self.source.chunks())).rows)
            yield Part(0, self._resident, self.sample_weight)
            return
        for chunk in self.source.chunks(start):
            weights = self.sample_weight
            yield Part(
                chunk.start,
                self._prepared(chunk.start, chunk.rows),
                None if weights is None else weights[chunk.start : chunk.start + len(chunk.rows)],
            )

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Rows at any ``indices``, as (m, d) in their dtype, in the order asked for."""
        unique, inverse = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        rows = self.source.take(unique)
        return (self._unit_rows(rows, unique) if self._normalize else rows)[inverse]

    def frame(self, centers: np.ndarray) -> Frame:
        """The frame in which these rows and ``centers`` (k, d) are conditioned."""
        if self.sample_weight is not None:
            # Weighted rows are formed before they are scaled; only the ratios of the weights matter.
            for value in self.column_max[self.column_max > 0]:
                product = math.frexp(value)[1] + math.frexp(self._max_weight)[1]
                if not -900 < product < 960:
                    raise DataError(
                        f"sample_weight: weights up to {self._max_weight:.3g} times values of X up to {value:.3g} "
                        "leave the range of float64; multiply all weights by a constant so that the largest is near 1."
                    )
        return make_frame(self._origin, self.column_max, float(np.abs(centers).max()), self.n_rows, self._max_weight)

    def variance(self, frame: Frame) -> float:
        """Mean over the columns of their variance (weights aside), scaled by ``frame``: the unit of ``tol``."""
        variance, scale = self._variance
        return variance * (frame.scale / scale) ** 2

    @cached_property
    def _variance(self) -> tuple[float, float]:
        """The mean variance in scaled units, where it neither overflows nor vanishes, and the scale."""
        frame = make_frame(self._origin, self.column_max, 0.0, self.n_rows, 1.0)
        total = Sums.zeros(1, self.n_features)
        for part in self.parts():
            labels = np.zeros(len(part.rows), np.int32)
            self.engine.move_rows(part.rows, None, labels - np.int32(1), labels, frame, total)
        mean = total.totals(frame) / self.n_rows
        spread = exact_total(
            self.engine.distances(part.rows, mean, np.zeros(len(part.rows), np.int32), frame) for part in self.parts()
        )
        return spread / self.n_rows / self.n_features, frame.scale

    @cached_property
    def _origin(self) -> np.ndarray:
        # The median: one outlier in the sample must not move the origin away from the bulk of the data.
        return np.median(self.sample.astype(np.float64), axis=0)

    @cached_property
    def _max_weight(self) -> float:
        return 1.0 if self.sample_weight is None else float(self.sample_weight.max())

    def _strata(self, n_sampled: int) -> np.ndarray:
        """One row number from each of ``n_sampled`` equal strata, or all of them."""
        if self.n_rows <= n_sampled:
            return np.arange(self.n_rows, dtype=np.int64)
        edges = np.array([i * self.n_rows // n_sampled for i in range(n_sampled + 1)], dtype=np.int64)
        stride = np.diff(edges)
        return edges[:-1] + (purpose_stream(0, "strata").integers(n_sampled) % stride.astype(np.uint64)).astype(
            np.int64
        )

    def _survey(self) -> np.ndarray:
        column_max = np.zeros(self.n_features)
        for part in self.parts():
            bad = self.engine.survey(part.rows, column_max)
            if bad is not None:
                row, column = bad
                value = part.rows[row, column]
                kind = "NaN" if value != value else "infinity or a value too large"
                raise DataError(
                    f"Input X contains {kind}: first at row {part.start + row}, column {column} of "
                    f"{self.source.description}."
                    " Every value must be finite; drop or impute such rows first."
                )
        if column_max.max() > LARGEST:
            raise DataError(
                f"X has an absolute value of {column_max.max():.3g}; it must be at most 2**1000 (about 1e301)."
            )
        return column_max

    def _prepared(self, start: int, rows: np.ndarray) -> Any:
        if self._normalize:
            rows = self._unit_rows(rows, np.arange(start, start + len(rows)))
        return self.engine.place(rows)

    def _unit_rows(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        largest = np.abs(rows).max(axis=1)
        if not largest.all():
            raise DataError(
                f"metric='cosine': row {int(numbers[int((largest == 0).argmax())])} of X is zero and has no direction; "
                "every row must have a non-zero length."
            )
        # Each row by its own power of two first: a short row among long ones must not vanish when it is squared.
        rows = np.ldexp(rows.astype(np.float64), -np.frexp(largest)[1][:, None])
        plain = Frame(np.zeros(self.n_features), 1.0, np.ones(self.n_features), 1.0, 1.0)
        squares = self.engine.distances(rows, np.zeros((1, self.n_features)), np.zeros(len(rows), np.int32), plain)
        return (rows / np.sqrt(squares)[:, None]).astype(self.dtype)
