"""pandas, polars, pyarrow tables and parquet files: values to the bit, names, missing values, refusals."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpuclust.errors import DataError, DataTypeError, FileFormatError, MissingDependencyError
from gpuclust.sources import arrays as arrays_module
from gpuclust.sources import as_source
from gpuclust.sources import dispatch as dispatch_module
from tests.sources.helpers import assert_same_bits, check_rows, read

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

MIXED = {
    "a": np.array([1, 2, 3, 4, 5], np.int16),
    "b": np.array([0.5, -1.5, 2.5, 1e30, 3.25], np.float32),
    "c": np.array([True, False, True, True, False]),
}
EXPECTED = np.column_stack([column.astype(np.float64) for column in MIXED.values()])


def _tables(tmp_path: Path) -> dict[str, object]:
    table = pyarrow.table({name: pyarrow.array(values) for name, values in MIXED.items()})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2, write_page_checksum=True)
    return {
        "pandas": pandas.DataFrame(MIXED),
        "pandas nullable": pandas.DataFrame(MIXED).astype({"a": "Int16", "b": "Float32", "c": "boolean"}),
        "pandas arrow": pandas.DataFrame(MIXED).convert_dtypes(dtype_backend="pyarrow"),
        "pandas object": pandas.DataFrame(MIXED).astype(object),
        "pandas half object": pandas.DataFrame(MIXED).astype({"a": object}),
        "pandas sparse": pandas.DataFrame(MIXED).astype({"a": pandas.SparseDtype(np.int16, 0)}),
        "polars": polars.DataFrame(MIXED),
        "pyarrow": table,
        "pyarrow chunked": pyarrow.concat_tables([table.slice(0, 1), table.slice(1, 3), table.slice(4)]),
        "record batch": table.combine_chunks().to_batches()[0],
        "parquet": tmp_path / "a.parquet",
    }


@pytest.mark.parametrize("chunk_rows", [None, 1, 2, 3, 99])
def test_mixed_columns(tmp_path: Path, chunk_rows: int | None) -> None:
    for kind, table in _tables(tmp_path).items():
        source = as_source(table, chunk_rows=chunk_rows)
        assert source.feature_names == ["a", "b", "c"], kind
        check_rows(source, EXPECTED)
        assert source.resident == (chunk_rows is None)


def test_large_tables_are_widened_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays_module, "RESIDENT_BYTES", 1)
    monkeypatch.setattr(dispatch_module, "RESIDENT_BYTES", 1)
    tables = _tables(tmp_path)
    del tables["pandas object"]  # converted once, whatever its size
    for table in tables.values():
        assert not as_source(table).resident
        source = as_source(table, max_memory=8 * 48)
        assert not source.resident
        assert [len(c.rows) for c in source.chunks()] == [2, 2, 1]
        check_rows(source, EXPECTED)


def test_narrow_columns_give_float32(tmp_path: Path) -> None:
    columns = {name: np.arange(3, dtype=dtype) for name, dtype in zip("abc", ("u1", "f4", "f2"), strict=True)}
    expected = np.tile(np.arange(3, dtype=np.float32)[:, None], 3)
    table = pyarrow.table(columns)
    parquet.write_table(table, tmp_path / "a.parquet")
    for given_table in (pandas.DataFrame(columns), table, tmp_path / "a.parquet"):
        check_rows(as_source(given_table), expected)
    check_rows(as_source(polars.DataFrame({"a": columns["a"], "b": columns["b"]})), expected[:, :2])


def test_one_dtype_pandas_is_not_copied() -> None:
    rows = np.arange(12.0).reshape(4, 3)
    frame = pandas.DataFrame(rows, columns=list("xyz"), copy=False)
    source = as_source(frame)
    assert np.shares_memory(next(source.chunks()).rows, rows)
    assert source.description == "pandas DataFrame (4, 3) float64"


def test_column_names() -> None:
    rows = np.zeros((2, 2))
    assert as_source(pandas.DataFrame(rows)).feature_names is None
    check_rows(as_source(pandas.DataFrame(MIXED).set_axis(["a", "a", "b"], axis=1)), EXPECTED)
    with pytest.raises(TypeError, match=r"Feature names are only supported if all .* have string names"):
        as_source(pandas.DataFrame(rows, columns=["a", 1]))


LISTS = np.arange(15, dtype=np.float32).reshape(5, 3)


def _fixed_lists(rows: np.ndarray) -> object:
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.ravel()), rows.shape[1])


@pytest.mark.parametrize("chunk_rows", [None, 1, 2, 99])
def test_rows_in_one_column(tmp_path: Path, chunk_rows: int | None) -> None:
    array = _fixed_lists(LISTS)
    table = pyarrow.table({"embedding": array})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    series = polars.Series("embedding", LISTS, dtype=polars.Array(polars.Float32, 3))
    chunked = pyarrow.chunked_array([array.slice(0, 2), array.slice(2)])
    for given_rows in (array, chunked, table, series, series.to_frame(), tmp_path / "a.parquet"):
        source = as_source(given_rows, chunk_rows=chunk_rows)
        assert source.feature_names is None
        check_rows(source, LISTS)
    check_rows(as_source(array.slice(1, 3), chunk_rows=chunk_rows), LISTS[1:4])


@given(
    rows=hnp.arrays(
        st.sampled_from([np.dtype(d) for d in ("f2", "f4", "f8", "i1", "u1", "i2", "u4", "?")]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=13),
    ),
    chunk_rows=st.none() | st.integers(1, 15),
    row_group_size=st.integers(1, 14),
    as_list=st.booleans(),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parquet_round_trip(
    tmp_path: Path, rows: np.ndarray, chunk_rows: int | None, row_group_size: int, as_list: bool
) -> None:
    columns = (
        {"rows": _fixed_lists(rows)} if as_list else {f"c{j}": pyarrow.array(rows[:, j]) for j in range(rows.shape[1])}
    )
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet", row_group_size=row_group_size)
    source = as_source(tmp_path / "a.parquet", chunk_rows=chunk_rows)
    check_rows(source, rows.astype(source.dtype))
    check_rows(as_source(pyarrow.table(columns), chunk_rows=chunk_rows), rows.astype(source.dtype))


def test_take_decodes_only_the_row_groups_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pyarrow.table({"a": np.arange(100.0)}), tmp_path / "a.parquet", row_group_size=10)
    source = as_source(tmp_path / "a.parquet", chunk_rows=100)
    decoded = []
    original = parquet.ParquetFile.iter_batches

    def spy(self, *args, **kwargs):
        decoded.extend(kwargs["row_groups"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", spy)
    assert source.take(np.array([23, 29, 71])).ravel().tolist() == [23.0, 29.0, 71.0]
    assert decoded == [2, 7]
    decoded.clear()
    assert len(read(source, 35, 41)) == 6
    assert decoded == [3, 4]


def test_pandas_index_column_is_no_feature(tmp_path: Path) -> None:
    frame = pandas.DataFrame(MIXED, index=[7, 8, 9, 10, 11])
    frame.to_parquet(tmp_path / "a.parquet")
    assert "__index_level_0__" in parquet.read_schema(tmp_path / "a.parquet").names
    source = as_source(tmp_path / "a.parquet")
    assert source.feature_names == ["a", "b", "c"]
    check_rows(source, EXPECTED)


MISSING = {
    "pandas Int64": lambda: pandas.DataFrame({"a": [1.0, 2.0], "b": pandas.array([1, None], "Int64")}),
    "pandas boolean": lambda: pandas.DataFrame({"b": pandas.array([True, None], "boolean")}),
    "polars": lambda: polars.DataFrame({"a": [1, 2], "b": [1, None]}),
    "polars array": lambda: polars.Series("b", [[1.0], None], dtype=polars.Array(polars.Float64, 1)).to_frame(),
    "polars inside": lambda: polars.Series("b", [[1.0], [None]], dtype=polars.Array(polars.Float64, 1)),
    "pyarrow": lambda: pyarrow.table({"a": [1, 2], "b": [1.0, None]}),
    "pyarrow list": lambda: pyarrow.table({"b": pyarrow.array([[1.0], None], pyarrow.list_(pyarrow.float64(), 1))}),
    "pyarrow inside": lambda: pyarrow.table({"b": pyarrow.array([[1.0], [None]], pyarrow.list_(pyarrow.float64(), 1))}),
}


@pytest.mark.parametrize("case", MISSING)
def test_missing_values_name_the_column(tmp_path: Path, case: str) -> None:
    table = MISSING[case]()
    with pytest.raises(DataError, match="Input X contains NaN: column 'b' has missing values"):
        read(as_source(table))
    if case.startswith("pyarrow"):
        parquet.write_table(table, tmp_path / "a.parquet")
        for chunk_rows in (None, 1):
            with pytest.raises(DataError, match=r"Input a.parquet contains NaN: column 'b' has missing values"):
                read(as_source(tmp_path / "a.parquet", chunk_rows=chunk_rows))


def test_nullable_float_becomes_nan() -> None:
    frame = pandas.DataFrame({"a": pandas.array([1.0, None], "Float32"), "b": pandas.array([1.0, None], "Float64")})
    assert np.isnan(read(as_source(frame))).tolist() == [[False, False], [True, True]]


REFUSED = {
    "pandas series": (lambda: pandas.Series([1.0]), DataError, "Expected a 2-dimensional container but got"),
    "polars series": (lambda: polars.Series([1.0]), DataError, "Expected a 2-dimensional container but got"),
    "pyarrow array": (lambda: pyarrow.array([1.0]), DataError, "Expected a 2-dimensional container but got"),
    "lazy": (lambda: polars.LazyFrame({"a": [1]}), DataTypeError, r"call \.collect\(\) first"),
    "schema": (lambda: pyarrow.schema([]), DataTypeError, "X is a pyarrow Schema"),
    "pandas strings": (lambda: pandas.DataFrame({"a": [1.0], "s": ["x"]}), DataTypeError, r"(?i)column 's' of X"),
    "pandas category": (
        lambda: pandas.DataFrame({"a": pandas.Categorical([1])}),
        DataTypeError,
        "Column 'a' of X has dtype category",
    ),
    "pandas dates": (lambda: pandas.DataFrame({"a": pandas.to_datetime(["2020"])}), DataTypeError, "not numeric"),
    "pandas complex": (lambda: pandas.DataFrame({"a": [1j], "b": [1]}), DataTypeError, "Complex data not supported"),
    "polars strings": (lambda: polars.DataFrame({"s": ["x"]}), DataTypeError, "Column 's' of X has dtype String"),
    "polars lists": (lambda: polars.DataFrame({"s": [[1]]}), DataTypeError, "Column 's' of X has dtype List"),
    "pyarrow strings": (lambda: pyarrow.table({"s": ["x"]}), DataTypeError, "Column 's' of X has type string"),
    "pyarrow lists": (lambda: pyarrow.table({"s": [[1]]}), DataTypeError, "single column of type fixed_size_list"),
    "pyarrow two": (
        lambda: pyarrow.table({"id": [1], "e": _fixed_lists(LISTS[:1])}),
        DataTypeError,
        "Column 'e' of X has type fixed_size_list",
    ),
    "no columns": (lambda: pandas.DataFrame(index=[1, 2]), DataError, r"0 feature\(s\) \(shape=\(2, 0\)\)"),
    "no rows": (lambda: polars.DataFrame({"a": np.zeros(0)}), DataError, r"0 sample\(s\) \(shape=\(0, 1\)\)"),
    "no rows arrow": (lambda: pyarrow.table({"a": np.zeros(0)}), DataError, r"0 sample\(s\) \(shape=\(0, 1\)\)"),
    "big": (lambda: pyarrow.table({"a": [1], "b": [2**60]}), DataError, "column 'b' of X has dtype int64 and contains"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    make, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        as_source(make())
    if isinstance(table := make(), pyarrow.Table):
        parquet.write_table(table, tmp_path / "X")
        (tmp_path / "X").rename(tmp_path / "X.parquet")
        with pytest.raises(error, match=message.replace("of X", r"of X\.parquet")):
            read(as_source(tmp_path / "X.parquet"))


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = np.random.default_rng(0).normal(size=5000)
    parquet.write_table(pyarrow.table({"a": values}), path, use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"a\.parquet"):
        read(as_source(path))
    path.write_bytes(bytes(content[:-100]))
    with pytest.raises(FileFormatError, match=r"a\.parquet is not a valid parquet file"):
        as_source(path)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pyarrow.table({"a": [1.0]}), tmp_path / "a.parquet")
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gpuclust\[io\]'"):
        as_source(tmp_path / "a.parquet")


def test_tables_and_tensors_import_nothing() -> None:
    code = (
        "import sys, numpy as np; from gpuclust.sources import as_source;"
        "as_source(np.zeros((2, 2))); as_source([[1, 2]]);"
        "loaded = {'pandas', 'polars', 'pyarrow', 'torch', 'sklearn', 'scipy', 'numba'} & {*sys.modules};"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parquet_is_read_without_pandas(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"a": [1.0, 2.0], "b": [True, False]}), tmp_path / "a.parquet")
    code = (
        "import sys; from gpuclust.sources import as_source; source = as_source(sys.argv[1]); list(source.chunks());"
        "assert 'pyarrow' in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.parquet"], check=True)


def test_prefetched_parquet_chunks_stay_valid(tmp_path: Path) -> None:
    rows = np.arange(3000.0)
    parquet.write_table(pyarrow.table({"a": rows}), tmp_path / "a.parquet", row_group_size=70)
    for chunk in as_source(tmp_path / "a.parquet", chunk_rows=33).chunks():
        assert_same_bits(chunk.rows[:, 0], rows[chunk.start : chunk.start + len(chunk.rows)])
