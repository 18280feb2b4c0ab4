"""The bounds that let rows keep their label unseen are true for every row, whatever screen made or carried them."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import Sums
from gpuclust.engines.canonical import make_frame
from tests import datasets, reference


def _iterations(engine, X, centers, screen, steps=6):
    """Lloyd's loop by hand: yields state, centres and frame after every assignment."""
    reach = float(np.abs(centers).max())
    frame = make_frame(np.median(X.astype(np.float64), axis=0), np.abs(X).max(axis=0).astype(np.float64), reach,
                       len(X), 1.0)  # fmt: skip
    planner = engine.planner(X, X[:: max(1, len(X) // 200)], len(centers), frame, screen)
    state, movement = engine.new_assignment(len(X)), None
    sums = Sums.zeros(*centers.shape)
    half = len(X) // 3
    for _ in range(steps):
        use = planner.choose(centers, state.labels, movement.drifts) if movement else None
        prepared = engine.prepare_centers(centers, frame, movement)
        for start, stop in ((0, half), (half, len(X))):
            engine.assign(X[start:stop], start, prepared, state, movement, sketch=use)
        engine.move_rows(X, None, state.previous, state.labels, frame, sums)
        state.previous[:] = state.labels
        yield state, centers, frame, use
        weights = sums.weights(frame)
        updated = centers.copy()
        updated[weights > 0] = (sums.totals(frame)[weights > 0] / weights[weights > 0, None]).astype(X.dtype)
        movement = engine.movement(centers, updated, frame)
        centers = updated


def _assert_bounds(X, state, centers, frame):
    squared = reference.distances(X, centers, frame.scale)
    np.testing.assert_array_equal(state.labels, squared.argmin(axis=1))
    distances = np.sqrt(squared)
    rows = np.arange(len(X))
    own = distances[rows, state.labels]
    distances[rows, state.labels] = np.inf
    assert (state.upper.astype(np.float64) >= own).all()
    assert (state.lower.astype(np.float64) <= distances.min(axis=1)).all()


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
        _assert_bounds(X, state, now, frame)
        used += use is not None
    assert (used > 0) == (screen == "sketch" and shape[1] > 16)


@pytest.mark.parametrize("screen", ["full", "sketch"])
@pytest.mark.parametrize(
    "name", ["shift_1e6", "two_blocks_1e4", "outlier_1e9", "denormal", "ties", "almost_ties", "scaled_columns", "d_100"]
)
def test_bounds_hold_on_hard_data(engine, name, screen):
    X, centers = datasets.hard(name, np.float64)
    for state, now, frame, _ in _iterations(engine, X, centers.astype(np.float64), screen, steps=4):
        _assert_bounds(X, state, now, frame)


@pytest.mark.parametrize("screen", ["full", "sketch"])
def test_bounds_hold_where_a_few_centres_move_far(engine, screen):
    """Most centres rest, so rows are screened against the moving ones alone or not at all."""
    rng = np.random.default_rng(5)
    X, centers = _blobs(600, 48, 100, seed=6, dtype=np.float32)
    frame = make_frame(np.zeros(48), np.abs(X).max(axis=0).astype(np.float64), 100.0, len(X), 1.0)
    planner = engine.planner(X, X[::3], len(centers), frame, screen)
    state, movement = engine.new_assignment(len(X)), None
    screened = []
    for step in range(8):
        use = planner.choose(centers, state.labels, movement.drifts) if movement else None
        work = engine.assign(X, 0, engine.prepare_centers(centers, frame, movement), state, movement, sketch=use)
        screened.append(work.screened)
        _assert_bounds(X, state, centers, frame)
        updated = centers.copy()
        moving = rng.choice(100, 5, replace=False)
        updated[moving] += rng.normal(size=(5, 48)) * 10.0 ** rng.uniform(-4, 0.5 if step % 2 else -2)
        updated = updated.astype(np.float32).astype(np.float64)
        movement = engine.movement(centers, updated, frame)
        centers = updated
    assert min(screened) < screened[0] / 2  # the bounds did save something


def test_movement_is_bounded_from_above_and_sorted(engine):
    rng = np.random.default_rng(7)
    old = rng.normal(size=(40, 33))
    new = old + rng.normal(size=(40, 33)) * 10.0 ** rng.uniform(-12, 0, size=(40, 1))
    new[7] = old[7]
    frame = make_frame(np.zeros(33), np.full(33, 8.0), 8.0, 10, 1.0)
    movement = engine.movement(old, new, frame)
    true = np.sqrt(((new.astype(np.longdouble) - old) ** 2).sum(axis=1)) * frame.scale
    grown = np.asarray(movement.grown)
    assert (grown >= true).all()
    assert (grown <= true * (1 + 1e-5)).all()
    assert grown[7] == 0
    np.testing.assert_array_equal(movement.drifts, np.append(-np.sort(-grown), 0.0))
    np.testing.assert_array_equal(grown[movement.order], movement.drifts[:-1])
    assert sorted(movement.order) == list(range(40))


@pytest.mark.parametrize("sketched", [False, True], ids=["full", "sketch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_improvements_are_all_pairs_that_are_canonically_closer(engine, dtype, sketched):
    X, candidates = _blobs(900, 40, 7, seed=8, dtype=dtype)
    X[::50] = X[0]  # equal rows: distances equal to `nearest` are no improvement
    frame = make_frame(X[:9].mean(axis=0), np.abs(X).max(axis=0).astype(np.float64), 1.0, len(X), 1.0)
    every = reference.distances(X, candidates, frame.scale)
    nearest = np.random.default_rng(9).permutation(every.min(axis=1) * 1.5)
    nearest[::3] = every[::3, 2]
    sketch = None
    if sketched:
        planner = engine.planner(X, X[::4], 50, frame, "sketch")
        use = planner.choose(candidates, every.argmin(axis=1).astype(np.int32), np.full(8, 1e-3))
        sketch = use.sketch
    start, stop = 100, 900
    rows, which, distances = engine.improvements(X[start:stop], candidates, nearest[start:stop], frame, sketch, start)
    found = np.full(every[start:stop].shape, np.inf)
    found[rows, which] = distances
    wanted = np.where(every[start:stop] < nearest[start:stop, None], every[start:stop], np.inf)
    np.testing.assert_array_equal(found, wanted)
    assert (np.diff(rows) >= 0).all()
    assert len(rows) == np.isfinite(wanted).sum() > 100


def test_block_totals(engine):
    rng = np.random.default_rng(10)
    values, weights = rng.random(5000), rng.random(5000)
    for w in (None, weights):
        quanta = np.floor((values if w is None else values * w) * 2.0**30).astype(np.int64)
        wanted = np.add.reduceat(quanta, np.arange(0, 5000, 1024))
        np.testing.assert_array_equal(engine.block_totals(values, w, 2.0**30), wanted)


def test_survey_finds_the_first_value_that_is_not_finite(engine):
    rng = np.random.default_rng(11)
    X = rng.normal(size=(140_000, 2)).astype(np.float32)
    column_max = np.array([0.0, 100.0])
    assert engine.survey(X, column_max) is None
    np.testing.assert_array_equal(column_max, [np.abs(X[:, 0]).max(), 100.0])
    for value in (np.nan, np.inf, -np.inf):
        bad = X.copy()
        bad[[100_001, 131_000], [1, 0]] = value
        assert engine.survey(bad, np.zeros(2)) == (100_001, 1)
