"""Labels as they come: arrays of any kind, memory maps, the files that jobs write. Encoded as clusters 0 to k - 1."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpuclust.errors import DataError, DataTypeError, FileFormatError, MissingDependencyError, ParameterError
from gpuclust.validation import to_host

__all__ = ["NARROW", "Encoded", "Narrow", "as_labels", "check_between", "compact", "encode", "from_zero"]


#: Integers that reach no further are counted, not sorted.
NARROW = 1 << 20


class Narrow(NamedTuple):
    """Integers less their minimum, and how far they reach."""

    numbers: np.ndarray
    least: int
    span: int


class Encoded(NamedTuple):
    """Labels as numbers of clusters.

    Attributes
    ----------
    codes : ndarray (n,) int32
        Number of the row's cluster, -1 for rows that are left out.
    classes : ndarray (k,)
        The label that each number stands for, rising.
    """

    codes: np.ndarray
    classes: np.ndarray


def as_labels(labels: Any, name: str = "labels") -> np.ndarray:
    """Return one label per row, (n,), of integers, booleans or strings; files and memory maps are not read yet.

    Parameters
    ----------
    labels : array-like (n,), str or os.PathLike
        A NumPy array or memory map, a list, a pandas or polars column, a torch tensor or CuPy array, or the path of an
        .npy file or of a .parquet file with one column, or one named ``label``.
    name : str
        The parameter's name, for messages.

    Raises
    ------
    DataError
        Not one axis, no rows, missing values, numbers that are not whole.
    DataTypeError
        Neither numbers nor strings.
    FileFormatError
        A file that cannot be read.
    """
    if isinstance(labels, (str, os.PathLike)):
        found = _read(Path(os.fsdecode(labels)), name)
    else:
        if callable(getattr(labels, "detach", None)):  # a torch tensor
            labels = labels.detach()
        found = np.asarray(to_host(labels))
    if found.ndim != 1 or found.size == 0:
        raise DataError(f"{name} should be one label per row, (n,) with n >= 1, but its shape is {found.shape}.")
    if found.dtype.kind in "biuU":
        return found
    if found.dtype.kind == "f":
        return _whole(found, name)
    if found.dtype.kind in "OT":
        return _plain(found, name)
    raise DataTypeError(f"{name} should be integers or strings, one per row; got dtype {found.dtype}.")


def encode(labels: Any, n_rows: int, *, noise: str = "cluster", name: str = "labels") -> Encoded:
    """Number the clusters of the rows of a dataset; with ``noise="ignore"`` rows with label -1 are left out.

    Raises
    ------
    DataError
        Another number of labels than rows; with "ignore", nothing but noise.
    ParameterError
        ``noise`` is neither "cluster" nor "ignore".
    """
    if noise not in ("cluster", "ignore"):
        raise ParameterError(f"noise={noise!r} should be 'cluster' (label -1 is a cluster as any) or 'ignore'.")
    found = as_labels(labels, name)
    if len(found) != n_rows:
        raise DataError(f"{name} has {len(found)} labels, but X has {n_rows} rows: there must be one for each.")
    narrow = from_zero(found)
    if narrow is None:
        classes, codes = np.unique(found, return_inverse=True)
        codes = codes.astype(np.int32)
    else:
        present = np.bincount(narrow.numbers) > 0
        classes = (np.flatnonzero(present) + narrow.least).astype(found.dtype)
        codes = (np.cumsum(present, dtype=np.int32) - np.int32(1))[narrow.numbers]
    if noise == "ignore" and found.dtype.kind == "i":
        kept = classes != -1
        numbers = np.where(kept, np.cumsum(kept, dtype=np.int32) - np.int32(1), np.int32(-1))
        classes, codes = classes[kept], numbers[codes]
        if not len(classes):
            raise DataError(
                f"{name}: all rows are noise (-1), so there is no cluster to judge; cluster with a larger eps."
            )
    return Encoded(codes, classes)


def from_zero(labels: np.ndarray) -> Narrow | None:
    """Integer labels from zero on; None for strings and for those that reach too far to be counted."""
    if labels.dtype.kind not in "biu":
        return None
    least, most = int(labels.min()), int(labels.max())
    if most - least >= NARROW or most > np.iinfo(np.int64).max:
        return None
    return Narrow(labels.astype(np.int64) - least, least, most - least + 1)


def compact(labels: np.ndarray) -> np.ndarray:
    """Labels numbered without a gap, in the same order; -1 stays."""
    sizes = np.bincount(labels[labels >= 0])
    if sizes.all():
        return labels
    numbers = np.cumsum(sizes > 0, dtype=np.int32) - np.int32(1)
    return np.where(labels >= 0, numbers[np.maximum(labels, 0)], np.int32(-1))


def check_between(n_clusters: int, n_rows: int, score: str) -> None:
    """Raise DataError unless a score that compares clusters is defined: 2 <= n_clusters <= n_rows - 1."""
    if not 1 < n_clusters < n_rows:
        raise DataError(
            f"{score}: the number of clusters is {n_clusters}. Valid values are 2 to n_samples - 1 (inclusive), here "
            f"{n_rows - 1}, because clusters are compared with each other: cluster again with another k or eps."
        )


def _read(path: Path, name: str) -> np.ndarray:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if suffix in (".parquet", ".pq"):
            return _parquet(path, name)
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, (DataError, MissingDependencyError)):
            raise
        raise FileFormatError(f"{name}={str(path)!r} cannot be read: {error}") from error
    raise FileFormatError(f"{name}={str(path)!r} should end in .npy or .parquet, the formats of labels.")


def _parquet(path: Path, name: str) -> np.ndarray:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError("labels from parquet need pyarrow: pip install 'gpuclust[io]'.") from error
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except pa.ArrowException as error:
        raise FileFormatError(f"{name}={str(path)!r} cannot be read: {error}") from error
    column = "label" if "label" in table.column_names else table.column_names[0]
    if column != "label" and table.num_columns > 1:
        raise DataError(f"{name}={str(path)!r} has {table.num_columns} columns, none of them named 'label': keep one.")
    if table[column].null_count:
        raise _missing(name, table[column].null_count)
    return np.asarray(table[column].to_numpy())


def _whole(labels: np.ndarray, name: str) -> np.ndarray:
    if np.isnan(labels).any():
        raise _missing(name, int(np.isnan(labels).sum()))
    with np.errstate(invalid="ignore"):
        numbers = labels.astype(np.int64)
    wrong = np.flatnonzero(numbers != labels)
    if wrong.size:
        raise DataError(
            f"{name} should be whole numbers or strings, but is {labels[wrong[0]]} at row {wrong[0]}: these look like "
            "measurements, not labels."
        )
    return numbers


def _plain(labels: np.ndarray, name: str) -> np.ndarray:
    """Objects as integers or strings."""
    values = labels.tolist()
    missing = sum(value is None or value != value for value in values)
    if missing:
        raise _missing(name, missing)
    kinds = {type(value).__name__ for value in values}
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=np.str_)
    if not any(isinstance(value, str) for value in values):
        numbers = np.array(values)
        if numbers.ndim == 1 and numbers.dtype.kind in "biuf":
            return as_labels(numbers, name)
    raise DataTypeError(f"{name} should be all integers or all strings; got {', '.join(sorted(kinds))}.")


def _missing(name: str, count: int) -> DataError:
    return DataError(
        f"{name} has {count} missing values (NaN or None); leave these rows out of both labelings, or give them a "
        "label of their own."
    )
