"""Parquet files, streamed by row groups. Needs pyarrow (extra ``io``)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise, repeat
from typing import Any

import numpy as np

from gpuclust.errors import FileFormatError, MissingDependencyError
from gpuclust.sources.arrow import arrow_layout, fill_block
from gpuclust.sources.base import Chunk
from gpuclust.sources.buffered import BufferedSource, gather
from gpuclust.sources.chunking import rows_per_chunk
from gpuclust.sources.files import InputFile
from gpuclust.validation import check_matrix_shape, check_row_indices

__all__ = ["ParquetSource"]

_BATCH_BYTES = 8 * 2**20  # decoded at a time; more costs memory and gains no speed
_COLUMN_BUFFER = 2**16  # bytes read ahead per column, instead of a row group's whole column


class ParquetSource(BufferedSource):
    """A parquet file of numeric columns, or of a single ``fixed_size_list`` column. Page checksums are verified.

    Decoding is an order of magnitude slower than reading ``.npy``; for many passes convert the file first. Besides the
    chunks, the decoder holds a page and a dictionary of every column (1 MB each unless the writer chose otherwise).

    Raises
    ------
    MissingDependencyError
        pyarrow is not installed.
    FileFormatError
        Not a parquet file, or a damaged one.
    DataTypeError
        A column that is not numeric.
    DataError
        No rows or columns; while reading, a missing value: the message names the column.
    """

    def __init__(self, file: InputFile, *, max_memory: int | None = None, chunk_rows: int | None = None) -> None:
        self._file = file
        with self._open() as parquet:
            metadata = parquet.metadata
            self._layout = arrow_layout(parquet.schema_arrow, file.path.name)
            groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._group_starts = [0, *accumulate(groups)]  # and the number of rows at the end
        self.n_rows, self.n_features = check_matrix_shape((self._group_starts[-1], self._layout.n_features))
        self.dtype = self._layout.dtype
        self.chunk_rows = rows_per_chunk(
            self.n_features * self.dtype.itemsize, chunk_rows=chunk_rows, max_memory=max_memory
        )
        self.description = f"{file.path.name} {(self.n_rows, self.n_features)} {self._layout.stored}"
        self.feature_names = self._layout.feature_names

    def _read(self, start: int, stop: int, buffers: Iterator[np.ndarray]) -> Generator[Chunk, None, None]:
        with self._open() as parquet:
            yield from self._decode(parquet, start, stop, buffers)

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = check_row_indices(indices, self.n_rows)
        out = np.empty((len(indices), self.n_features), self.dtype)
        with self._open() as parquet:
            for group_start, group_stop in pairwise(self._group_starts):
                low, high = np.searchsorted(indices, (group_start, group_stop))
                if low < high:
                    start, stop = int(indices[low]), int(indices[high - 1]) + 1
                    buffer = np.empty((min(self.chunk_rows, stop - start), self.n_features), self.dtype)
                    gather(self._decode(parquet, start, stop, repeat(buffer)), indices[low:high], out[low:high])
        return out

    def _decode(
        self, parquet: Any, start: int, stop: int, buffers: Iterator[np.ndarray]
    ) -> Generator[Chunk, None, None]:
        """Yield rows ``start`` to ``stop``, decoding only the row groups that hold them."""
        out, filled, first = next(buffers), 0, start
        for batch in self._batches(parquet, start, stop):
            done = 0
            while done < batch.num_rows:
                count = min(batch.num_rows - done, len(out) - filled)
                fill_block(batch.slice(done, count), self._layout, out[filled : filled + count], self._file.path.name)
                done, filled = done + count, filled + count
                if filled == len(out):
                    yield Chunk(first, out)
                    out, filled, first = next(buffers), 0, first + filled
        if filled:
            yield Chunk(first, out[:filled])

    def _batches(self, parquet: Any, start: int, stop: int) -> Iterator[Any]:
        starts = self._group_starts
        groups = [i for i in range(len(starts) - 1) if starts[i] < stop and starts[i + 1] > start]
        if start == stop:
            return
        position = starts[groups[0]]
        row_bytes = self.n_features * self.dtype.itemsize
        batch_rows = min(self.chunk_rows, max(1, _BATCH_BYTES // row_bytes))
        for batch in parquet.iter_batches(batch_size=batch_rows, row_groups=groups):
            low, high = max(start - position, 0), min(stop - position, batch.num_rows)
            position += batch.num_rows
            if low < high:
                yield batch.slice(low, high - low)
            if position >= stop:
                return

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingDependencyError(
                f"Reading {self._file.path.name} needs pyarrow, which is not installed: pip install 'gpuclust[io]'."
            ) from error
        try:
            with (
                self._file.open(),  # for its check; pyarrow reads faster from its own handle
                pyarrow.parquet.ParquetFile(
                    self._file.path, pre_buffer=False, buffer_size=_COLUMN_BUFFER, page_checksum_verification=True
                ) as parquet,
            ):
                yield parquet
        except pyarrow.ArrowException as error:
            raise FileFormatError(f"{self._file.path} is not a valid parquet file: {error}.") from error
