"""From the dtypes that data comes in to the two that gpuclust computes in, without losing a bit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gpuclust.errors import DataError, DataTypeError

__all__ = ["check_exact_integers", "common_dtype", "object_to_float64", "target_dtype", "widen"]

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_EXACT_INTEGERS = 2**53  # float64 holds every integer up to here
_ACCEPTED = "float16, bfloat16, float32, float64, bool and integers of 8 to 64 bits are accepted"


def target_dtype(dtype: np.dtype, name: str = "X") -> np.dtype:
    """Return the dtype, float32 or float64, that holds every value of ``dtype``.

    float16, bfloat16, int8, uint8 and bool widen to float32; integers of 16 to 64 bits to float64 (values beyond
    2**53 are refused when they are met, by `widen`). Byte order does not matter.

    Raises
    ------
    DataTypeError
        Complex, extended precision, strings, dates, objects, records.
    """
    kind, size = dtype.kind, dtype.itemsize
    if dtype.name == "bfloat16":  # a NumPy dtype of the ml_dtypes package, as JAX uses it
        return _FLOAT32
    if kind == "f" and size <= 8:
        return _FLOAT64 if size == 8 else _FLOAT32
    if kind == "b":
        return _FLOAT32
    if kind in "iu":
        return _FLOAT32 if size == 1 else _FLOAT64
    if kind == "c":
        raise DataTypeError(f"Complex data not supported: {name} has dtype {dtype}; {_ACCEPTED}.")
    if kind in "USTV":
        raise DataTypeError(
            f"dtype='numeric' is not compatible with arrays of bytes/strings: {name} has dtype {dtype}. "
            "Convert your data to numeric values explicitly instead."
        )
    if kind == "f":
        raise DataTypeError(f"{name} has dtype {dtype}, which float64 cannot hold exactly; convert it with astype.")
    raise DataTypeError(f"{name} has dtype {dtype}, which is not numeric; {_ACCEPTED}.")


def common_dtype(dtypes: Iterable[np.dtype]) -> np.dtype:
    """Return float64 if any of some target dtypes is float64, else float32."""
    return _FLOAT64 if any(dtype == _FLOAT64 for dtype in dtypes) else _FLOAT32


def widen(block: np.ndarray, out: np.ndarray, name: str = "X") -> np.ndarray:
    """Copy ``block`` into ``out`` (same shape, of the target dtype), every value exactly.

    Raises
    ------
    DataError
        A 64-bit integer beyond 2**53 in size, which float64 cannot hold.
    """
    if block.dtype.kind in "iu" and block.dtype.itemsize == 8 and block.size:
        check_exact_integers(int(block.min()), int(block.max()), block.dtype, name)
    np.copyto(out, block, casting="safe")
    return out


def check_exact_integers(low: int, high: int, dtype: object, name: str = "X") -> None:
    """Raise DataError if the least or the largest integer of an array is beyond 2**53 in size."""
    if high > _EXACT_INTEGERS or low < -_EXACT_INTEGERS:
        worst = high if high > _EXACT_INTEGERS else low
        raise DataError(
            f"{name} has dtype {dtype} and contains {worst}; integers beyond 2**53 = {_EXACT_INTEGERS} "
            "are not exact in float64."
        )


def object_to_float64(array: np.ndarray, name: str = "X") -> np.ndarray:
    """Return an array of Python or NumPy numbers as float64, C-contiguous; None becomes NaN.

    Raises
    ------
    DataTypeError
        An element is not a real number. Strings are refused even if they spell one.
    DataError
        An integer beyond 2**53 in size.
    """
    for position, value in enumerate(array.flat):
        if isinstance(value, (str, bytes)):
            raise DataTypeError(f"could not convert string to float: {value!r} at {_where(position, array)} of {name}.")
        if isinstance(value, (complex, np.complexfloating)):
            raise DataTypeError(f"Complex data not supported: {value!r} at {_where(position, array)} of {name}.")
        if isinstance(value, (int, np.integer)) and not -_EXACT_INTEGERS <= value <= _EXACT_INTEGERS:
            raise DataError(
                f"{name} contains {value} at {_where(position, array)}; integers beyond 2**53 = {_EXACT_INTEGERS} "
                "are not exact in float64."
            )
    try:
        return np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise DataTypeError(f"{name} has dtype object and does not consist of numbers: {error}.") from error


def _where(position: int, array: np.ndarray) -> str:
    index = np.unravel_index(position, array.shape)
    return ", ".join(f"{axis} {int(i)}" for axis, i in zip(("row", "column"), index, strict=False))
