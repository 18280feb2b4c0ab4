"""From whatever holds rows to a Source."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpuclust.errors import DataError, DataTypeError, DeviceError, FileFormatError, ParameterError
from gpuclust.sources.arrays import ArraySource, Rows
from gpuclust.sources.base import Source
from gpuclust.sources.chunking import RESIDENT_BYTES
from gpuclust.sources.device import DeviceArraySource
from gpuclust.sources.dtypes import object_to_float64
from gpuclust.sources.files import InputFile
from gpuclust.sources.images import ImageFolderSource, image_array_source, is_image_array
from gpuclust.sources.loaded import LoadedSource
from gpuclust.sources.npy import npy_source
from gpuclust.sources.parquet import ParquetSource
from gpuclust.sources.regroup import RegroupedSource
from gpuclust.sources.tables import pandas_rows, polars_rows, pyarrow_rows
from gpuclust.sources.tensors import dlpack_rows, torch_rows
from gpuclust.sources.vectors import bin_source, fvecs_source
from gpuclust.validation import check_matrix_shape, check_positive_int, cuda_device, parse_memory

__all__ = ["FILE_SUFFIXES", "as_images", "as_source"]

_FORMATS: dict[str, Callable[..., Source]] = {
    ".npy": npy_source,
    ".fbin": bin_source,
    ".u8bin": bin_source,
    ".i8bin": bin_source,
    ".fvecs": fvecs_source,
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
}
FILE_SUFFIXES = tuple(_FORMATS)
"""Suffixes of the files that `as_source` reads."""

_TABLES = {"pandas": pandas_rows, "polars": polars_rows, "pyarrow": pyarrow_rows}


def as_source(X: Any, *, max_memory: int | str | None = None, chunk_rows: int | None = None, name: str = "X") -> Source:
    """Return the source of the rows of ``X``.

    Parameters
    ----------
    X : array-like (n_rows, n_features), str, os.PathLike or Source
        A NumPy array or memory map; a pandas, polars or pyarrow table (or pyarrow/polars array of rows); a torch
        tensor, a CuPy array or any array with DLPack, in host memory or on a CUDA device, where it stays; anything with
        ``__array__``; a list of lists; the path of a ``.npy``, ``.fbin``, ``.u8bin``, ``.i8bin``, ``.fvecs`` or
        ``.parquet`` file, or of a folder of images; or a source, which is returned as it is (regrouped if
        ``chunk_rows`` is given).
    max_memory : int or str, optional
        Bytes, or e.g. ``"512MB"``. A chunk takes at most an eighth of it. Without it, a chunk of a file or of a large
        array that needs widening takes about 64 MiB. Always at least one row. A file of which all rows take no more
        than an eighth (without it: 1 GiB) is read once and kept.
    chunk_rows : int, optional
        Rows of a chunk, >= 1; overrides ``max_memory``. An array in memory or a small file is then chunked too, and not
        resident.
    name : str
        The parameter's name, for messages.

    Raises
    ------
    DataError
        Not two axes, no rows, no features, ragged lists, missing values in a nullable column, integers beyond 2**53.
    DataTypeError
        A container or dtype that is not supported: sparse, complex, strings, dates.
    FileFormatError
        A file that is missing, unreadable, truncated, mislabelled, or of an unknown suffix.
    DeviceError
        An array that lies on a device of another kind.
    DeviceMemoryError
        No room on its device to widen an array.
    MissingDependencyError
        A parquet file without pyarrow, or images without Pillow.
    ParameterError
        ``max_memory`` or ``chunk_rows`` breaks its rule.

    Notes
    -----
    Values are not inspected here beyond what a conversion needs; whether they are finite is checked chunk by chunk.
    """
    limit = parse_memory(max_memory)
    if chunk_rows is not None:
        chunk_rows = check_positive_int(chunk_rows, "chunk_rows")
    if isinstance(X, Source):
        if chunk_rows is None:
            return X
        return X.rechunked(chunk_rows) if isinstance(X, DeviceArraySource) else RegroupedSource(X, chunk_rows)
    if isinstance(X, (str, os.PathLike)):
        return _file_source(Path(os.fsdecode(X)), limit, chunk_rows)
    device = cuda_device(X)
    if device is not None:
        return DeviceArraySource(X, device, chunk_rows=chunk_rows, name=name)
    rows, kind, feature_names = _rows(X, name)
    if isinstance(rows, np.ndarray) and rows.dtype.kind == "O":
        check_matrix_shape(rows.shape, array=rows)
        rows = object_to_float64(rows, name)
    return ArraySource(rows, max_memory=limit, chunk_rows=chunk_rows, name=name, kind=kind, feature_names=feature_names)


def as_images(
    images: Any,
    *,
    resize: tuple[int, int] | None = None,
    color: bool | None = None,
    max_memory: int | str | None = None,
    chunk_rows: int | None = None,
) -> Source:
    """Return the source of rows that may be images, with their shape as its ``row_shape``.

    Parameters
    ----------
    images : array-like, str, os.PathLike or Source
        An array of n x height x width or n x height x width x channels; a folder of images; a ``.npy`` file of such an
        array; or anything else that `as_source` takes.
    resize : tuple of int, optional
        (height, width) to which the images of a folder are brought.
    color : bool, optional
        Whether they have three channels or one; without it, one if all are grey.
    max_memory, chunk_rows
        As in `as_source`.

    Raises
    ------
    DataError, DataTypeError, FileFormatError, MissingDependencyError
        See `gpuclust.sources.images` and `as_source`.
    ParameterError
        A parameter breaks its rule, or is for folders.
    """
    limit = parse_memory(max_memory)
    if chunk_rows is not None:
        chunk_rows = check_positive_int(chunk_rows, "chunk_rows")
    place = Path(os.fsdecode(images)) if isinstance(images, (str, os.PathLike)) else None
    if place is not None and os.path.isdir(place):
        folder = ImageFolderSource(place, resize=resize, color=color, max_memory=limit, chunk_rows=chunk_rows)
        return _kept(folder, limit, chunk_rows)
    for name, value in (("resize", resize), ("color", color)):
        if value is not None:
            what = f"{str(place)!r} is not" if place is not None else f"a {type(images).__name__} is not"
            raise ParameterError(f"{name}={value!r} is for a folder of images, which {what}.")
    if place is not None and place.suffix.lower() == ".npy" and is_image_array(place):
        array = image_array_source(InputFile.inspect(place), max_memory=limit, chunk_rows=chunk_rows)
        return _kept(array, limit, chunk_rows)
    shape = None if place is not None or isinstance(images, Source) else getattr(images, "shape", None)
    if shape is None or len(shape) not in (3, 4):
        return as_source(images, max_memory=limit, chunk_rows=chunk_rows)
    source = as_source(images.reshape(shape[0], math.prod(shape[1:])), max_memory=limit, chunk_rows=chunk_rows)
    source.row_shape = tuple(int(side) for side in shape[1:])
    return source


def _file_source(path: Path, max_memory: int | None, chunk_rows: int | None) -> Source:
    if os.path.isdir(path):  # unlike Path.is_dir, False for a name that is no path at all
        return _kept(ImageFolderSource(path, max_memory=max_memory, chunk_rows=chunk_rows), max_memory, chunk_rows)
    file = InputFile.inspect(path)
    make = _FORMATS.get(path.suffix.lower())
    if make is None:
        supported = ", ".join(FILE_SUFFIXES)
        raise FileFormatError(
            f"{path} has the suffix {path.suffix!r}, which is not one of those supported: {supported}."
        )
    return _kept(make(file, max_memory=max_memory, chunk_rows=chunk_rows), max_memory, chunk_rows)


def _kept(source: Source, max_memory: int | None, chunk_rows: int | None) -> Source:
    """The source, to be read once if all its rows may be kept."""
    limit = RESIDENT_BYTES if max_memory is None else max_memory // 8
    if chunk_rows is None and source.n_rows * source.n_features * source.dtype.itemsize <= limit:
        return LoadedSource(source)
    return source


def _rows(X: Any, name: str) -> tuple[Rows, str, list[str] | None]:
    """Return the matrix as blocks of rows, what it is, and its column names."""
    if isinstance(X, np.ndarray):
        return _plain_array(X, name), "array", None
    packages = {base.__module__.partition(".")[0] for base in type(X).__mro__}
    kind = f"{type(X).__module__.partition('.')[0]} {type(X).__name__}"
    for package, convert in _TABLES.items():
        if package in packages:
            rows, feature_names = convert(X, name)
            return rows, kind, feature_names
    if packages & {"scipy", "cupyx", "sparse"} and (hasattr(X, "toarray") or hasattr(X, "todense")):
        raise DataTypeError(
            f"Sparse data was passed for {name} ({type(X).__name__}), but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    if "torch" in packages and hasattr(X, "detach"):
        return torch_rows(X, name), kind, None
    if hasattr(X, "__cuda_array_interface__"):  # numba: it does not say on which GPU, and cannot convert
        raise DeviceError(f"{name} is a {kind} in the memory of a GPU; pass cupy.asarray({name}), which shares it.")
    if hasattr(X, "__dlpack__") and hasattr(X, "__dlpack_device__"):
        return dlpack_rows(X, name), kind, None
    if hasattr(X, "__array__"):
        return _plain_array(np.asarray(X), name), kind, None
    if isinstance(X, (int, float, complex)):
        return np.asarray(X), "number", None  # refused for its shape
    if isinstance(X, Sequence) and not isinstance(X, (bytes, bytearray)):
        return _from_sequence(X, name), "list", None
    raise DataTypeError(
        f"{name} is a {type(X).__name__}; expected a matrix of numbers: a NumPy array, a pandas, polars or pyarrow "
        "table, a torch tensor, an array with DLPack, a list of lists, or the path of a file "
        f"({', '.join(FILE_SUFFIXES)})."
    )


def _plain_array(array: np.ndarray, name: str) -> np.ndarray:
    if isinstance(array, np.matrix):
        raise DataTypeError(
            "np.matrix is not supported. Please convert to a numpy array with np.asarray. For more information see: "
            "https://numpy.org/doc/stable/reference/generated/numpy.matrix.html"
        )
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError(f"{name} is a masked array with {np.ma.count_masked(array)} masked values; fill or drop them.")
    return array


def _from_sequence(rows: Sequence[Any], name: str) -> np.ndarray:
    lengths = [len(row) if hasattr(row, "__len__") and not isinstance(row, (str, bytes)) else None for row in rows]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            found = ["is not a list" if n is None else f"has {n} values" for n in (length, lengths[0])]
            raise DataError(
                f"{name} is ragged: row {i} {found[0]} and row 0 {found[1]}; all rows need the same number."
            )
    try:
        return np.asarray(rows)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is ragged or not a matrix of numbers: {error}.") from error
