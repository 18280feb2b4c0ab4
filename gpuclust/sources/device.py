"""Matrices in the memory of a GPU: torch tensors, CuPy arrays and their like. Their libraries are never imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpuclust.errors import DataTypeError, DeviceError, DeviceMemoryError
from gpuclust.sources.base import Chunk, Source
from gpuclust.sources.chunking import chunk_bounds
from gpuclust.sources.dtypes import check_exact_integers, target_dtype
from gpuclust.sources.tensors import check_dense
from gpuclust.validation import check_matrix_shape, check_row_indices, check_row_range, to_host

__all__ = ["DeviceArraySource"]

_FLOAT32 = np.dtype(np.float32)


class DeviceArraySource(Source):
    """A matrix in the memory of a CUDA device. It stays there, also when it must be widened or made C-contiguous.

    The chunks are arrays of the caller's library; an array of float32 or float64, C-contiguous, is the one chunk as it
    lies, apart from its autograd graph. Everything is done by the array's own methods: torch's ``float``, ``double``,
    ``contiguous``, ``detach``; otherwise ``astype`` and ``copy``, as CuPy and JAX have them.

    Parameters
    ----------
    array : array (n_rows, n_features)
        A torch tensor, or an array with DLPack, ``astype`` and indexing by rows.
    device : str
        Where it lies: "cuda:N".
    chunk_rows : int, optional
        Rows of a chunk; the source is then not resident, and widened chunk by chunk.
    name : str
        The parameter's name, for messages.
    """

    def __init__(self, array: Any, device: str, *, chunk_rows: int | None = None, name: str = "X") -> None:
        self._name, self.device = name, device
        check_dense(array, name)
        kind = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
        if not (hasattr(array, "detach") or hasattr(array, "astype")):
            raise DeviceError(
                f"{name} is a {kind} on {device}; pass cupy.from_dlpack({name}), which shares its memory."
            )
        self.n_rows, self.n_features = check_matrix_shape(tuple(array.shape), array=array)
        self.dtype = _target_dtype(array.dtype, name)
        self.description = f"{kind} {(self.n_rows, self.n_features)} {_numpy_name(array.dtype)} on {device}"
        self.resident = chunk_rows is None
        self.chunk_rows = self.n_rows if chunk_rows is None else chunk_rows
        self._array = self._ready(array) if self.resident else array

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        start, stop = check_row_range(start, stop, self.n_rows)
        bounds = chunk_bounds(start, stop, self.chunk_rows)
        return (Chunk(first, self._ready(self._array[first:end])) for first, end in bounds)

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = check_row_indices(indices, self.n_rows)
        with _current(self._array):
            rows = self._array[indices]
        return np.asarray(to_host(self._ready(rows)))

    def rechunked(self, chunk_rows: int) -> DeviceArraySource:
        """The same rows in chunks of another size."""
        return DeviceArraySource(self._array, str(self.device), chunk_rows=chunk_rows, name=self._name)

    def _ready(self, rows: Any) -> Any:
        """The rows as a C-contiguous array of ``dtype``, on their device.

        Raises
        ------
        DataTypeError
            The array's library cannot convert it exactly.
        DataError
            An integer beyond 2**53.
        DeviceMemoryError
            No room for the converted copy.
        """
        try:
            with _current(rows):
                self._check_integers(rows)
                if hasattr(rows, "detach"):  # torch
                    rows = rows.detach()
                    return (rows.float() if self.dtype == _FLOAT32 else rows.double()).contiguous()
                if _numpy_name(rows.dtype) != self.dtype.name:
                    rows = rows.astype(self.dtype)
                flags = getattr(rows, "flags", None)  # JAX has none: its arrays are C-contiguous
                rows = rows if flags is None or flags.c_contiguous else rows.copy(order="C")
        except NotImplementedError as error:  # of torch, for some unsigned integers
            raise DataTypeError(f"{self._name}: {self.description} cannot be converted: {error}.") from error
        except (MemoryError, RuntimeError) as error:  # CuPy's and torch's
            if isinstance(error, MemoryError) or "out of memory" in str(error):
                raise DeviceMemoryError(
                    f"{self._name}: no memory on {self.device} for a copy of {self.description} in {self.dtype}: "
                    f"{error}. Pass C-contiguous rows in {self.dtype}, which are used as they lie, or rows on the host."
                ) from error
            raise
        if _numpy_name(rows.dtype) != self.dtype.name:  # JAX without 64-bit types rounds
            raise DataTypeError(f"{self._name}: {self.description} cannot be converted to {self.dtype} exactly.")
        return rows

    def _check_integers(self, rows: Any) -> None:
        if _numpy_name(rows.dtype) in ("int64", "uint64") and len(rows):
            check_exact_integers(int(rows.min()), int(rows.max()), rows.dtype, self._name)


def _current(array: Any) -> AbstractContextManager[Any]:
    """Make a CuPy array's device the current one, on which CuPy computes; other libraries see to it themselves."""
    device: Any = getattr(array, "device", None)
    return device if hasattr(device, "id") and hasattr(device, "__enter__") else nullcontext()


def _numpy_name(dtype: Any) -> str:
    """A dtype by NumPy's name, also torch's."""
    return str(dtype).removeprefix("torch.")


def _target_dtype(dtype: Any, name: str) -> np.dtype:
    """`gpuclust.sources.dtypes.target_dtype` for the dtype of any library."""
    if _numpy_name(dtype) == "bfloat16":
        return _FLOAT32
    try:
        known = np.dtype(_numpy_name(dtype))
    except TypeError:
        known = np.dtype("V")
    if known.kind == "V":  # nothing, or a dtype of the ml_dtypes package, as torch's float8
        raise DataTypeError(f"{name} has dtype {dtype}, which has no NumPy counterpart.")
    return target_dtype(known, name)
