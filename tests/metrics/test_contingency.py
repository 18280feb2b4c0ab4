"""Labels in all their kinds, and the table of pairs: the same for any block, from any container."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.errors import DataError, DataTypeError, FileFormatError, GpuclustError
from gpuclust.metrics import contingency, contingency_matrix
from gpuclust.metrics.labels import as_labels, compact, encode

LABELS = [3, -1, 3, 0, 2, -1]


@pytest.mark.parametrize(
    "make",
    [
        list,
        lambda values: np.array(values, np.int8),
        lambda values: np.array(values, np.float32),
        lambda values: np.array(values, object),
        pd.Series,
        lambda values: pd.Series(values, dtype="Int64"),
        lambda values: pl.Series(values),
        torch.tensor,
    ],
)
def test_containers(make):
    encoded = encode(make(LABELS), 6)
    np.testing.assert_array_equal(encoded.classes, [-1, 0, 2, 3])
    np.testing.assert_array_equal(encoded.codes, [3, 0, 3, 1, 2, 0])
    ignoring = encode(make(LABELS), 6, noise="ignore")
    np.testing.assert_array_equal(ignoring.classes, [0, 2, 3])
    np.testing.assert_array_equal(ignoring.codes, [2, -1, 2, 0, 1, -1])
    ignoring = encode(make([5, -1, -2, 5]), 4, noise="ignore")  # only -1 is noise
    np.testing.assert_array_equal(ignoring.classes, [-2, 5])
    np.testing.assert_array_equal(ignoring.codes, [1, -1, 0, 1])


def test_files(tmp_path):
    np.save(tmp_path / "labels.npy", np.array(LABELS, np.int32))
    pl.DataFrame({"row": range(6), "label": LABELS}).write_parquet(tmp_path / "labels.parquet")
    pl.DataFrame({"class": ["b", "a"]}).write_parquet(tmp_path / "names.parquet")
    for name in ("labels.npy", "labels.parquet"):
        np.testing.assert_array_equal(as_labels(tmp_path / name), LABELS)
    assert isinstance(as_labels(str(tmp_path / "labels.npy")), np.memmap)
    assert as_labels(tmp_path / "names.parquet").tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "error", "says"),
    [
        ([0, 1, float("nan")], DataError, "1 missing values"),
        (["a", None, "b"], DataError, "1 missing values"),
        (pd.Series([1, None], dtype="Int64"), DataError, "1 missing values"),
        ([0, 0.5], DataError, "0.5 at row 1"),
        ([[0, 1]], DataError, r"\(1, 2\)"),
        ([], DataError, r"\(0,\)"),
        (np.array([1, "a"], object), DataTypeError, "int, str"),
        (np.array([1j]), DataTypeError, "complex128"),
        (np.array(["2020-01-01"], "M8[D]"), DataTypeError, "datetime64"),
        ("nowhere.npy", FileFormatError, "nowhere.npy"),
        ("labels.csv", FileFormatError, ".npy or .parquet"),
    ],
)
def test_what_are_no_labels(labels, error, says):
    with pytest.raises(error, match=says):
        as_labels(labels)


def test_files_that_are_no_labels(tmp_path):
    (tmp_path / "text.npy").write_text("labels")
    (tmp_path / "text.parquet").write_text("labels")
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(tmp_path / "two.parquet")
    pl.DataFrame({"label": [1, None]}).write_parquet(tmp_path / "null.parquet")
    for path in tmp_path.iterdir():
        with pytest.raises(GpuclustError, match=r"labels='?.*?(cannot be read|none of them named|missing)|labels has"):
            as_labels(path)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([-(2**40), -3, 0, 1, 2**40]), st.sampled_from("abc")), min_size=1, max_size=50),
    st.integers(1, 7),
)
def test_blocks_change_nothing(pairs, block):
    true, pred = (np.array(side) for side in zip(*pairs, strict=True))
    classes, clusters = np.unique(true), np.unique(pred)
    expected = [[int(((true == a) & (pred == b)).sum()) for b in clusters] for a in classes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contingency, "_BLOCK", block)
        np.testing.assert_array_equal(contingency_matrix(true, pred), expected)
        numbers = np.searchsorted(clusters, pred) * 10 - 7  # integers, whose least differs from block to block
        np.testing.assert_array_equal(contingency_matrix(true, numbers), expected)
        narrow = np.searchsorted(classes, true) * 3 - 5
        np.testing.assert_array_equal(contingency_matrix(narrow, numbers), expected)


def test_narrow_and_wide_labels_are_counted_alike():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-50, 50, 5000), rng.integers(0, 30, 5000).astype(np.uint8)
    expected = contingency_matrix(a, b)
    np.testing.assert_array_equal(contingency_matrix(a * 2**40, b), expected)
    np.testing.assert_array_equal(contingency_matrix(a, b.astype(np.uint64) + np.uint64(2**63)), expected)
    np.testing.assert_array_equal(
        contingency_matrix(a, b.astype(str))[:, np.argsort(np.unique(b).astype(str).argsort())], expected
    )


def test_memory_maps_are_read_block_by_block(tmp_path, monkeypatch):
    n = 3_000_000
    true = np.lib.format.open_memmap(tmp_path / "true.npy", mode="w+", dtype=np.int32, shape=(n,))
    true[:] = np.arange(n) % 7
    true.flush()
    largest = []
    original = contingency._counted
    monkeypatch.setattr(contingency, "_counted", lambda a, b: largest.append(len(a)) or original(a, b))
    found = contingency_matrix(tmp_path / "true.npy", tmp_path / "true.npy")
    np.testing.assert_array_equal(np.diag(found), np.bincount(np.arange(n) % 7))
    assert max(largest) <= 1 << 20


@pytest.mark.parametrize("factor", [1, 2**40])
def test_narrow_and_wide_labels_are_encoded_alike(factor):
    labels = np.random.default_rng(1).integers(-5, 5, 300) * factor
    classes, codes = np.unique(labels, return_inverse=True)
    encoded = encode(labels, 300)
    np.testing.assert_array_equal(encoded.classes, classes)
    np.testing.assert_array_equal(encoded.codes, codes)
    assert encoded.codes.dtype == np.int32


def test_compact():
    np.testing.assert_array_equal(compact(np.array([5, -1, 2, 5], np.int32)), [1, -1, 0, 1])
    labels = np.array([1, 0, -1], np.int32)
    assert compact(labels) is labels
