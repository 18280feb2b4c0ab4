"""NumPy's ``.npy``: the header, and nothing that could run code."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from gpuclust.errors import DataTypeError, FileFormatError
from gpuclust.sources.base import Source
from gpuclust.sources.files import InputFile
from gpuclust.sources.rowfile import ColumnFileSource, Layout, RowFileSource
from gpuclust.validation import check_matrix_shape

__all__ = ["npy_source"]


def npy_source(file: InputFile, *, max_memory: int | None = None, chunk_rows: int | None = None) -> Source:
    """Return the source of a ``.npy`` file (format versions 1.0 and 2.0) that holds a matrix of numbers.

    Raises
    ------
    FileFormatError
        Not a ``.npy`` file, a damaged header, or another size than the header announces.
    DataError, DataTypeError
        Not a matrix, or a dtype that is not numeric. Arrays of objects are never unpickled.
    """
    with file.open() as opened:
        shape, fortran_order, dtype, header_bytes = _read_header(opened, file)
    if dtype.hasobject:
        raise DataTypeError(
            f"{file.path} holds Python objects (dtype {dtype}), which are pickled; they are never loaded."
        )
    n_rows, n_features = check_matrix_shape(shape, array=file.path)
    kind = ColumnFileSource if fortran_order else RowFileSource
    layout = Layout(n_rows, n_features, dtype, header_bytes)
    return kind(file, layout, max_memory=max_memory, chunk_rows=chunk_rows)


def _read_header(opened: BinaryIO, file: InputFile) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    try:
        version = npy_format.read_magic(opened)
        if version not in readers:  # 3.0 differs only in the names of record fields
            raise ValueError(f"format version {version} is not 1.0 or 2.0")
        shape, fortran_order, dtype = readers[version](opened)
        if any(length < 0 for length in shape):
            raise ValueError(f"negative length in shape {shape}")
    except (ValueError, TypeError, EOFError) as error:
        raise FileFormatError(f"{file.path} is not a valid .npy file: {error}.") from error
    return shape, fortran_order, dtype, opened.tell()
