"""Sizes and offsets, by hand and far beyond 2**32, without allocating."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuclust.sources.chunking import CHUNK_BYTES, chunk_bounds, row_offset, rows_per_chunk, runs
from gpuclust.sources.rowfile import Layout


def test_rows_per_chunk_by_hand() -> None:
    assert rows_per_chunk(128) == CHUNK_BYTES // 128 == 524288
    assert rows_per_chunk(128, max_memory=512 * 10**6) == 500_000  # 64e6 bytes of 128
    assert rows_per_chunk(128, max_memory=8 * 128 - 1) == 1
    assert rows_per_chunk(10**12) == 1
    assert rows_per_chunk(128, max_memory=1, chunk_rows=77) == 77


def test_chunk_bounds_by_hand() -> None:
    assert list(chunk_bounds(0, 7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(chunk_bounds(2, 4, 3)) == [(2, 4)]
    assert list(chunk_bounds(4, 4, 3)) == []


@pytest.mark.parametrize("edge", [2**31, 2**32, 2**40])
def test_bounds_and_offsets_do_not_wrap(edge: int) -> None:
    assert list(chunk_bounds(edge - 2, edge + 3, 4)) == [(edge - 2, edge + 2), (edge + 2, edge + 3)]
    for row in (edge - 1, edge, edge + 1):
        assert row_offset(row, 128, 8) == row * 128 + 8
        assert row_offset(np.int32(7), np.int64(row)) == 7 * row  # type: ignore[arg-type]
    assert row_offset(edge - 1, 1) == edge - 1
    layout = Layout(edge + 1, 2**17, np.dtype(np.float32), 8, length_prefix=True)
    assert layout.row_bytes == 2**19 + 4
    assert layout.file_bytes == (edge + 1) * (2**19 + 4) + 8
    indices = np.array([0, edge - 1, edge, edge + 5])
    assert list(runs(indices)) == [(0, 0, 1), (1, edge - 1, edge + 1), (3, edge + 5, edge + 6)]


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_runs_cover_the_indices(indices: list[int]) -> None:
    covered = []
    for position, first, end in runs(np.array(indices, np.int64)):
        assert position == len(covered)
        assert first < end
        covered.extend(range(first, end))
    assert covered == indices


@given(st.integers(0, 2**40), st.integers(0, 500), st.integers(1, 100))
def test_bounds_cover_the_rows(start: int, n_rows: int, chunk_rows: int) -> None:
    rows = [row for first, end in chunk_bounds(start, start + n_rows, chunk_rows) for row in range(first, end)]
    assert rows == list(range(start, start + n_rows))
