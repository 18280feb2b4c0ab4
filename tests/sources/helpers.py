"""Reading a source as its contract promises, and writing the formats that no library of ours writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpuclust.sources import Source


def read(source: Source, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return the rows as one array; check what every chunk must satisfy on the way."""
    expected = start
    parts = [np.empty((0, source.n_features), source.dtype)]
    for chunk in source.chunks(start, stop):
        assert chunk.start == expected
        assert chunk.rows.ndim == 2
        assert chunk.rows.shape[1] == source.n_features
        assert chunk.rows.dtype == source.dtype
        assert chunk.rows.flags.c_contiguous
        expected += len(chunk.rows)
        parts.append(chunk.rows.copy())
    assert expected == (source.n_rows if stop is None else stop)
    return np.concatenate(parts)


def assert_same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(expected).tobytes()


def check_rows(source: Source, expected: np.ndarray) -> None:
    """All rows, a part of them, and some picked ones are those of ``expected`` to the last bit."""
    assert (source.n_rows, source.n_features) == expected.shape
    assert source.dtype == expected.dtype
    n = source.n_rows
    assert_same_bits(read(source), expected)
    assert_same_bits(read(source), expected)
    assert_same_bits(read(source, n // 3, n - n // 4), expected[n // 3 : n - n // 4])
    assert_same_bits(read(source, n, n), expected[:0])
    for indices in (np.arange(n), np.arange(0, n, 2), np.array([n - 1]), np.empty(0, np.int64)):
        assert_same_bits(source.take(indices), expected[indices])


def write_fbin(path: Path, rows: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.array(rows.shape, "<u4").tofile(file)
        rows.tofile(file)
    return path


def write_fvecs(path: Path, rows: np.ndarray) -> Path:
    prefixed = np.empty((len(rows), rows.shape[1] + 1), "<f4")
    prefixed[:, :1].view("<i4")[:] = rows.shape[1]
    prefixed[:, 1:] = rows
    prefixed.tofile(path)
    return path
