"""Rows for training: scaling, batches, held-out rows, and that streamed ones are the same rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.deep.modalities import Modality
from gpuclust.deep.rows import even
from gpuclust.deep.scaling import fit_scaling, survey
from gpuclust.errors import DataError
from gpuclust.sources import as_source
from tests.deep.helpers import CPU, blobs, opened

X = np.array([[0.0, 10.0], [4.0, 10.0], [8.0, 10.0], [4.0, 10.0]])


def fitted(rows, scaling, chunk_rows=None):
    modalities, widths = {"X": Modality(scaling=scaling)}, {"X": rows.shape[1]}
    return fit_scaling(survey(as_source(rows, chunk_rows=chunk_rows), modalities, widths, CPU), modalities, widths)


def test_scaling_by_hand():
    rows = torch.from_numpy(X)
    np.testing.assert_allclose(fitted(X, "minmax").apply(rows), [[0, 1], [0.4, 1], [0.8, 1], [0.4, 1]], rtol=1e-6)
    deviation = 8**0.5  # of 0, 4, 8, 4; the constant column becomes 0
    expected = [[-4 / deviation, 0.0], [0.0, 0.0], [4 / deviation, 0.0], [0.0, 0.0]]
    np.testing.assert_allclose(fitted(X, "standard").apply(rows), expected, rtol=1e-6)
    assert torch.equal(fitted(X, None).apply(rows), rows.float())
    for scaling in ("minmax", "standard", None):
        made = fitted(X, scaling)
        np.testing.assert_allclose(made.undo(made.apply(rows)), X, atol=1e-6)


@pytest.mark.parametrize("scaling", ["minmax", "standard"])
def test_an_offset_costs_no_digits(scaling):
    """Rows of 1e6 plus a fraction: in float32 most of the fraction would be lost before it is scaled."""
    rows = 1e6 + blobs().astype(np.float64) / 100
    scaled = fitted(rows, scaling).apply(torch.from_numpy(rows)).double().numpy()
    expected = (rows - rows.min()) / np.ptp(rows) if scaling == "minmax" else (rows - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


def test_scaling_does_not_depend_on_chunks():
    rows = blobs(500)
    whole = fitted(rows, "standard")
    for chunk_rows in (1, 7, 499):
        piecewise = fitted(rows, "standard", chunk_rows)
        assert torch.equal(whole.shift, piecewise.shift)
        assert torch.equal(whole.factor, piecewise.factor)


@pytest.mark.parametrize(
    ("value", "scaling", "message"),
    [
        (np.nan, "minmax", "Input X contains NaN: first at row 2, column 1"),
        (np.inf, "standard", "Input X contains infinity"),
        (1e20, None, "1e\\+20; with scaling=None it should be at most 1e\\+15"),
        (-1e200, "minmax", "1e\\+200; with scaling='minmax'"),
    ],
)
def test_values_that_are_refused(value, scaling, message):
    rows = X.copy()
    rows[2, 1] = value
    with pytest.raises(DataError, match=message):
        fitted(rows, scaling)


@given(st.integers(1, 200), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_batches_are_as_few_and_as_even_as_can_be(n_rows, size):
    bounds = list(even(n_rows, size))
    lengths = [end - first for first, end in bounds]
    assert [0, *(end for _, end in bounds)] == [*(first for first, _ in bounds), n_rows]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == -(-n_rows // size)


@pytest.mark.parametrize("max_memory", [None, 1000], ids=["resident", "streamed"])
@pytest.mark.parametrize("chunk_rows", [None, 9])
def test_an_epoch_visits_every_row_once(max_memory, chunk_rows):
    rows = opened(blobs(), max_memory=max_memory, chunk_rows=chunk_rows)
    assert (rows.x is None) == (max_memory is not None)
    scaled = rows.scaling.apply(torch.from_numpy(blobs()))
    orders = []
    for seed in (1, 1, 2, None):
        batches = list(rows.batches(16, seed))
        index = torch.cat([batch.index for batch in batches])
        assert sorted(index.tolist()) == list(range(70))
        for batch in batches:
            assert len(batch.x) <= 16
            assert torch.equal(batch.x, scaled[batch.index])
        orders.append(index.tolist())
    assert orders[0] == orders[1] != orders[2]
    assert orders[3] == list(range(70))
    chosen = torch.tensor([3, 4, 30, 69])
    assert sorted(torch.cat([batch.index for batch in rows.batches(3, 0, chosen)]).tolist()) == chosen.tolist()


def test_streamed_batches_mix_rows_that_lie_apart():
    rows = opened(blobs(4000), max_memory=4000)
    batches = [batch.index for batch in rows.batches(16, 0)]
    spread = np.mean([np.ptp(index.numpy()) for index in batches])
    assert spread > 1000
    assert not torch.equal(batches[0].sort()[0], batches[0])


@pytest.mark.parametrize("max_memory", [None, 1000], ids=["resident", "streamed"])
def test_blocks_and_rows_by_number(max_memory):
    rows = opened(blobs(300), max_memory=max_memory)
    scaled = rows.scaling.apply(torch.from_numpy(blobs(300)))
    found = [(first, count, len(block)) for first, count, block in rows.blocks()]
    assert found == [(0, 256, 256), (256, 44, 256)]
    assert torch.equal(torch.cat([block[:count] for _, count, block in rows.blocks()]), scaled)
    index = torch.tensor([299, 0, 0, 7])
    assert torch.equal(rows.take(index), scaled[index])


def test_rows_that_are_held_out():
    rows = opened(blobs())
    kept, held = rows.split(0.2, 0)
    assert len(held) == 14
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(70))
    assert torch.equal(held, rows.split(0.2, 0)[1])
    assert not torch.equal(held, rows.split(0.2, 1)[1])
    assert rows.split(0.0, 0) == (None, None)
    assert opened(blobs(1)).split(0.5, 0) == (None, None)
    assert [len(part) for part in opened(blobs(2)).split(0.99, 0)] == [1, 1]
