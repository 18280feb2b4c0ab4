"""Checks at the door: memory sizes, shapes, feature counts, sample weights."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpuclust.errors import DataError, DataTypeError, ParameterError
from gpuclust.validation import check_matrix_shape, check_n_features, check_sample_weight, parse_memory


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (1, 1),
        (np.int64(2**40), 2**40),
        ("512MB", 512 * 10**6),
        ("2GiB", 2 * 2**30),
        ("1.5 kB", 1500),
        (" .5KiB ", 512),
        ("7", 7),
        ("7b", 7),
        ("3tb", 3 * 10**12),
        ("1PiB", 2**50),
        ("9007199254740993B", 9007199254740993),
    ],
)
def test_parse_memory(value: object, expected: int | None) -> None:
    assert parse_memory(value) == expected


@pytest.mark.parametrize(
    "value", [0, -5, 1.5, True, "", "MB", "12 parsecs", "-1MB", "1e9", "0GB", "0.5B", "nan", b"1", "1iB"]
)
def test_parse_memory_refuses(value: object) -> None:
    with pytest.raises(ParameterError, match=rf"^limit={re.escape(repr(value))} is not a size in memory: expected"):
        parse_memory(value, "limit")


def test_matrix_shape() -> None:
    assert check_matrix_shape((np.int64(3), 2)) == (3, 2)
    for shape, message in [
        ((), "Expected 2D array, got scalar array"),
        ((3,), "Expected 2D array, got 1D array"),
        ((1, 2, 3, 4), "Found array with dim 4"),
        ((0, 0), "Found array with 0 sample(s) (shape=(0, 0))"),
    ]:
        with pytest.raises(DataError, match=re.escape(message)):
            check_matrix_shape(shape)


def test_n_features() -> None:
    check_n_features(4, 4, "KMeans")
    with pytest.raises(DataError, match=r"^X has 3 features, but KMeans is expecting 4 features as input\.$"):
        check_n_features(3, 4, "KMeans")


def test_weights_of_one_are_none() -> None:
    assert check_sample_weight(None, 3) is None
    assert check_sample_weight([1, 1, 1], 3) is None
    assert check_sample_weight(1.0, 3) is None


def test_weights_are_float64() -> None:
    for given in ([2, 0, 1], np.array([2, 0, 1], np.float32), np.array([2, 9, 0, 9, 1, 9], ">f8")[::2]):
        weights = check_sample_weight(given, 3)
        assert weights is not None
        assert weights.dtype == np.float64
        assert weights.flags.c_contiguous
        assert weights.tolist() == [2.0, 0.0, 1.0]
    own = np.array([0.5, 2.0])
    assert check_sample_weight(own, 2) is own
    assert check_sample_weight(2.5, 2).tolist() == [2.5, 2.5]  # type: ignore[union-attr]


def test_weights_of_other_libraries() -> None:
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    polars = pytest.importorskip("polars")
    for given in (pandas.Series([2, 1]), polars.Series([2, 1]), torch.tensor([2.0, 1.0], requires_grad=True)):
        assert check_sample_weight(given, 2).tolist() == [2.0, 1.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1, 2], DataError, "sample_weight.shape == (2,), expected (3,)!"),
        ([[1], [2], [3]], DataError, "Sample weights must be 1D array or scalar, got 2D array."),
        ([1, 2, -3], DataError, "Negative values in data passed to `sample_weight`: -3.0 at row 2."),
        ([0, 0, 0], DataError, "Sample weights must contain at least one non-zero number."),
        (0, DataError, "Sample weights must contain at least one non-zero number."),
        ([1, np.nan, np.inf], DataError, "Input sample_weight contains NaN: first at row 1."),
        ([1, 2, np.inf], DataError, "Input sample_weight contains infinity: first at row 2."),
        ([1, 2, -np.inf], DataError, "Input sample_weight contains infinity: first at row 2."),
        ([1e308, 1e308, 1], DataError, "The sum of sample_weight exceeds the largest float64"),
        (["a", "b", "c"], DataTypeError, "sample_weight should be numbers, one per row; got list"),
        ([1, 2, 1j], DataTypeError, "sample_weight should be numbers"),
        ([[1], [2, 3], 4], DataTypeError, "sample_weight should be numbers"),
        (np.array(["NaT"] * 3, "M8[s]"), DataTypeError, "sample_weight should be numbers"),
    ],
)
def test_weights_refused(given: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_sample_weight(given, 3)
