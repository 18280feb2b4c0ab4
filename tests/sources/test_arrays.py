"""Arrays in memory: zero-copy where promised, exact widening, chunks of any size, and every refusal."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpuclust.errors import DataError, DataTypeError, DeviceError, ParameterError
from gpuclust.sources import Source, as_source
from gpuclust.sources import arrays as arrays_module
from tests.sources.helpers import assert_same_bits, check_rows, read

FOUR = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def test_four_rows_by_hand() -> None:
    source = as_source(FOUR)
    assert (source.n_rows, source.n_features, source.dtype) == (4, 2, np.float64)
    assert source.description == "array (4, 2) float64"
    assert source.feature_names is None
    assert source.resident
    (chunk,) = source.chunks()
    assert chunk.start == 0
    assert np.shares_memory(chunk.rows, FOUR)
    assert source.take(np.array([1, 3])).tolist() == [[3.0, 4.0], [7.0, 8.0]]

    chunked = as_source(FOUR, chunk_rows=3)
    assert not chunked.resident
    assert [(c.start, c.rows.tolist()) for c in chunked.chunks()] == [
        (0, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        (3, [[7.0, 8.0]]),
    ]
    assert all(np.shares_memory(c.rows, FOUR) for c in chunked.chunks())
    assert [(c.start, len(c.rows)) for c in chunked.chunks(1, 3)] == [(1, 2)]


WIDENED = {
    **dict.fromkeys(["float16", "int8", "uint8", "bool", "float32", ">f4", ">f2"], np.float32),
    **dict.fromkeys(["int16", "uint16", "int32", "uint32", "int64", "uint64", "float64", ">f8", ">i8"], np.float64),
}


@pytest.mark.parametrize("chunk_rows", [None, 1, 3, 100])
@pytest.mark.parametrize("dtype", WIDENED)
def test_narrow_dtypes_are_widened_exactly(dtype: str, chunk_rows: int | None) -> None:
    rows = (np.arange(35).reshape(7, 5) % (2 if dtype == "bool" else 100)).astype(dtype)
    expected = np.array([[float(v) for v in row] for row in rows], WIDENED[dtype])
    source = as_source(rows, chunk_rows=chunk_rows)
    check_rows(source, expected)
    assert source.resident == (chunk_rows is None)


def test_bfloat16_of_ml_dtypes_is_widened_exactly() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rows = np.array([[1.5, -2.0], [3e38, 1e-38]]).astype(ml_dtypes.bfloat16)
    check_rows(as_source(rows), rows.astype(np.float32))


@given(
    rows=hnp.arrays(
        st.sampled_from(
            [np.dtype(d) for d in ("f2", "f4", "f8", ">f4", ">f8", "i1", "u1", "i2", "u2", "i4", "u4", "?")]
        ),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=17),
    ),
    chunk_rows=st.none() | st.integers(1, 19),
    layout=st.sampled_from(["C", "F", "strided", "reversed"]),
)
@settings(deadline=None, max_examples=150)
def test_every_layout_gives_the_same_bits(rows: np.ndarray, chunk_rows: int | None, layout: str) -> None:
    given_rows = {
        "C": lambda: rows,
        "F": lambda: np.asfortranarray(rows),
        "strided": lambda: np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3],
        "reversed": lambda: rows[::-1].copy()[::-1],
    }[layout]()
    source = as_source(given_rows, chunk_rows=chunk_rows)
    check_rows(source, rows.astype(source.dtype))


def test_a_copy_is_made_only_if_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.asfortranarray(FOUR)
    assert as_source(rows).resident
    assert as_source(rows, max_memory=8 * FOUR.nbytes).resident
    lazily = as_source(rows, max_memory=8 * FOUR.nbytes - 8)  # one float64 less
    assert not lazily.resident
    assert [len(c.rows) for c in lazily.chunks()] == [3, 1]
    check_rows(lazily, FOUR)
    monkeypatch.setattr(arrays_module, "RESIDENT_BYTES", 32)
    assert not as_source(rows).resident
    check_rows(as_source(rows), FOUR)


def test_max_memory_leaves_ready_arrays_where_they_are() -> None:
    assert as_source(FOUR, max_memory=1).resident
    assert as_source(FOUR.astype(np.float32), max_memory="1B").resident


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_map(tmp_path, mode: str, order: str) -> None:
    rows = np.random.default_rng(0).normal(size=(3000, 5))
    np.save(tmp_path / "a.npy", np.asarray(rows, order=order))
    mapped = np.load(tmp_path / "a.npy", mmap_mode=mode)
    if mode == "c":
        mapped[7, 2] = rows[7, 2] = 5.0  # a change that exists in memory only
    check_rows(as_source(mapped), rows)
    assert as_source(mapped).resident
    small = as_source(mapped, max_memory=8 * 4096)
    assert not small.resident
    assert max(c.rows.nbytes for c in small.chunks()) <= 4096
    check_rows(small, rows)
    check_rows(as_source(mapped[11:2000:3], max_memory=8 * 4096), rows[11:2000:3])
    check_rows(as_source(mapped, chunk_rows=999), rows)


def test_read_only_and_subclassed_arrays() -> None:
    frozen = FOUR.copy()
    frozen.setflags(write=False)
    check_rows(as_source(frozen), FOUR)
    check_rows(as_source(np.ma.masked_array(FOUR)), FOUR)
    check_rows(as_source(FOUR.view(np.recarray)), FOUR)


def test_lists_and_array_likes() -> None:
    class Wrapped:
        def __array__(self, dtype=None, copy=None):
            return FOUR

    check_rows(as_source(FOUR.tolist()), FOUR)
    check_rows(as_source([tuple(row) for row in FOUR.tolist()]), FOUR)
    check_rows(as_source(list(FOUR)), FOUR)
    check_rows(as_source([[1, 2], [3, 4]]), FOUR[:2])
    check_rows(as_source(Wrapped()), FOUR)
    check_rows(as_source(FOUR.astype(object)), FOUR)
    assert np.isnan(as_source([[None, 1.0]]).take(np.array([0]))[0, 0])


def test_a_source_is_returned_unchanged_or_regrouped() -> None:
    rows = np.arange(34.0).reshape(17, 2)
    for chunk_rows in (1, 4, 17):
        source = as_source(rows, chunk_rows=chunk_rows)
        assert as_source(source) is source
        for other in (1, 3, 4, 6, 17, 99):
            regrouped = as_source(source, chunk_rows=other)
            check_rows(regrouped, rows)
            assert [c.start for c in regrouped.chunks()] == list(range(0, 17, other))
            assert not regrouped.resident


def _tell(X: object) -> str:
    return re.sub(r"\s+", " ", str(X))


REFUSED = {
    "1-D": ([1.0, 2.0], DataError, "Expected 2D array, got 1D array instead: array=[1. 2.]. Reshape your data"),
    "number": (3, DataError, "Expected 2D array, got scalar array instead"),
    "NumPy scalar": (np.float32(3), DataError, "Expected 2D array, got scalar array instead"),
    "3-D": (np.zeros((2, 2, 2)), DataError, "Found array with dim 3, while dim <= 2 is required"),
    "no rows": (np.zeros((0, 3)), DataError, "Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 1 is"),
    "no features": (np.zeros((3, 0)), DataError, "0 feature(s) (shape=(3, 0)) while a minimum of 1 is required"),
    "empty list": ([], DataError, "Expected 2D array, got 1D array instead"),
    "ragged": ([[1, 2], [3]], DataError, "X is ragged: row 1 has 1 values and row 0 has 2 values"),
    "mixed": ([[1, 2], 3], DataError, "X is ragged: row 1 is not a list and row 0 has 2 values"),
    "ragged deep": ([[1, [2]], [3, 4]], DataError, "X is ragged"),
    "complex": (np.zeros((2, 2), complex), DataTypeError, "Complex data not supported"),
    "complex object": (np.array([[1j]], object), DataTypeError, "Complex data not supported"),
    "strings": ([["a", "b"]], DataTypeError, "dtype='numeric' is not compatible with arrays of bytes/strings"),
    "string object": (np.array([[1, "7"]], object), DataTypeError, "could not convert string to float: '7' at row 0"),
    "dict inside": (np.array([[{}]], object), DataTypeError, "argument must be a string or a real number, not 'dict'"),
    "dates": (np.zeros((2, 2), "M8[s]"), DataTypeError, "X has dtype datetime64[s], which is not numeric"),
    "longdouble": (np.zeros((2, 2), np.longdouble), DataTypeError, "which float64 cannot hold exactly"),
    "records": (np.zeros((2, 2), "f4,f4"), DataTypeError, "Convert your data to numeric values explicitly"),
    "big int": (np.array([[2**53 + 1]]), DataError, "contains 9007199254740993; integers beyond 2**53"),
    "small int": (np.array([[1, -(2**60)]]), DataError, "contains -1152921504606846976"),
    "big uint": (np.array([[2**64 - 1]], np.uint64), DataError, "contains 18446744073709551615"),
    "huge int": ([[1, 2], [3, 2**70]], DataError, "at row 1, column 1"),
    "matrix": (np.matrix([[1.0]]), DataTypeError, "np.matrix is not supported"),
    "masked": (np.ma.masked_array([[1.0, 2.0]], mask=[[0, 1]]), DataError, "1 masked values"),
    "none": (None, DataTypeError, "X is a NoneType; expected a matrix of numbers"),
    "dict": ({"a": [1]}, DataTypeError, "X is a dict"),
    "bytes": (b"abc", DataTypeError, "X is a bytes"),
    "generator": ((i for i in range(3)), DataTypeError, "X is a generator"),
    "sparse matrix": (scipy.sparse.csr_matrix(FOUR), TypeError, "Sparse data was passed for X (csr_matrix)"),
    "sparse array": (scipy.sparse.coo_array(FOUR), DataTypeError, "Use '.toarray()'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    X, error, message = REFUSED[case]
    with pytest.raises(error) as caught:
        as_source(X)
    assert message in _tell(caught.value)


def test_integers_up_to_2_53_are_kept_and_a_later_chunk_is_checked_too() -> None:
    rows = np.array([[2**53, -(2**53)], [1, 2], [3, 2**53 + 1]])
    assert_same_bits(as_source(rows[:2]).take(np.array([0])), np.array([[2.0**53, -(2.0**53)]]))
    chunks = as_source(rows, chunk_rows=2).chunks()
    assert len(next(chunks).rows) == 2
    with pytest.raises(DataError, match="9007199254740993"):
        next(chunks)


def test_name_is_in_messages() -> None:
    with pytest.raises(DataError, match=r"^Y is ragged"):
        as_source([[1], [2, 3]], name="Y")


@pytest.mark.parametrize("chunk_rows", [0, -1, 1.5, True, "3"])
def test_chunk_rows_rule(chunk_rows: object) -> None:
    with pytest.raises(ParameterError, match=r"chunk_rows=.* should be an int >= 1"):
        as_source(FOUR, chunk_rows=chunk_rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk_rows", [None, 2])
def test_bounds_and_indices_are_checked(chunk_rows: int | None) -> None:
    for source in (as_source(FOUR, chunk_rows=chunk_rows), as_source(np.asfortranarray(FOUR), chunk_rows=chunk_rows)):
        for bounds in ((-1, 2), (3, 2), (0, 5)):
            with pytest.raises(ParameterError, match="0 <= start <= stop <= n_rows=4"):
                source.chunks(*bounds)
        for indices in ([-1, 2], [2, 1], [1, 1], [0, 4]):
            with pytest.raises(ParameterError, match="sorted, distinct"):
                source.take(np.array(indices))
        with pytest.raises(ParameterError, match="should be integers"):
            source.take(np.array([0.5]))


class _Device:
    def __init__(self, rows: np.ndarray, device: tuple[int, int]) -> None:
        self._rows, self._device = rows, device

    def __dlpack__(self, **kwargs):
        return self._rows.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._device


def test_dlpack() -> None:
    source = as_source(_Device(FOUR, (1, 0)))
    check_rows(source, FOUR)
    assert np.shares_memory(next(iter(source.chunks())).rows, FOUR)
    with pytest.raises(DeviceError, match=r"DLPack \(10, 0\).*Bring it to the host"):  # ROCm
        as_source(_Device(FOUR, (10, 0)))


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(FOUR, dtype=torch.float32)
    source = as_source(tensor)
    assert source.resident
    assert source.description == "torch Tensor (4, 2) float32"
    assert next(source.chunks()).rows.ctypes.data == tensor.data_ptr()
    check_rows(as_source(tensor.requires_grad_()), FOUR.astype(np.float32))
    check_rows(as_source(torch.nn.Parameter(tensor)), FOUR.astype(np.float32))
    check_rows(as_source(torch.tensor(FOUR.T).T), FOUR)
    for chunk_rows in (None, 3):
        half = as_source(torch.tensor(FOUR).to(torch.bfloat16), chunk_rows=chunk_rows)
        check_rows(half, FOUR.astype(np.float32))
    with pytest.raises(DataTypeError, match=r"torch.sparse_coo.*to_dense"):
        as_source(torch.tensor(FOUR).to_sparse())
    with pytest.raises(DeviceError, match=r"torch\.Tensor on device meta"):
        as_source(torch.empty((2, 2), device="meta"))
    with pytest.raises(DataError, match="got 1D array"):
        as_source(torch.zeros(3))
    with pytest.raises(DataTypeError, match="Complex data not supported"):
        as_source(torch.zeros((2, 2), dtype=torch.complex64))


def test_own_sources_can_be_regrouped() -> None:
    class Halves(Source):
        n_rows, n_features, dtype, resident, description = 4, 2, FOUR.dtype, False, "halves"

        def chunks(self, start=0, stop=None):
            return as_source(FOUR, chunk_rows=2).chunks(start, stop)

        def take(self, indices):
            return FOUR[indices]

    check_rows(as_source(Halves(), chunk_rows=3), FOUR)
    assert read(Halves()).tolist() == FOUR.tolist()
