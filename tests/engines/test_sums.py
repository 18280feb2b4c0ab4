"""Fixed-point sums: right in a hand case, equal for any order and partition, exactly zero when all is taken back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gpuclust.engines import Assignment
from gpuclust.engines.canonical import make_frame

N, D, K = 500, 11, 5
NONE = -1


def _zeros(engine, frame, k=K):
    return engine.new_sums(k, len(frame.high))


def _moved(engine, sums):
    return int(engine.sums_on_host(sums).n_moved[0])


def _totals(engine, sums, frame):
    return engine.sums_on_host(sums).totals(frame), engine.sums_on_host(sums).weights(frame)


def _case(dtype=np.float64, weighted=False):
    rng = np.random.default_rng(0)
    X = np.ascontiguousarray(rng.normal(size=(N, D)) * 10.0 ** rng.integers(-12, 12, size=D), dtype=dtype)
    labels = rng.integers(0, K, size=N).astype(np.int32)
    weights = rng.uniform(0, 3, size=N) if weighted else None
    maxima = np.abs(X).max(axis=0).astype(np.float64)
    return X, weights, labels, make_frame(np.zeros(D), maxima, 0.0, N, 1.0 if weights is None else weights.max())


def _add(engine, X, weights, labels, frame, sums):
    return _move(engine, X, weights, np.full(len(X), NONE, np.int32), labels, frame, sums)


def _move(engine, X, weights, before, after, frame, sums):
    """Move rows; returns how many."""
    state = Assignment(labels=engine.array(after.copy()), previous=engine.array(before.copy()))
    moved = _moved(engine, sums)
    engine.move_rows(engine.place(X), None if weights is None else engine.array(weights), state, frame, sums)
    np.testing.assert_array_equal(engine.to_host(state.previous), after)
    return _moved(engine, sums) - moved


def _arrays(sums):
    return sums.high, sums.low, sums.weight_high, sums.weight_low


def _assert_same(engine, a, b):
    for mine, yours in zip(_arrays(engine.sums_on_host(a)), _arrays(engine.sums_on_host(b)), strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_hand_case(engine):
    X = np.array([[1.0, 10.0], [2.0, -20.0], [4.0, 0.5]])
    weights = np.array([1.0, 2.0, 0.5])
    frame = make_frame(np.zeros(2), np.array([4.0, 20.0]), 0.0, 3, 2.0)
    sums = engine.new_sums(3, 2)
    assert _add(engine, X, weights, np.array([2, 0, 2], np.int32), frame, sums) == 3
    np.testing.assert_array_equal(_totals(engine, sums, frame)[0], [[4.0, -40.0], [0.0, 0.0], [3.0, 10.25]])
    np.testing.assert_array_equal(_totals(engine, sums, frame)[1], [2.0, 0.0, 1.5])
    before, after = np.array([2, 0, 2], np.int32), np.array([1, 0, 2], np.int32)
    assert _move(engine, X, weights, before, after, frame, sums) == 1
    np.testing.assert_array_equal(_totals(engine, sums, frame)[0], [[4.0, -40.0], [1.0, 10.0], [2.0, 0.25]])
    np.testing.assert_array_equal(_totals(engine, sums, frame)[1], [2.0, 1.0, 0.5])


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_totals_are_those_of_rational_arithmetic(engine, dtype, weighted):
    X, weights, labels, frame = _case(dtype, weighted)
    sums = _zeros(engine, frame)
    _add(engine, X, weights, labels, frame, sums)
    totals, masses = _totals(engine, sums, frame)[0], _totals(engine, sums, frame)[1]
    products = X.astype(np.float64) * (1.0 if weights is None else weights[:, None])
    unit = np.abs(products).max(axis=0)
    for cluster in range(K):
        members = np.flatnonzero(labels == cluster)
        exact = [float(sum(Fraction(v) for v in products[members, j])) for j in range(D)]
        np.testing.assert_allclose(totals[cluster], exact, rtol=4e-16, atol=float(2.0**-100 * unit.min()))
        mass = Fraction(len(members)) if weights is None else sum(Fraction(w) for w in weights[members])
        assert masses[cluster] == pytest.approx(float(mass), rel=4e-16)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_order_and_partition_do_not_matter(engine, weighted):
    X, weights, labels, frame = _case(np.float32, weighted)
    expected = _zeros(engine, frame)
    _add(engine, X, weights, labels, frame, expected)
    rng = np.random.default_rng(1)
    for cuts in ([], [1], [7, 8, 300], list(range(50, N, 50))):
        order = rng.permutation(N)
        total = _zeros(engine, frame)
        for part in rng.permutation(len(cuts) + 1):
            rows = np.split(order, cuts)[part]
            partial = _zeros(engine, frame)
            _add(engine, X[rows], None if weights is None else weights[rows], labels[rows], frame, partial)
            total += partial
        _assert_same(engine, total, expected)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deltas_are_exact(engine, dtype, weighted):
    """Rows wander through clusters: the sums are those of the last labels; all taken out, every limb is zero."""
    X, weights, _, frame = _case(dtype, weighted)
    rng = np.random.default_rng(2)
    sums, present = _zeros(engine, frame), np.full(N, NONE, np.int32)
    for _ in range(6):
        wanted = np.where(rng.random(N) < 0.4, rng.integers(NONE, K, size=N), present).astype(np.int32)
        assert _move(engine, X, weights, present, wanted, frame, sums) == np.count_nonzero(wanted != present)
        present = wanted
    expected = _zeros(engine, frame)
    _add(engine, X, weights, present, frame, expected)
    _assert_same(engine, sums, expected)
    _move(engine, X, weights, present, np.full(N, NONE, np.int32), frame, sums)
    for limb in _arrays(engine.sums_on_host(sums)):
        assert not limb.any()


@pytest.mark.parametrize("d", [*range(1, 18), 31, 32, 33])
def test_every_width(engine, d):
    """No column is missed or added twice, whatever the width of the vectors."""
    X = np.arange(1.0, 4 * d + 1).reshape(4, d).astype(np.float32)
    frame = make_frame(np.zeros(d), np.abs(X).max(axis=0).astype(np.float64), 0.0, 4, 1.0)
    sums = engine.new_sums(2, d)
    _add(engine, X, None, np.array([0, 1, 1, NONE], np.int32), frame, sums)
    np.testing.assert_array_equal(_totals(engine, sums, frame)[0], [X[0], X[1] + X[2]])


def test_rows_beyond_a_thread_s_share(engine):
    """Enough rows that several threads add into buffers of their own."""
    rng = np.random.default_rng(3)
    X = rng.integers(-8, 9, size=(20_000, 3)).astype(np.float32)
    labels = rng.integers(0, 4, size=len(X)).astype(np.int32)
    frame = make_frame(np.zeros(3), np.full(3, 8.0), 0.0, len(X), 1.0)
    sums = engine.new_sums(4, 3)
    assert _add(engine, X, None, labels, frame, sums) == len(X)
    expected = np.array([X[labels == c].sum(axis=0, dtype=np.float64) for c in range(4)])
    np.testing.assert_array_equal(_totals(engine, sums, frame)[0], expected)
    np.testing.assert_array_equal(_totals(engine, sums, frame)[1], np.bincount(labels))
