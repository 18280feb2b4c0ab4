""".npy, .fbin, .u8bin, .i8bin and .fvecs: round trips in chunks of odd sizes, and every way a file can be wrong."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpuclust.errors import DataError, DataTypeError, FileFormatError
from gpuclust.sources import as_source
from gpuclust.sources.files import InputFile, read_exactly
from tests.sources.helpers import assert_same_bits, check_rows, read, write_fbin, write_fvecs

FOUR = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], np.float32)
HYPOTHESIS = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=23)
CHUNK_ROWS = st.none() | st.integers(1, 25)


def _npy(path: Path, rows: np.ndarray) -> Path:
    np.save(path, rows)
    return path


def test_four_rows_by_hand(tmp_path: Path) -> None:
    for path in (
        _npy(tmp_path / "a.npy", FOUR),
        write_fbin(tmp_path / "a.fbin", FOUR),
        write_fvecs(tmp_path / "a.fvecs", FOUR),
    ):
        source = as_source(str(path), chunk_rows=3)
        assert source.description == f"{path.name} (4, 2) float32"
        assert source.feature_names is None
        assert not source.resident
        assert [(c.start, c.rows.tolist()) for c in source.chunks()] == [
            (0, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
            (3, [[7.0, 8.0]]),
        ]
        assert source.take(np.array([0, 2, 3])).tolist() == [[1.0, 2.0], [5.0, 6.0], [7.0, 8.0]]
        check_rows(as_source(path), FOUR)


def test_fbin_and_fvecs_bytes_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.fbin").write_bytes(bytes.fromhex("02000000 01000000 0000803f 00000040"))
    assert read(as_source(tmp_path / "a.fbin")).tolist() == [[1.0], [2.0]]
    (tmp_path / "a.fvecs").write_bytes(bytes.fromhex("01000000 0000803f 01000000 00000040"))
    assert read(as_source(tmp_path / "a.fvecs")).tolist() == [[1.0], [2.0]]
    (tmp_path / "a.u8bin").write_bytes(bytes.fromhex("01000000 02000000 07 ff"))
    assert read(as_source(tmp_path / "a.u8bin")).tolist() == [[7.0, 255.0]]
    (tmp_path / "a.I8BIN").write_bytes(bytes.fromhex("01000000 02000000 07 ff"))
    assert read(as_source(tmp_path / "a.I8BIN")).tolist() == [[7.0, -1.0]]


@given(
    rows=hnp.arrays(
        st.sampled_from(
            [np.dtype(d) for d in ("f2", "f4", "f8", ">f4", ">f8", ">f2", "i1", "u1", "<i2", ">i4", "u4", "?")]
        ),
        SHAPES,
    ),
    order=st.sampled_from("CF"),
    chunk_rows=CHUNK_ROWS,
)
@HYPOTHESIS
def test_npy_round_trip(tmp_path: Path, rows: np.ndarray, order: str, chunk_rows: int | None) -> None:
    path = _npy(tmp_path / "a.npy", np.asarray(rows, order=order))  # type: ignore[call-overload]
    source = as_source(path, chunk_rows=chunk_rows)
    check_rows(source, rows.astype(source.dtype))


@given(rows=hnp.arrays(np.float32, SHAPES), chunk_rows=CHUNK_ROWS)
@HYPOTHESIS
def test_fbin_and_fvecs_round_trip(tmp_path: Path, rows: np.ndarray, chunk_rows: int | None) -> None:
    check_rows(as_source(write_fbin(tmp_path / "a.fbin", rows), chunk_rows=chunk_rows), rows)
    check_rows(as_source(write_fvecs(tmp_path / "a.fvecs", rows), chunk_rows=chunk_rows), rows)


@given(rows=hnp.arrays(st.sampled_from([np.uint8, np.int8]), SHAPES), chunk_rows=CHUNK_ROWS)
@HYPOTHESIS
def test_byte_vectors_round_trip(tmp_path: Path, rows: np.ndarray, chunk_rows: int | None) -> None:
    path = write_fbin(tmp_path / ("a.u8bin" if rows.dtype == np.uint8 else "a.i8bin"), rows)
    check_rows(as_source(path, chunk_rows=chunk_rows), rows.astype(np.float32))


def test_chunks_follow_max_memory(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npy", np.zeros((1000, 4), np.uint8))
    sizes = [c.rows.nbytes for c in as_source(path, max_memory="8000B").chunks()]
    assert max(sizes) == 992  # 62 rows of 16 bytes, after widening, within 1000
    assert max(c.rows.shape[0] for c in as_source(path, max_memory=1).chunks()) == 1
    assert len(list(as_source(path).chunks())) == 1


def test_npy_version_2(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, FOUR, version=(2, 0))
    check_rows(as_source(tmp_path / "a.npy"), FOUR)


def test_a_chunk_stays_valid_while_the_next_is_read(tmp_path: Path) -> None:
    rows = np.arange(4000.0).reshape(-1, 4)
    for order in "CF":
        source = as_source(_npy(tmp_path / "a.npy", np.asarray(rows, order=order)), chunk_rows=7)  # type: ignore[call-overload]
        for chunk in source.chunks():
            before = chunk.rows.copy()
            threading.Event().wait(0.0005)
            assert_same_bits(chunk.rows, before)
            assert_same_bits(before, rows[chunk.start : chunk.start + len(before)])


def test_stopping_early_leaves_neither_thread_nor_open_file(tmp_path: Path) -> None:
    chunks = as_source(_npy(tmp_path / "a.npy", FOUR), chunk_rows=1).chunks()
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "gpuclust-prefetch" for thread in threading.enumerate())
    if Path("/proc/self/fd").is_dir():
        held = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert str(tmp_path / "a.npy") not in held


# What is wrong with a file ------------------------------------------------------------------------------------------


def _npy_bytes(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}"
BROKEN = {
    "a.npy truncated": (_npy_bytes(GOOD, b"1234567"), "is truncated: its header announces (2, 1) float32, that is"),
    "a.npy trailing": (_npy_bytes(GOOD, b"123456789"), "has trailing bytes: its header announces (2, 1) float32"),
    "a.npy not npy": (b"a,b\n1,2\n3,4\n", "is not a valid .npy file"),
    "a.npy short magic": (b"\x93NUM", "is not a valid .npy file"),
    "a.npy no header": (b"\x93NUMPY\x01\x00", "is not a valid .npy file"),
    "a.npy code": (_npy_bytes("__import__('os').abort()"), "is not a valid .npy file"),
    "a.npy keys": (_npy_bytes("{'descr': '<f4'}"), "is not a valid .npy file"),
    "a.npy descr": (_npy_bytes(GOOD.replace("<f4", "nope")), "is not a valid .npy file"),
    "a.npy negative": (_npy_bytes(GOOD.replace("(2, 1)", "(-2, -1)")), "negative length in shape (-2, -1)"),
    "a.npy enormous": (_npy_bytes(GOOD.replace("(2, 1)", f"({2**62}, {2**62})")), f"that is {2**126 + 104} bytes"),
    "a.npy version": (_npy_bytes(GOOD, b"12345678", b"\x03\x00"), "format version (3, 0) is not 1.0 or 2.0"),
    "a.npy pickle": (_npy_bytes(GOOD.replace("<f4", "|O"), b"12345678"), "are never loaded"),
    "a.npy strings": (_npy_bytes(GOOD.replace("<f4", "<U1"), b"12345678"), "a.npy has dtype <U1"),
    "a.npy complex": (_npy_bytes(GOOD.replace("<f4", "<c8"), b"1" * 16), "Complex data not supported: a.npy"),
    "a.npy 1-D": (_npy_bytes(GOOD.replace("(2, 1)", "(2,)"), b"12345678"), "Expected 2D array, got 1D array"),
    "a.npy no rows": (_npy_bytes(GOOD.replace("(2, 1)", "(0, 3)")), "0 sample(s) (shape=(0, 3))"),
    "a.npy empty": (b"", "a.npy is empty (0 bytes)"),
    "a.fbin truncated": (
        bytes.fromhex("02000000 01000000 0000803f 000000"),
        "is truncated: its header announces (2, 1)",
    ),
    "a.fbin trailing": (bytes.fromhex("01000000 01000000 0000803f 00"), "has trailing bytes"),
    "a.fbin header": (b"1234567", "a.fbin is truncated: 7 bytes do not hold the numbers of rows and features"),
    "a.fbin no rows": (bytes.fromhex("00000000 01000000"), "0 sample(s) (shape=(0, 1))"),
    "a.fbin no features": (bytes.fromhex("01000000 00000000"), "0 feature(s) (shape=(1, 0))"),
    "a.fbin largest": (b"\xff" * 8, f"that is {4 * (2**32 - 1) ** 2 + 8} bytes in all, and it has 8"),
    "a.fvecs header": (b"123", "a.fvecs is truncated: 3 bytes do not hold the number of features"),
    "a.fvecs size": (bytes.fromhex("01000000 0000803f 01"), "its size, 9 bytes, is no multiple of 8"),
    "a.fvecs negative": (b"\xff" * 8, "its first row announces -1 values"),
    "a.parquet text": (b"a,b\n1,2\n3,4\n", "is not a valid parquet file"),
    "a.csv": (b"a,b\n1,2\n", "the suffix '.csv', which is not one of those supported: .npy, .fbin"),
    "a": (b"1", "the suffix ''"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(tmp_path: Path, case: str) -> None:
    content, message = BROKEN[case]
    path = tmp_path / case.partition(" ")[0]
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        as_source(path)
    assert message in str(caught.value)
    if not isinstance(caught.value, DataTypeError) and "0 " not in message and "Expected 2D" not in message:
        assert isinstance(caught.value, FileFormatError)


def test_fvecs_rows_must_agree(tmp_path: Path) -> None:
    path = write_fvecs(tmp_path / "a.fvecs", np.zeros((40, 3), np.float32))
    content = bytearray(path.read_bytes())
    content[16 * 17] = 5
    path.write_bytes(bytes(content))
    for chunk_rows in (None, 7):
        with pytest.raises(FileFormatError, match=r"row 17 announces 5 values, row 0 3"):
            read(as_source(path, chunk_rows=chunk_rows))
    with pytest.raises(FileFormatError, match="row 17 announces 5 values"):
        as_source(path).take(np.array([2, 17]))


def test_missing_directory_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"absent\.npy does not exist"):
        as_source(tmp_path / "absent.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(FileFormatError, match="is a directory without images"):
        as_source(tmp_path / "folder.npy")
    with pytest.raises(FileFormatError, match="cannot be read: File name too long"):
        as_source("x" * 5000 + ".npy")
    with pytest.raises(FileFormatError, match="is not a regular file"):
        as_source("/dev/null")
    if os.geteuid() != 0:
        path = _npy(tmp_path / "a.npy", FOUR)
        path.chmod(0)
        with pytest.raises(FileFormatError, match="cannot be read: Permission denied"):
            as_source(path)


def test_a_file_that_changes_between_or_during_passes(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npy", FOUR)
    source = as_source(path, chunk_rows=1)
    read(source)
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileFormatError, match=r"changed while it was in use.*modification times \d+ and 1 ns"):
        read(source)
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        source.take(np.array([0]))

    source = as_source(path, chunk_rows=1)
    _npy(path, FOUR[:3])
    with pytest.raises(FileFormatError, match=r"it had 160 bytes and now has 152"):
        read(source)

    source = as_source(path, chunk_rows=2)
    chunks = source.chunks()
    next(chunks)
    os.utime(path, ns=(2, 2))
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        list(chunks)

    source = as_source(path)
    path.unlink()
    with pytest.raises(FileFormatError, match="cannot be read: No such file"):
        read(source)


def test_a_small_file_is_read_once_and_kept(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npy", FOUR)
    source = as_source(path)
    assert source.resident
    first = next(source.chunks()).rows
    path.unlink()
    assert next(source.chunks()).rows is not None
    np.testing.assert_array_equal(source.take(np.array([1, 3])), FOUR[[1, 3]])
    np.testing.assert_array_equal(first, FOUR)
    assert not as_source(_npy(path, FOUR), max_memory=8).resident
    assert not as_source(path, chunk_rows=4).resident


def test_a_read_past_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    with (
        InputFile.inspect(path).open() as file,
        pytest.raises(FileFormatError, match="8 bytes expected at offset 2, 3"),
    ):
        read_exactly(file, 2, np.empty(1))


def test_integers_beyond_2_53_in_a_file(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npy", np.array([[1], [2**53 + 1]]))
    with pytest.raises(DataError, match=re.escape("a.npy has dtype int64 and contains 9007199254740993")):
        read(as_source(path, chunk_rows=1))


@pytest.mark.parametrize("suffix", [".npy", ".fbin", ".fvecs", "F.npy"])
def test_offsets_beyond_4_gib(tmp_path: Path, suffix: str) -> None:
    """Sparse files of 6 to 9 GB that take no room on disk: the last rows are where they must be."""
    n_rows, n_features, prefix = 2**31 + 5, 1, 4 if suffix == ".fvecs" else 0
    path = tmp_path / f"a{suffix}"
    if suffix.endswith(".npy"):
        n_rows, n_features = (2**29, 3) if suffix == "F.npy" else (n_rows, 1)
        header = {"descr": "<f4", "fortran_order": suffix == "F.npy", "shape": (n_rows, n_features)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
    elif suffix == ".fbin":
        path.write_bytes(np.array([n_rows, n_features], "<u4").tobytes())
    else:
        n_rows = 2**29 + 5
        path.write_bytes(b"")
    header_bytes = path.stat().st_size
    last = np.arange(1, 5, dtype="<f4")
    row = 4 * n_features + prefix
    with path.open("r+b") as file:
        try:
            file.truncate(header_bytes + n_rows * row)
        except OSError:
            pytest.skip("no sparse files here")
        if prefix:
            file.write(np.array([1], "<i4").tobytes())
            file.seek(-4 * row, os.SEEK_END)
            file.write(np.column_stack([np.ones(4, "<i4").view("<f4"), last]).tobytes())
        else:
            file.seek(-16, os.SEEK_END)
            file.write(last.tobytes())
    if path.stat().st_blocks * 512 > 2**24:
        pytest.skip("no sparse files here")
    source = as_source(path, chunk_rows=3)
    assert source.n_rows == n_rows > 2**28
    tail = read(source, n_rows - 4, n_rows)
    assert tail[:, -1].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert source.take(np.array([n_rows - 3, n_rows - 1]))[:, -1].tolist() == [2.0, 4.0]
