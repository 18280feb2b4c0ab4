"""NumPy's ``.npy``: the header, and nothing that could run code."""

from __future__ import annotations

import numpy as np
from numpy.lib import format as npy_format

from gpuclust.errors import DataTypeError, FileFormatError
from gpuclust.sources.base import Source
from gpuclust.sources.files import InputFile
from gpuclust.sources.rowfile import ColumnFileSource, Layout, RowFileSource
from gpuclust.validation import check_matrix_shape

__all__ = ["npy_source", "read_header"]


def npy_source(file: InputFile, *, max_memory: int | None = None, chunk_rows: int | None = None) -> Source:
    """Return the source of a ``.npy`` file (format versions 1.0 and 2.0) that holds a matrix of numbers.

    Raises
    ------
    FileFormatError
        Not a ``.npy`` file, a damaged header, or another size than the header announces.
    DataError, DataTypeError
        Not a matrix, or a dtype that is not numeric. Arrays of objects are never unpickled.
    """
    shape, fortran_order, dtype, header_bytes = read_header(file)
    n_rows, n_features = check_matrix_shape(shape, array=file.path)
    kind = ColumnFileSource if fortran_order else RowFileSource
    layout = Layout(n_rows, n_features, dtype, header_bytes)
    return kind(file, layout, max_memory=max_memory, chunk_rows=chunk_rows)


def read_header(file: InputFile) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether in Fortran order, dtype, and bytes of the header, of an array of numbers of any number of axes.

    Raises
    ------
    FileFormatError
        Not a ``.npy`` file, or a damaged header.
    DataTypeError
        It holds Python objects.
    """
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    with file.open() as opened:
        try:
            version = npy_format.read_magic(opened)
            if version not in readers:  # 3.0 differs only in the names of record fields
                raise ValueError(f"format version {version} is not 1.0 or 2.0")
            shape, fortran_order, dtype = readers[version](opened)
            if any(length < 0 for length in shape):
                raise ValueError(f"negative length in shape {shape}")
        except (ValueError, TypeError, EOFError) as error:
            raise FileFormatError(f"{file.path} is not a valid .npy file: {error}.") from error
        header_bytes = opened.tell()
    if dtype.hasobject:
        raise DataTypeError(
            f"{file.path} holds Python objects (dtype {dtype}), which are pickled; they are never loaded."
        )
    return shape, fortran_order, dtype, header_bytes
