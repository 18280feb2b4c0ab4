"""The screen's error bound holds for every computed score, and for the label where it errs as far as it can."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.base import Part
from gpuclust.engines.canonical import FLOOR, make_frame, screen_error
from gpuclust.engines.cpu import vector
from tests import reference

pack_rows, tile_top2 = vector.pack_rows, vector.tile_top2


@numba.njit
def _scores(data, numbers, origin, scale, tile, panels, width, best, second, index):
    """Of one tile of rows, the best score of a panel: that of its only real centre."""
    pack_rows(data, numbers, numbers.size, origin, scale, tile)
    tile_top2(tile, panels, 0, width, 0, best, second, index)


def _computed(data, center, frame, dtype):
    """Scores of all rows against one centre, as the engine's screen computes them."""
    d = data.shape[1]
    panels = get_engine("cpu").prepare_centers(center[None].astype(np.float64), frame).panels(dtype)
    shape = vector.tile_shape(dtype)
    tile = np.zeros((d + shape.lanes) * shape.rows, dtype)
    out = []
    for at in range(0, len(data), shape.rows):
        numbers = np.arange(at, min(len(data), at + shape.rows), dtype=np.int32)
        best, second = np.full(shape.rows, -np.inf, dtype), np.full(shape.rows, -np.inf, dtype)
        index = np.zeros(shape.rows, np.int32)
        _scores(data, numbers, frame.origin, frame.scale, tile, panels.flat, d, best, second, index)
        assert not index[: len(numbers)].any()  # padding never wins
        out += best[: len(numbers)].tolist()
    return out


def _shifted(rng, d):
    return rng.normal(size=(20, d)) + 1e4, rng.normal(size=d) + 1e4


def _cancelling(rng, d):
    """Products of alternating sign that cancel almost to nothing."""
    t = rng.uniform(0.9, 1, size=(20, d))
    return t, np.where(np.arange(d) % 2, 1.0, -1.0) * rng.uniform(0.99, 1, size=d)


def _swallowed(rng, d):
    """One large product, and many of just below half a unit in its last place: all are lost."""
    t, y = np.full((20, d), 2.0**-12), np.full(d, 2.0**-12.6)
    t[:, 0], y[0] = 1.0, rng.uniform(0.1, 1)
    return t * rng.uniform(0.9, 1, size=(20, 1)), y


def _denormal(rng, d):
    t = rng.normal(size=(20, d)) * 2.0**-70
    t[0] = 1.0
    return t, rng.normal(size=d) * 2.0**-75


def _spread_magnitudes(rng, d):
    return rng.normal(size=(20, d)) * 10.0 ** rng.uniform(-30, 0, size=(20, d)), 10.0 ** rng.uniform(-30, 0, size=d)


def _opposite(rng, d):
    t = rng.normal(size=(20, d))
    return t, -t[0]


def _same(rng, d):
    t = rng.normal(size=(20, d))
    return t, t[3].copy()


KINDS = [_shifted, _cancelling, _swallowed, _denormal, _spread_magnitudes, _opposite, _same]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_scores_lie_in_their_interval(kind, dtype):
    """score - e|t|^2/2 - f <= S <= score + e|t|^2/2 + 2e|y|^2 + f, in rational arithmetic."""
    for d in (1, 3, 16, 33, 100):
        rng = np.random.default_rng(d)
        data, center = kind(rng, d)
        for origin in (np.zeros(d), np.median(data, axis=0)):
            frame = make_frame(origin, np.abs(data).max(axis=0), float(np.abs(center).max()), len(data), 1.0)
            e, f = Fraction(screen_error(d, dtype, d)), Fraction(FLOOR[np.dtype(dtype)]) * d
            scale, shift = Fraction(frame.scale), [Fraction(o) for o in frame.origin]
            y = [(Fraction(c) - o) * scale for c, o in zip(center, shift, strict=True)]
            norm = sum(v * v for v in y)
            for row, computed in zip(data, _computed(data, center, frame, dtype), strict=True):
                t = [(Fraction(x) - o) * scale for x, o in zip(row, shift, strict=True)]
                score = sum(a * b for a, b in zip(t, y, strict=True)) - norm / 2
                square = sum(a * a for a in t)
                assert score - e * square / 2 - f <= Fraction(computed)
                assert Fraction(computed) <= score + e * square / 2 + 2 * e * norm + f


def _label(engine, X, centers, origin, certify=True):
    frame = make_frame(origin, np.abs(X).max(axis=0), float(np.abs(centers).max()), len(X), 1.0)
    state = engine.new_assignment(len(X))
    prepared = engine.prepare_centers(engine.array(centers), frame)
    engine.assign(engine.place(X), 0, prepared, state, None, certify=certify)
    return engine.to_host(state.labels)


def test_a_far_centre_does_not_win_by_the_part_of_the_error_in_its_constant(engine):
    """Rows a little nearer to the origin than half-way to another centre.

    The far centre's constant is raised by e|y|^2, four times e|t|^2: only the term 2e|y|^2 makes up for it.
    """
    d = 64
    e = screen_error(d, np.float32, d)
    y = np.random.default_rng(8).uniform(0.5, 1, size=d)
    X = y * (0.5 - e * np.linspace(0.01, 0.6, 200)[:, None])
    centers = np.stack([np.zeros(d), y])
    expected = reference.assign(X, centers)
    assert not expected.any()
    np.testing.assert_array_equal(_label(engine, X, centers, np.zeros(d)), expected)
    if engine.name == "cpu":
        assert _label(engine, X, centers, np.zeros(d), certify=False).any()  # the case is as hard as it says


def test_a_far_row_is_not_settled_by_products_that_were_lost(engine):
    """Small centres, and products that float32 drops one by one, all from the true score of the wrong one.

    The error is in proportion to |t||y|: the term e|t|^2 must cover it.
    """
    d = 1001
    alpha = 2.0**-3
    row = np.full(d, 2.0**-12)
    row[0] = 1.0
    wrong = np.full(d, -(2.0**-16.02))  # products of just below 2**-28: half a unit in the last place of the score
    wrong[0] = alpha
    lost = (d - 1) * 2.0**-28.02
    fractions = np.linspace(0.05, 0.95, 19)
    for fraction in fractions:
        right = np.zeros(d)
        # The score of (c, 0, ...) is c - c**2 / 2: here between the true and the computed score of `wrong`.
        right[0] = alpha - fraction * lost / (1 - alpha)
        centers, X = np.stack([right, wrong]), np.stack([row, -row])
        expected = reference.assign(X, centers)
        assert expected[0] == 0
        np.testing.assert_array_equal(_label(engine, X, centers, np.zeros(d)), expected)
        if engine.name == "cpu":
            assert _label(engine, X, centers, np.zeros(d), certify=False)[0] == 1


def test_no_improvement_is_lost_with_its_products(engine):
    """A candidate nearer than the nearest centre by products that float32 drops."""
    d, alpha = 1501, 0.25
    row, candidate = np.full(d, 2.0**-15.5), np.full(d, 2.0**-11.52)
    row[0], candidate[0] = 1.0, alpha
    X = np.stack([row, -row])
    frame = make_frame(np.zeros(d), np.abs(X).max(axis=0), 1.0, 2, 1.0)
    squared = reference.distances(X, candidate[None], frame.scale)[:, 0]
    part = Part(0, engine.place(X))
    for above in (squared * (1 + 1e-9), np.nextafter(squared, 1)):
        nearest = engine.array(above)
        _, found = engine.gains(part, candidate[None], nearest, 1.0, frame)
        engine.adopt(part, candidate[None], 0, nearest, frame, None, found)
        np.testing.assert_array_equal(engine.to_host(nearest), squared)
