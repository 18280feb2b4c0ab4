"""Writing the files of a result, with errors that name the file and the cause."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from gpuclust._cancel import checkpoint
from gpuclust.errors import GpuclustError, MissingDependencyError, OutputError, ParameterError

__all__ = ["labels_suffix", "sha256", "write_array", "write_bytes", "write_errors", "write_labels", "write_matrix"]


def labels_suffix(path: str | os.PathLike[str]) -> str:
    """Return ".npy" or ".parquet", the two formats of output; ParameterError for any other suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".parquet"):
        raise ParameterError(f"output={str(path)!r} should end in .npy or .parquet, the formats of output.")
    return suffix


def write_matrix(path: Path, matrix: np.ndarray, columns: Sequence[str], suffix: str) -> None:
    """Write ``matrix`` (n_rows, n_columns) as a ``.npy`` array or as a parquet file with named columns."""
    if suffix == ".npy":
        write_array(path, matrix)
    else:
        _write_parquet(path, dict(zip(columns, np.ascontiguousarray(matrix.T), strict=True)))


def write_labels(path: Path, labels: np.ndarray, suffix: str) -> None:
    """Write int32 ``labels`` (n_rows,) as a ``.npy`` array or as a parquet file with one column ``label``."""
    if suffix == ".npy":
        write_array(path, labels)
    else:
        _write_parquet(path, {"label": labels})


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a numeric ``array`` in NumPy's ``.npy`` format.

    Not with np.save: it hands the file to C's stdio and does not notice when the last block does not fit on the disk.
    """
    array = np.ascontiguousarray(array)
    with write_errors(path.name), open(path, "wb") as file:
        npy_format.write_array_header_1_0(file, npy_format.header_data_from_array_1_0(array))
        file.write(array.data)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; OutputError if that fails."""
    with write_errors(path.name):
        path.write_bytes(content)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 22):
            checkpoint()
            digest.update(block)
        return digest.hexdigest()


def _write_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError("output as parquet needs pyarrow: pip install 'gpuclust[io]'.") from error
    with write_errors(path.name):  # page checksums: without them a flipped bit in a parquet file goes unnoticed
        pq.write_table(pa.table(columns), path, write_page_checksum=True)


@contextmanager
def write_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the operating system's errors about writing ``path`` into OutputError; pass everything else on."""
    try:
        yield
    except GpuclustError:
        raise
    except OSError as error:
        raise OutputError(f"output={str(path)!r} cannot be written: {error.strerror or error}.") from error
