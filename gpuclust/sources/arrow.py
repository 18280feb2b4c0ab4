"""The columns of Arrow data as a matrix: shared by tables in memory and parquet files.

Either every column is one numeric feature, or a single column holds whole rows as ``fixed_size_list``. Columns that
pandas stored for its index are left out, as pandas itself would.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.errors import DataError, DataTypeError
from gpuclust.sources.dtypes import common_dtype, target_dtype, widen

__all__ = ["ArrowLayout", "ArrowRows", "arrow_layout", "fill_block"]


class ArrowLayout(NamedTuple):
    """How the columns of a schema make a matrix.

    Attributes
    ----------
    columns : dict of int to str
        Positions and names of the columns in use.
    n_features : int
        Number of features.
    dtype : numpy.dtype
        float32 or float64, after widening.
    stored : str
        The stored dtype, for descriptions.
    as_list : bool
        A single ``fixed_size_list`` column holds the rows.
    """

    columns: dict[int, str]
    n_features: int
    dtype: np.dtype
    stored: str
    as_list: bool

    @property
    def feature_names(self) -> list[str] | None:
        return None if self.as_list else list(self.columns.values())


def arrow_layout(schema: Any, name: str = "X") -> ArrowLayout:
    """Return the layout of a ``pyarrow.Schema``.

    Raises
    ------
    DataTypeError
        A column that is neither numeric nor the only one and a ``fixed_size_list`` of numbers.
    """
    import pyarrow.types as kinds

    index = {entry for entry in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(entry, str)}
    columns = {i: field.name for i, field in enumerate(schema) if field.name not in index}
    types = [schema.field(i).type for i in columns]
    as_list = len(types) == 1 and kinds.is_fixed_size_list(types[0])
    n_features = types[0].list_size if as_list else len(types)
    if as_list:
        types = [types[0].value_type]
    dtypes = []
    for column, kind in zip(columns.values(), types, strict=True):
        if kinds.is_nested(kind):
            raise DataTypeError(
                f"Column {column!r} of {name} has type {kind}; expected numeric columns only, or rows in a single "
                "column of type fixed_size_list."
            )
        if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind)):
            raise DataTypeError(f"Column {column!r} of {name} has type {kind}, which is not numeric.")
        dtypes.append(np.dtype(kind.to_pandas_dtype()))
    target = common_dtype(target_dtype(dtype, name) for dtype in dtypes)
    stored = "/".join(dict.fromkeys(str(dtype) for dtype in dtypes))
    return ArrowLayout(columns, n_features, target, stored, as_list)


def fill_block(data: Any, layout: ArrowLayout, out: np.ndarray, name: str = "X") -> np.ndarray:
    """Copy a ``pyarrow.Table`` or ``RecordBatch`` into ``out`` (len(data), n_features) of the layout's dtype.

    Raises
    ------
    DataError
        A missing value, or an integer that float64 cannot hold; the message names the column.
    """
    for feature, (position, column_name) in enumerate(layout.columns.items()):
        column, start, where = data.column(position), 0, f"column {column_name!r} of {name}"
        for piece in getattr(column, "chunks", (column,)):  # a Table's columns are chunked, a RecordBatch's are not
            values = piece
            if layout.as_list and piece.null_count == 0:
                values = piece.flatten()
            if values.null_count:
                raise DataError(f"Input {name} contains NaN: column {column_name!r} has missing values (null).")
            block = _as_numpy(values)
            stop = start + len(piece)
            if layout.as_list:
                widen(block.reshape(len(piece), layout.n_features), out[start:stop], where)
            else:
                widen(block, out[start:stop, feature], where)
            start = stop
    return out


def _as_numpy(values: Any) -> np.ndarray:
    """Return an array without missing values as NumPy. Its own ``to_numpy`` would import pandas: 0.5 s and 45 MB."""
    return np.from_dlpack(values.cast("uint8") if values.type == "bool" else values)


class ArrowRows:
    """A ``pyarrow.Table`` as blocks of rows; see `gpuclust.sources.arrays.Rows`."""

    def __init__(self, table: Any, name: str = "X") -> None:
        self.layout = arrow_layout(table.schema, name)
        self.shape = (table.num_rows, self.layout.n_features)
        self.dtype = self.layout.dtype
        self._table = table
        self._name = name

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, slice):
            start, stop, _ = key.indices(self.shape[0])
            part = self._table.slice(start, stop - start)
        else:
            part = self._table.take(key)
        return fill_block(part, self.layout, np.empty((part.num_rows, self.shape[1]), self.dtype), self._name)
