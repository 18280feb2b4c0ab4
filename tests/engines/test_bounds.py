"""The bounds that let rows keep their label unseen are true for every row, whatever screen made or carried them."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import Part
from gpuclust.engines.canonical import make_frame
from tests import datasets, reference


def _iterations(engine, X, centers, screen, steps=6):
    """Lloyd's loop by hand: yields state, centres and frame after every assignment."""
    reach = float(np.abs(centers).max())
    frame = make_frame(np.median(X.astype(np.float64), axis=0), np.abs(X).max(axis=0).astype(np.float64), reach,
                       len(X), 1.0)  # fmt: skip
    rows, (first, second) = engine.place(X), (engine.place(X[: len(X) // 3]), engine.place(X[len(X) // 3 :]))
    planner = engine.planner(rows, X[:: max(1, len(X) // 200)], len(centers), frame, screen)
    state, movement = engine.new_assignment(len(X)), None
    sums, placed = engine.new_sums(*centers.shape), engine.array(centers)
    for _ in range(steps):
        use = planner.choose(placed, state.labels, movement)
        prepared = engine.prepare_centers(placed, frame, movement)
        for start, part in ((0, first), (len(first), second)):
            engine.assign(part, start, prepared, state, movement, sketch=use)
        engine.move_rows(rows, None, state, frame, sums)
        yield state, engine.to_host(placed), frame, use
        update = engine.update_centers(placed, sums, state, frame, dtype=X.dtype, keep_empty=True)
        update.outcome()
        engine.resume(state)
        placed, movement = update.centers, update.movement


def _assert_bounds(engine, X, state, centers, frame):
    squared = reference.distances(X, centers, frame.scale)
    labels, upper, lower = (engine.to_host(a) for a in (state.labels, state.upper, state.lower))
    np.testing.assert_array_equal(labels, squared.argmin(axis=1))
    distances = np.sqrt(squared)
    rows = np.arange(len(X))
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    assert (upper.astype(np.float64) >= own).all()
    assert (lower.astype(np.float64) <= distances.min(axis=1)).all()


def _blobs(n, d, k, seed, dtype, spread=4.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3 * k, d))[rng.integers(3 * k, size=n)] * spread + rng.normal(size=(n, d))
    X = np.ascontiguousarray(X, dtype=dtype)
    return X, X[rng.choice(n, k, replace=False)].astype(np.float64)


@pytest.mark.parametrize("screen", ["full", "sketch"])
@pytest.mark.parametrize("shape", [(700, 40, 30), (500, 65, 90), (400, 3, 12), (300, 90, 130)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_hold_after_every_movement(engine, dtype, shape, screen):
    X, centers = _blobs(*shape, seed=shape[1], dtype=dtype)
    used = 0
    for state, now, frame, use in _iterations(engine, X, centers, screen):
        _assert_bounds(engine, X, state, now, frame)
        used += use is not None
    assert (used > 0) == (screen == "sketch" and shape[1] > 16)


@pytest.mark.parametrize("screen", ["full", "sketch"])
@pytest.mark.parametrize(
    "name", ["shift_1e6", "two_blocks_1e4", "outlier_1e9", "denormal", "ties", "almost_ties", "scaled_columns", "d_100"]
)
def test_bounds_hold_on_hard_data(engine, name, screen):
    X, centers = datasets.hard(name, np.float64)
    for state, now, frame, _ in _iterations(engine, X, centers.astype(np.float64), screen, steps=4):
        _assert_bounds(engine, X, state, now, frame)


@pytest.mark.parametrize("screen", ["full", "sketch"])
def test_bounds_hold_where_a_few_centres_move_far(engine, screen):
    """Most centres rest, so rows are screened against the moving ones alone or not at all."""
    rng = np.random.default_rng(5)
    X, centers = _blobs(600, 48, 100, seed=6, dtype=np.float32)
    frame = make_frame(np.zeros(48), np.abs(X).max(axis=0).astype(np.float64), 100.0, len(X), 1.0)
    rows, placed = engine.place(X), engine.array(centers)
    planner = engine.planner(rows, X[::3], len(centers), frame, screen)
    state, movement = engine.new_assignment(len(X)), None
    screened = []
    for step in range(8):
        use = planner.choose(placed, state.labels, movement)
        work = engine.assign(rows, 0, engine.prepare_centers(placed, frame, movement), state, movement, sketch=use)
        screened.append(work.screened if work else 0)
        _assert_bounds(engine, X, state, centers, frame)
        centers = centers.copy()
        moving = rng.choice(100, 5, replace=False)
        centers[moving] += rng.normal(size=(5, 48)) * 10.0 ** rng.uniform(-4, 0.5 if step % 2 else -2)
        centers = centers.astype(np.float32).astype(np.float64)
        old, placed = placed, engine.array(centers)
        movement = engine.movement(old, placed, frame)
    assert min(screened) < screened[0] / 2 or not any(screened)  # the bounds did save something


def test_movement_is_bounded_from_above_and_sorted(engine):
    rng = np.random.default_rng(7)
    old = rng.normal(size=(40, 33))
    new = old + rng.normal(size=(40, 33)) * 10.0 ** rng.uniform(-12, 0, size=(40, 1))
    new[7] = old[7]
    frame = make_frame(np.zeros(33), np.full(33, 8.0), 8.0, 10, 1.0)
    movement = engine.movement(engine.array(old), engine.array(new), frame)
    true = np.sqrt(((new.astype(np.longdouble) - old) ** 2).sum(axis=1)) * frame.scale
    grown, order, drifts = (engine.to_host(a) for a in movement)
    assert (grown >= true).all()
    assert (grown <= true * (1 + 1e-5)).all()
    assert grown[7] == 0
    np.testing.assert_array_equal(drifts, np.append(-np.sort(-grown), 0.0))
    np.testing.assert_array_equal(grown[order], drifts[:-1])
    assert sorted(order) == list(range(40))


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("sketched", [False, True], ids=["full", "sketch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gains_and_adoption_are_canonical(engine, dtype, sketched, weighted):
    X, candidates = _blobs(900, 40, 7, seed=8, dtype=dtype)
    X[::50] = X[0]  # equal rows: distances equal to `nearest` gain nothing
    frame = make_frame(X[:9].mean(axis=0), np.abs(X).max(axis=0).astype(np.float64), 1.0, len(X), 1.0)
    every = reference.distances(X, candidates, frame.scale)
    rng = np.random.default_rng(9)
    values = rng.permutation(every.min(axis=1) * 1.5)
    values[::3] = every[::3, 2]
    weights = rng.random(len(X)) if weighted else None
    factor = 2.0**40
    # In parts, with a sketch of all rows: each part must find its own rows in it.
    sketch = engine.planner(engine.place(X), X[::4], 50, frame, "sketch").choose_for_seeding(7) if sketched else None
    nearest = engine.array(values.copy())
    gains = np.zeros(7, np.int64)
    for start, stop in ((0, 100), (100, 900)):
        placed = None if weights is None else engine.array(weights[start:stop].copy())
        part = Part(start, engine.place(X[start:stop]), placed)
        mine, found = engine.gains(part, candidates, nearest[start:stop], factor, frame, sketch)
        gains += mine
        engine.adopt(part, candidates, 4, nearest[start:stop], frame, sketch, found)

    def quanta(distances):
        return np.floor((distances if weights is None else distances * weights) * factor).astype(np.int64)

    lower = np.minimum(every, values[:, None])
    expected = [int((quanta(values) - quanta(lower[:, c])).sum()) for c in range(7)]
    np.testing.assert_array_equal(gains, expected)
    assert np.count_nonzero(gains) > 3
    np.testing.assert_array_equal(engine.to_host(nearest), lower[:, 4])


def test_block_totals(engine):
    rng = np.random.default_rng(10)
    values, weights = rng.random(5000), rng.random(5000)
    for w in (None, weights):
        quanta = np.floor((values if w is None else values * w) * 2.0**30).astype(np.int64)
        wanted = np.add.reduceat(quanta, np.arange(0, 5000, 1024))
        placed = None if w is None else engine.array(w)
        np.testing.assert_array_equal(engine.block_totals(engine.array(values), placed, 2.0**30), wanted)


def test_survey_finds_the_first_value_that_is_not_finite(engine):
    rng = np.random.default_rng(11)
    X = rng.normal(size=(140_000, 2)).astype(np.float32)
    column_max = np.array([0.0, 100.0])
    assert engine.survey(engine.place(X), column_max) is None
    np.testing.assert_array_equal(column_max, [np.abs(X[:, 0]).max(), 100.0])
    for value in (np.nan, np.inf, -np.inf):
        bad = X.copy()
        bad[[100_001, 131_000], [1, 0]] = value
        row, column, found = engine.survey(engine.place(bad), np.zeros(2))
        assert (row, column) == (100_001, 1)
        np.testing.assert_equal(found, value)
