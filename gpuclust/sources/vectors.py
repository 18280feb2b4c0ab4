"""The formats of nearest-neighbour benchmarks: ``.fbin``, ``.u8bin``, ``.i8bin`` (big-ann) and ``.fvecs`` (TEXMEX)."""

from __future__ import annotations

import numpy as np

from gpuclust.errors import FileFormatError
from gpuclust.sources.files import InputFile, read_exactly
from gpuclust.sources.rowfile import Layout, RowFileSource

__all__ = ["bin_source", "fvecs_source"]

_BIN_DTYPES = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1"}


def bin_source(file: InputFile, *, max_memory: int | None = None, chunk_rows: int | None = None) -> RowFileSource:
    """Return the source of a ``.fbin``, ``.u8bin`` or ``.i8bin`` file.

    Two little-endian uint32, the numbers of rows and of features, then float32, uint8 or int8 row after row.

    Raises
    ------
    FileFormatError
        Another size than the header announces.
    """
    header = _header(file, "<u4", 2, "the numbers of rows and features, two uint32")
    dtype = np.dtype(_BIN_DTYPES[file.path.suffix.lower()])
    layout = Layout(int(header[0]), int(header[1]), dtype, header.nbytes)
    return RowFileSource(file, layout, max_memory=max_memory, chunk_rows=chunk_rows)


def fvecs_source(file: InputFile, *, max_memory: int | None = None, chunk_rows: int | None = None) -> RowFileSource:
    """Return the source of a ``.fvecs`` file: each row is its number of features, a little-endian int32, then float32.

    Raises
    ------
    FileFormatError
        The size is no multiple of the first row's, or (when it is read) a row of another length.
    """
    (n_features,) = _header(file, "<i4", 1, "the number of features, an int32").tolist()
    if n_features < 1:
        raise FileFormatError(f"{file.path} is not a valid .fvecs file: its first row announces {n_features} values.")
    layout = Layout(1, n_features, np.dtype("<f4"), 0, length_prefix=True)
    n_rows, rest = divmod(file.size, layout.row_bytes)
    if rest:
        raise FileFormatError(
            f"{file.path} is truncated or not a .fvecs file: its size, {file.size} bytes, is no multiple of "
            f"{layout.row_bytes}, the size of a row of {n_features} values."
        )
    return RowFileSource(file, layout._replace(n_rows=n_rows), max_memory=max_memory, chunk_rows=chunk_rows)


def _header(file: InputFile, dtype: str, count: int, meaning: str) -> np.ndarray:
    header = np.empty(count, dtype)
    if file.size < header.nbytes:
        raise FileFormatError(f"{file.path} is truncated: {file.size} bytes do not hold {meaning}.")
    with file.open() as opened:
        read_exactly(opened, 0, header)
    return header
