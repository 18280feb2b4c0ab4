"""Checks at the door that need no engine and no source: shapes, weights, memory limits.

Wording follows scikit-learn (``sklearn.utils.validation``), so that code and tests which match its messages keep
working; the exceptions are gpuclust's own and derive from the built-in ones that scikit-learn raises.
"""

from __future__ import annotations

import math
import numbers
import re
from typing import Any

import numpy as np

from gpuclust.errors import DataError, DataTypeError, ParameterError

__all__ = [
    "check_counting_weight",
    "check_matrix_shape",
    "check_n_features",
    "check_positive_int",
    "check_row_indices",
    "check_row_range",
    "check_sample_weight",
    "cuda_device",
    "parse_memory",
    "to_host",
]

_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged of dlpack.h
_MEMORY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:(?:([kmgtp])(i?))?b)?\s*", re.IGNORECASE)
_MEMORY_RULE = 'expected a number of bytes >= 1, an int or a string such as "512MB" (10**6) or "2GiB" (2**30)'
_RESHAPE = (
    "Reshape your data either using array.reshape(-1, 1) if your data has a single feature "
    "or array.reshape(1, -1) if it contains a single sample."
)


def parse_memory(value: Any, name: str = "max_memory") -> int | None:
    """Return a memory limit in bytes.

    Parameters
    ----------
    value : int, str or None
        Bytes, or a string with a unit: ``"512MB"`` is 512e6 bytes, ``"2GiB"`` is 2 * 2**30. None means no limit.
    name : str
        The parameter's name, for messages.

    Raises
    ------
    ParameterError
        Not a number of bytes, or less than one byte.
    """
    if value is None:
        return None
    size = 0
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value)
        if match:
            number, prefix, binary = match.groups()
            power = " kmgtp".index((prefix or " ").lower())
            # Rational arithmetic would be exact too; a float loses less than one part in 2**52 of a limit.
            scale = (1024 if binary else 1000) ** power
            size = int(number) * scale if number.isdigit() else int(float(number) * scale)
    elif not isinstance(value, bool) and isinstance(value, numbers.Integral):
        size = int(value)
    if size < 1:
        raise ParameterError(f"{name}={value!r} is not a size in memory: {_MEMORY_RULE}.")
    return size


def check_positive_int(value: Any, name: str) -> int:
    """Return ``value`` as an int >= 1; ParameterError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ParameterError(f"{name}={value!r} should be an int >= 1.")
    return int(value)


def check_matrix_shape(shape: tuple[int, ...], *, array: Any = None) -> tuple[int, int]:
    """Return (n_rows, n_features) of a matrix with at least one row and one feature.

    Parameters
    ----------
    shape : tuple of int
        Shape of what was given as a matrix.
    array : optional
        What was given, shown in the message when it has fewer than two axes.

    Raises
    ------
    DataError
        Not two axes, no row, or no feature.
    """
    if len(shape) < 2:
        kind = "scalar" if len(shape) == 0 else "1D"
        raise DataError(f"Expected 2D array, got {kind} array instead:\narray={array}.\n{_RESHAPE}")
    if len(shape) > 2:
        raise DataError(f"Found array with dim {len(shape)}, while dim <= 2 is required.")
    n_rows, n_features = int(shape[0]), int(shape[1])
    for count, what in ((n_rows, "sample(s)"), (n_features, "feature(s)")):
        if count < 1:
            raise DataError(
                f"Found array with 0 {what} (shape={(n_rows, n_features)}) while a minimum of 1 is required."
            )
    return n_rows, n_features


def check_n_features(got: int, expected: int, estimator_name: str) -> None:
    """Raise DataError unless the data has the number of features that the estimator was fitted with."""
    if got != expected:
        raise DataError(f"X has {got} features, but {estimator_name} is expecting {expected} features as input.")


def check_row_range(start: int, stop: int | None, n_rows: int) -> tuple[int, int]:
    """Return the bounds of a run of rows, 0 <= start <= stop <= n_rows; ParameterError otherwise."""
    end = n_rows if stop is None else int(stop)
    if not 0 <= start <= end <= n_rows:
        raise ParameterError(f"start={start}, stop={stop} should satisfy 0 <= start <= stop <= n_rows={n_rows}.")
    return int(start), end


def check_row_indices(indices: np.ndarray, n_rows: int) -> np.ndarray:
    """Return row indices as int64 (m,): sorted, distinct, within [0, n_rows); ParameterError otherwise."""
    given = np.asarray(indices)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ParameterError(f"indices should be integers (m,), got {given.dtype} {given.shape}.")
    rows = given.astype(np.int64, copy=False)
    if rows.size and not (rows[0] >= 0 and rows[-1] < n_rows and bool(np.all(rows[1:] > rows[:-1]))):
        raise ParameterError(f"indices should be sorted, distinct and within [0, n_rows={n_rows}).")
    return rows


def cuda_device(array: Any) -> str | None:
    """Return "cuda:N" for a torch tensor, or an array with DLPack, in the memory of a CUDA device; otherwise None."""
    if isinstance(array, np.ndarray) or not hasattr(type(array), "__dlpack_device__"):
        return None
    device: Any = getattr(array, "device", None)
    if hasattr(device, "type"):  # torch: without asking DLPack, which knows fewer kinds of tensors
        return f"cuda:{device.index}" if device.type == "cuda" else None
    kind, number = array.__dlpack_device__()
    return f"cuda:{int(number)}" if int(kind) in _DLPACK_CUDA else None


def to_host(array: Any) -> Any:
    """Return an array in the memory of a GPU as one in host memory, by its own method; anything else as it is."""
    if cuda_device(array) is None:
        return array
    for method in ("cpu", "get"):  # of torch, of CuPy; JAX's arrays convert themselves
        if hasattr(array, method):
            return getattr(array, method)()
    return array


# Fixed-point sums keep at least 20 bits of a weight this much smaller than the largest, also of 2**30 rows.
SMALLEST_WEIGHT = 2.0**-40


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Return one weight per row, or None when every row weighs one.

    Parameters
    ----------
    sample_weight : None, number or array-like (n_rows,)
        Finite, not negative, not all zero. A number is the weight of every row.
    n_rows : int
        Number of rows of the data.

    Returns
    -------
    numpy.ndarray or None
        float64, (n_rows,), C-contiguous; the caller's own array if it is one already. None for weights that are all 1.

    Raises
    ------
    DataError
        Wrong length, NaN, infinity, negative, all zero, positive weights that differ by more than a factor of 2**40,
        or a sum that float64 cannot hold.
    DataTypeError
        Not numeric.
    """
    if sample_weight is None:
        return None
    weights = check_counting_weight(sample_weight, n_rows)
    low, high = weights.min(initial=math.inf), weights.max(initial=-math.inf)
    if low < 0:
        row = int(np.argmax(weights < 0))
        raise DataError(f"Negative values in data passed to `sample_weight`: {weights[row]} at row {row}.")
    if low == high == 1:
        return None
    with np.errstate(over="ignore"):
        if math.isinf(weights.sum()):
            raise DataError("The sum of sample_weight exceeds the largest float64; scale the weights down.")
    least = low if low > 0 else weights[weights > 0].min()
    if least < high * SMALLEST_WEIGHT:
        row = int(np.argmax(weights == least))
        raise DataError(
            f"sample_weight: the smallest positive weight, {least:.3g} at row {row}, is below 2**-40 (about 1e-12) of "
            f"the largest, {high:.3g}, and would not count in exact sums; set such weights to zero."
        )
    return weights


def check_counting_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Return one weight per row for counts of rows: finite and not all zero, (n_rows,) float64, C-contiguous.

    Raises
    ------
    DataError
        Wrong length, NaN, infinity, all zero.
    DataTypeError
        Not numeric.
    """
    weights = _weights_as_float64(sample_weight)
    if weights.ndim == 0:
        weights = np.full(n_rows, weights[()])
    if weights.ndim != 1:
        raise DataError(
            f"Sample weights must be 1D array or scalar, got {weights.ndim}D array. "
            f"Expected either a scalar value or a 1D array of length {n_rows}."
        )
    if weights.shape != (n_rows,):
        raise DataError(f"sample_weight.shape == {weights.shape}, expected {(n_rows,)}!")
    low, high = weights.min(initial=math.inf), weights.max(initial=-math.inf)
    if math.isnan(low):
        raise DataError(f"Input sample_weight contains NaN: first at row {int(np.argmax(np.isnan(weights)))}.")
    if math.isinf(high) or low == -math.inf:
        raise DataError(f"Input sample_weight contains infinity: first at row {int(np.argmax(np.isinf(weights)))}.")
    if low == high == 0:
        raise DataError("Sample weights must contain at least one non-zero number.")
    return weights


def _weights_as_float64(sample_weight: Any) -> np.ndarray:
    if callable(getattr(sample_weight, "detach", None)):  # a torch tensor: NumPy refuses one that requires grad
        sample_weight = sample_weight.detach()
    try:
        given = np.asarray(to_host(sample_weight))
        if given.dtype.kind not in "biufO":
            raise TypeError(f"dtype {given.dtype} is not numeric")
        return np.ascontiguousarray(given, dtype=np.float64) if given.ndim else given.astype(np.float64)
    except (TypeError, ValueError) as error:
        kind = type(sample_weight).__name__
        raise DataTypeError(f"sample_weight should be numbers, one per row; got {kind}: {error}.") from error
