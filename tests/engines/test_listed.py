"""What neighbour search asks of an engine: conditioned rows, and canonical distances of pairs of rows."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.canonical import make_frame
from gpuclust.engines.cuda.split import SplitCudaEngine
from tests import reference
from tests.emulation import EmulatedCuPy


def _frame(X):
    frame = make_frame(X.mean(axis=0, dtype=np.float64), np.abs(X).max(axis=0).astype(np.float64), 0.0, len(X), 1.0, X)
    return frame._replace(scale=reference.scale(X))


def test_by_hand(engine):
    rows, others = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]], np.float32)
    which, indices = np.array([0, 1, 0, 1], np.int32), np.array([0, 0, -1, 2])
    frame = make_frame(np.zeros(2), np.array([6.0, 8.0]), 0.0, 3, 1.0)
    found = engine.distances_to(
        engine.place(rows), engine.place(others), engine.array(which), engine.array(indices), frame
    )
    squares = engine.to_host(found) / frame.scale**2
    assert squares.tolist() == [25, 0, np.inf, 25]


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32), (np.float32, np.float32)])
@pytest.mark.parametrize("d", [1, 33, 70])
def test_bits_are_canonical(engine, d, dtypes):
    rng = np.random.default_rng(d)
    rows, others = ((rng.normal(size=(n, d)) * 100).astype(dtype) for n, dtype in zip((20, 35), dtypes, strict=True))
    frame = _frame(np.concatenate([rows, others]).astype(np.float64))
    which, indices = rng.integers(20, size=300).astype(np.int32), rng.integers(35, size=300)
    found = engine.distances_to(
        engine.place(rows), engine.place(others), engine.array(which), engine.array(indices), frame
    )
    expected = reference.distances(rows, others, frame.scale)[which, indices]
    np.testing.assert_array_equal(engine.to_host(found), expected)
    nothing = engine.array(np.empty(0, np.int32)), engine.array(np.empty(0, np.int64))
    assert len(engine.to_host(engine.distances_to(engine.place(rows), engine.place(others), *nothing, frame))) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_conditioned_rows(engine, dtype, shift):
    X = (np.random.default_rng(0).normal(size=(50, 21)) + shift).astype(dtype)
    frame = _frame(X.astype(np.float64))
    found = engine.conditioned(engine.place(X), frame)
    values, squares = engine.to_host(found.values), engine.to_host(found.squares)
    exact = (X.astype(np.float64) - frame.origin) * (frame.scale * frame.unit)
    np.testing.assert_array_equal(values[:, :21], exact.astype(np.float32))
    assert values.dtype == np.float32
    assert not values[:, 21:].any()
    np.testing.assert_allclose(squares, (exact**2).sum(axis=1), rtol=1e-7)
    assert 0.1 < np.sqrt(squares / 21).mean() < 10  # the unit brings rows near one


@pytest.mark.emulated
@pytest.mark.slow
def test_several_gpus():
    engine = SplitCudaEngine([0, 1], EmulatedCuPy(asynchronous=True, n_devices=2))
    rows, others = engine.engines[1].place(np.array([[1.0], [2.0]])), engine.place(np.array([[1.0], [4.0]]))
    which, indices = engine.array(np.array([0, 1], np.int32)), engine.array(np.array([1, 1]))
    frame = make_frame(np.zeros(1), np.array([4.0]), 0.0, 2, 1.0)
    assert (engine.to_host(engine.distances_to(rows, others, which, indices, frame)) / frame.scale**2).tolist() == [
        9,
        4,
    ]
    assert engine.to_host(engine.conditioned(rows, frame).values)[:, 0].tolist() == [frame.scale, 2 * frame.scale]
