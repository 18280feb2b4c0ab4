"""Dataset: a source placed on an engine, surveyed once. What every algorithm of this folder loops over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from gpuclust.algorithms.random import purpose_stream
from gpuclust.engines.base import Engine, Part
from gpuclust.engines.canonical import LARGEST, Frame, make_frame
from gpuclust.errors import DataError, DeviceMemoryError
from gpuclust.sources.base import Source

__all__ = ["Dataset"]

_SAMPLED_ROWS = 1024


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
        self.weights = None if sample_weight is None else engine.array(sample_weight)
        self.resident = source.resident or engine.holds(self.n_rows * self.n_features * self.dtype.itemsize)
        self._normalize = False
        self._kept: list[Part] | None = None
        self.column_max = self._survey()
        if normalize:
            # Every coordinate of a unit row is at most one, up to rounding.
            self._normalize = True
            self._kept = None
            self.column_max = np.full(self.n_features, 1.5)
        self.sample = self.sampled(_SAMPLED_ROWS)

    def parts(self, *, start: int = 0) -> Iterator[Part]:
        """The rows from ``start`` on, in order. Resident rows are placed once and kept."""
        if self.resident and start == 0 and self._kept is None:
            try:
                self._kept = list(self._placed(0, keep=True))
            except DeviceMemoryError:
                self.resident = False
        if start == 0 and self._kept is not None:
            yield from self._kept
        else:
            yield from self._placed(start, keep=False)

    def _placed(self, start: int, *, keep: bool) -> Iterator[Part]:
        for first, placed in self.engine.placed(self.source.chunks(start), keep=keep):
            rows = placed
            if self._normalize:
                rows, zero = self.engine.unit_rows(placed)
                if zero is not None:
                    raise _no_direction(first + zero)
            weights = None if self.weights is None else self.weights[first : first + len(rows)]
            yield Part(first, rows, weights)

    @property
    def single(self) -> Any | None:
        """All rows where the engine computes, if they are resident as one part."""
        if self.resident and self._kept is None:
            next(self.parts())
        return self._kept[0].rows if self._kept is not None and len(self._kept) == 1 else None

    @cached_property
    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of each feature, (d,) float64."""
        ranges = [self.engine.extent(part.rows) for part in self.parts()]
        return np.min([low for low, _ in ranges], axis=0), np.max([high for _, high in ranges], axis=0)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Rows at any ``indices``, as (m, d) in their dtype, in the order asked for."""
        unique, inverse = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        rows = self.source.take(unique)
        if self._normalize:
            placed, zero = self.engine.unit_rows(self.engine.place(rows))
            if zero is not None:
                raise _no_direction(int(unique[zero]))
            rows = self.engine.to_host(placed)
        return rows[inverse]

    def sampled(self, n_rows: int) -> np.ndarray:
        """One row from each of ``n_rows`` equal strata, or all rows: the same for every chunking."""
        return self.take(self._strata(n_rows))

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
        reach = float(np.abs(centers).max())
        return make_frame(self._origin, self.column_max, reach, self.n_rows, self._max_weight, self.sample)

    def variance(self, frame: Frame) -> float:
        """Mean over the columns of their variance (weights aside), scaled by ``frame``: the unit of ``tol``."""
        variance, scale = self._variance
        return variance * (frame.scale / scale) ** 2

    @cached_property
    def _variance(self) -> tuple[float, float]:
        """The mean variance in scaled units, where it neither overflows nor vanishes, and the scale."""
        frame = make_frame(self._origin, self.column_max, 0.0, self.n_rows, 1.0)
        total = self.engine.new_sums(1, self.n_features)
        for part in self.parts():
            state = self.engine.new_assignment(len(part.rows), 0, beside=part.rows)
            self.engine.move_rows(part.rows, None, state, frame, total)
        any_center = self.engine.array(np.zeros((1, self.n_features)))
        mean = self.engine.update_centers(
            any_center, total, self.engine.new_assignment(1), frame, dtype=np.dtype(np.float64)
        ).centers
        parts = (part._replace(weights=None) for part in self.parts())
        spread = self.engine.inertia(parts, mean, None, frame)
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
                row, column, value = bad
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


def _no_direction(row: int) -> DataError:
    return DataError(
        f"metric='cosine': row {row} of X is zero and has no direction; every row must have a non-zero length."
    )
