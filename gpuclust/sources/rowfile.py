"""Files of fixed-size numbers: row after row (``.npy``, ``.fbin``, ``.fvecs``) or column after column (``.npy``)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from gpuclust.errors import FileFormatError
from gpuclust.sources.base import Chunk
from gpuclust.sources.buffered import BufferedSource, gather
from gpuclust.sources.chunking import chunk_bounds, row_offset, rows_per_chunk, runs
from gpuclust.sources.dtypes import target_dtype, widen
from gpuclust.sources.files import InputFile, read_exactly
from gpuclust.validation import check_matrix_shape, check_row_indices

__all__ = ["ColumnFileSource", "Layout", "RowFileSource"]


class Layout(NamedTuple):
    """Where the numbers of a matrix lie in a file.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the matrix.
    dtype : numpy.dtype
        As stored, byte order included.
    header_bytes : int
        Bytes before the first row or column.
    length_prefix : bool
        Each row is preceded by ``n_features`` as a little-endian int32, as in ``.fvecs``.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype
    header_bytes: int
    length_prefix: bool = False

    @property
    def row_bytes(self) -> int:
        return self.n_features * self.dtype.itemsize + (4 if self.length_prefix else 0)

    @property
    def file_bytes(self) -> int:
        """Size that the file must have."""
        return row_offset(self.n_rows, self.row_bytes, self.header_bytes)


class _BinaryFileSource(BufferedSource):
    def __init__(
        self, file: InputFile, layout: Layout, *, max_memory: int | None = None, chunk_rows: int | None = None
    ) -> None:
        self.n_rows, self.n_features = check_matrix_shape((layout.n_rows, layout.n_features))
        self.dtype = target_dtype(layout.dtype, file.path.name)
        self.chunk_rows = rows_per_chunk(
            self.n_features * self.dtype.itemsize, chunk_rows=chunk_rows, max_memory=max_memory
        )
        self.description = f"{file.path.name} {(self.n_rows, self.n_features)} {layout.dtype}"
        self._file = file
        self._layout = layout
        if file.size != layout.file_bytes:
            what = "is truncated" if file.size < layout.file_bytes else "has trailing bytes"
            raise FileFormatError(
                f"{file.path} {what}: its header announces {(self.n_rows, self.n_features)} {layout.dtype}, that is "
                f"{layout.file_bytes} bytes in all, and it has {file.size}."
            )


class RowFileSource(_BinaryFileSource):
    """A file that stores row after row."""

    def _read(self, start: int, stop: int, buffers: Iterator[np.ndarray]) -> Generator[Chunk, None, None]:
        scratch = self._scratch(min(self.chunk_rows, stop - start))
        with self._file.open() as file:
            for first, end in chunk_bounds(start, stop, self.chunk_rows):
                out = next(buffers)[: end - first]
                self._fill(file, first, out, scratch)
                yield Chunk(first, out)

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = check_row_indices(indices, self.n_rows)
        out = np.empty((len(indices), self.n_features), self.dtype)
        scratch = self._scratch(min(self.chunk_rows, len(indices)))
        with self._file.open() as file:
            for position, first, end in runs(indices):
                for begin, last in chunk_bounds(first, end, self.chunk_rows):
                    at = position + begin - first
                    self._fill(file, begin, out[at : at + last - begin], scratch)
        return out

    def _scratch(self, rows: int) -> np.ndarray | None:
        """Return bytes for ``rows`` rows as stored, or None if they can be read straight into a chunk."""
        layout = self._layout
        if layout.dtype == self.dtype and not layout.length_prefix:  # unequal for the other byte order
            return None
        return np.empty((rows, layout.row_bytes), np.uint8)

    def _fill(self, file: BinaryIO, first: int, out: np.ndarray, scratch: np.ndarray | None) -> None:
        layout = self._layout
        offset = row_offset(first, layout.row_bytes, layout.header_bytes)
        if scratch is None:
            read_exactly(file, offset, out)
            return
        block = scratch[: len(out)]
        read_exactly(file, offset, block)
        if layout.length_prefix:
            self._check_lengths(first, block[:, :4].copy().view("<i4")[:, 0])
            block = block[:, 4:]
        widen(block.view(layout.dtype), out, self._file.path.name)

    def _check_lengths(self, first: int, lengths: np.ndarray) -> None:
        wrong = lengths != self.n_features
        if wrong.any():
            row = int(np.argmax(wrong))
            raise FileFormatError(
                f"{self._file.path}: row {first + row} announces {lengths[row]} values, row 0 {self.n_features}; "
                "all rows must have the same number."
            )


class ColumnFileSource(_BinaryFileSource):
    """A file that stores column after column (Fortran order)."""

    def _read(self, start: int, stop: int, buffers: Iterator[np.ndarray]) -> Generator[Chunk, None, None]:
        dtype = self._layout.dtype
        scratch = np.empty((self.n_features, min(self.chunk_rows, stop - start)), dtype)
        with self._file.open() as file:
            for first, end in chunk_bounds(start, stop, self.chunk_rows):
                out = next(buffers)[: end - first]
                for column, values in enumerate(scratch):
                    # The matrix is one long row of numbers here: entry (i, j) is number j * n_rows + i.
                    offset = row_offset(column * self.n_rows + first, dtype.itemsize, self._layout.header_bytes)
                    read_exactly(file, offset, values[: end - first])
                yield Chunk(first, widen(scratch[:, : end - first].T, out, self._file.path.name))

    def take(self, indices: np.ndarray) -> np.ndarray:
        # One sequential pass: a row is scattered over the whole file.
        indices = check_row_indices(indices, self.n_rows)
        out = np.empty((len(indices), self.n_features), self.dtype)
        if len(indices):
            gather(self.chunks(int(indices[0]), int(indices[-1]) + 1), indices, out)
        return out
