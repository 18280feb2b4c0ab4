"""Tables in memory: pandas, polars and pyarrow. Their libraries are never imported; the caller's object has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuclust.errors import DataError, DataTypeError
from gpuclust.sources.arrays import Rows
from gpuclust.sources.arrow import ArrowRows
from gpuclust.sources.dtypes import common_dtype, object_to_float64, target_dtype, widen

__all__ = ["pandas_rows", "polars_rows", "pyarrow_rows"]

Column = Callable[[Any], np.ndarray]


class _ColumnRows:
    """Columns of several dtypes as blocks of rows; see `gpuclust.sources.arrays.Rows`.

    Each column is a function from a slice, or int64 row indices, to its values as a NumPy array.
    """

    def __init__(
        self, columns: Sequence[Column], dtypes: Sequence[np.dtype], names: Sequence[Any], n_rows: int
    ) -> None:
        self.shape = (n_rows, len(columns))
        self.dtype = common_dtype(dtypes)
        self._columns = columns
        self._names = names

    def __getitem__(self, key: Any) -> np.ndarray:
        n_rows = len(range(*key.indices(self.shape[0]))) if isinstance(key, slice) else len(key)
        out = np.empty((n_rows, self.shape[1]), self.dtype)
        for feature, (column, name) in enumerate(zip(self._columns, self._names, strict=True)):
            widen(column(key), out[:, feature], f"column {name!r}")
        return out


def pandas_rows(frame: Any, name: str = "X") -> tuple[Rows, list[str] | None]:
    """Return a ``pandas.DataFrame`` as blocks of rows, and its column names if they are strings.

    Columns of one NumPy dtype are used where they lie; nullable, Arrow, sparse and mixed ones are converted by column.

    Raises
    ------
    DataError
        A nullable column with a missing value.
    DataTypeError
        A column that is not numeric, or column names of which only some are strings.
    """
    if frame.ndim != 2:
        raise _series(frame)
    names = list(frame.columns)
    if len(set(frame.dtypes)) == 1 and isinstance(frame.dtypes.iloc[0], np.dtype):
        return frame.to_numpy(), _string_names(names)
    is_numeric = sys.modules["pandas"].api.types.is_numeric_dtype
    columns: list[Column] = []
    dtypes = []
    for position, (column, stored) in enumerate(zip(names, frame.dtypes, strict=True)):
        series, where = frame.iloc[:, position], f"column {column!r} of {name}"
        if isinstance(stored, np.dtype):
            values = series.to_numpy()
            values = object_to_float64(values, where) if stored.kind == "O" else values
            dtypes.append(target_dtype(values.dtype, where))
            columns.append(values.__getitem__)
            continue
        dtype = getattr(stored, "numpy_dtype", getattr(stored, "subtype", None))
        if getattr(stored, "kind", None) == "b":  # pandas tells neither dtype nor kind of Arrow's bool elsewhere
            dtype = np.dtype(bool)
        elif not (is_numeric(stored) and isinstance(dtype, np.dtype)):
            raise DataTypeError(f"Column {column!r} of {name} has dtype {stored}, which is not numeric.")
        if dtype.kind in "biu" and series.isna().any():
            raise _missing(name, column)
        dtypes.append(target_dtype(dtype, where))
        columns.append(_pandas_column(series, dtype))
    return _ColumnRows(columns, dtypes, names, len(frame)), _string_names(names)


def _pandas_column(series: Any, dtype: np.dtype) -> Column:
    fill = {"na_value": np.nan} if dtype.kind == "f" else {}
    return lambda key: series.iloc[key].to_numpy(dtype=dtype, **fill)


def polars_rows(frame: Any, name: str = "X") -> tuple[Rows, list[str] | None]:
    """Return a ``polars.DataFrame``, or a Series of rows (dtype Array), as blocks of rows, and the column names.

    Raises
    ------
    DataError
        A column with a missing value.
    DataTypeError
        A column that is not numeric, or a LazyFrame.
    """
    polars = sys.modules["polars"]
    if isinstance(frame, polars.LazyFrame):
        raise DataTypeError(f"{name} is a polars LazyFrame, which holds no rows yet; call .collect() first.")
    series_of_rows = isinstance(frame, polars.Series)
    columns = [frame] if series_of_rows else frame.get_columns()
    if len(columns) == 1 and isinstance(columns[0].dtype, polars.Array):
        rows = columns[0]
        if rows.null_count() or rows.explode(empty_as_null=True).null_count():
            raise _missing(name, rows.name)
        return rows.to_numpy(), None
    if series_of_rows:
        raise _series(frame)
    dtypes = []
    for column in columns:
        kind = column.dtype
        if not (kind.is_integer() or kind.is_float() or kind == polars.Boolean):
            raise DataTypeError(f"Column {column.name!r} of {name} has dtype {kind}, which is not numeric.")
        if column.null_count():
            raise _missing(name, column.name)
        dtypes.append(target_dtype(column[:0].to_numpy().dtype, f"column {column.name!r} of {name}"))
    names = [column.name for column in columns]
    return _ColumnRows([_polars_column(column) for column in columns], dtypes, names, frame.height), names


def _polars_column(column: Any) -> Column:
    return lambda key: column[key].to_numpy()


def pyarrow_rows(data: Any, name: str = "X") -> tuple[Rows, list[str] | None]:
    """Return a ``pyarrow`` Table, RecordBatch or array of rows (fixed_size_list) as blocks of rows, and the names.

    Raises
    ------
    DataError
        A missing value, or an array that is not one of rows.
    DataTypeError
        A column that is not numeric, or another kind of pyarrow object.
    """
    pyarrow = sys.modules["pyarrow"]
    if isinstance(data, pyarrow.RecordBatch):
        data = pyarrow.Table.from_batches([data])
    elif isinstance(data, (pyarrow.Array, pyarrow.ChunkedArray)):
        if not pyarrow.types.is_fixed_size_list(data.type):
            raise _series(data)
        data = pyarrow.table({"rows": data})
    elif not isinstance(data, pyarrow.Table):
        raise DataTypeError(f"{name} is a pyarrow {type(data).__name__}; expected a Table, a RecordBatch or an array.")
    rows = ArrowRows(data, name)
    return rows, rows.layout.feature_names


def _string_names(names: list[Any]) -> list[str] | None:
    kinds = sorted({type(name).__qualname__ for name in names})
    if len(kinds) > 1 and "str" in kinds:
        raise DataTypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types. If you want feature names to be stored and validated, you "
            "must convert them all to strings, by using X.columns = X.columns.astype(str) for example. Otherwise you "
            "can remove feature / column names from your input data, or convert them all to a non-string data type."
        )
    return names if kinds == ["str"] else None


def _missing(name: str, column: Any) -> DataError:
    return DataError(f"Input {name} contains NaN: column {column!r} has missing values.")


def _series(series: Any) -> DataError:
    return DataError(
        f"Expected a 2-dimensional container but got {type(series)} instead. Pass a DataFrame containing a single row "
        "(i.e. single sample) or a single column (i.e. single feature) instead. Expected 2D array, got 1D array."
    )
