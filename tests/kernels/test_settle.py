"""Rows that the screen settles have the true label and true, tight bounds; the others are listed with their limits."""

from __future__ import annotations

import numpy as np
import pytest

from tests import reference
from tests.emulation.sanitize import sanitized
from tests.kernels.screens import Problem, clusters
from tests.kernels.tiles import Outcome, State, settle

SCREENS = ["half", "single"]
# Widths of a part of a slice, of one, of several, of one too long to stay in shared memory.
SHAPES = [(1, 1, 1), (130, 2, 3), (100, 5, 16), (70, 129, 17), (60, 300, 64), (140, 40, 130), (40, 129, 520)]


def check(problem: Problem, outcome: Outcome, among: np.ndarray | None = None) -> np.ndarray:
    """The settled rows (of those ``among``), after looking at everything."""
    m, k, _ = problem.shape
    among = np.arange(m) if among is None else among
    unsettled = np.array(sorted(outcome.open), dtype=np.int64)
    settled = np.setdiff1d(among, unsettled)
    assert np.isin(unsettled, among).all()
    labels, upper, lower = (values.astype(np.float64) for values in outcome.state)
    np.testing.assert_array_equal(labels[settled], problem.labels[settled])
    assert (upper[settled] >= problem.nearest[settled]).all()
    if k > 1:
        assert (lower[settled] <= problem.others[settled]).all()
    untouched = np.setdiff1d(np.arange(m), settled)
    assert (labels[untouched] == -1).all()
    assert (upper[untouched] == -1).all()
    assert (lower[untouched] == -1).all()
    return settled


@pytest.mark.parametrize("screen", SCREENS)
def test_by_hand(screen):
    x = np.array([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0], [2.0, 0.0]], np.float32)
    problem = Problem(x, np.array([[0.0, 0.0], [4.0, 0.0]]), screen, origin=np.zeros(2), unit=8.0)
    outcome = settle(problem)
    assert list(outcome.open) == [3]  # half-way
    assert outcome.state.labels.tolist() == [0, 0, 1, -1]
    np.testing.assert_allclose(outcome.state.upper[:3], np.array([0, 1, 0]) * problem.scale, atol=0.02)
    np.testing.assert_allclose(outcome.state.lower[:3], np.array([4, 3, 4]) * problem.scale, rtol=1e-3)
    assert outcome.work.tolist() == [4 * 128, 0, 0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("screen", SCREENS)
def test_shapes(screen, shape):
    problem = Problem(*clusters(*shape), screen)
    outcome = settle(problem)
    settled = check(problem, outcome)
    assert len(settled) > 0.8 * shape[0]
    assert outcome.work.tolist() == [shape[0] * -(-shape[1] // 128) * 128, 0, 0]
    tight = 0.03 if screen == "half" else 3e-4
    norms = problem.rows.norms[settled] / problem.unit**2
    nearest, others = np.square(problem.nearest[settled]), np.square(problem.others[settled])
    assert (np.square(outcome.state.upper[settled]) <= nearest + tight * (norms + nearest)).all()
    if shape[1] > 1:
        assert (np.square(outcome.state.lower[settled]) >= others - tight * (norms + others)).all()


@pytest.mark.parametrize(
    ("screen", "d", "macros"),
    [
        ("half", 16, {"SLICE_BYTES": 32, "PANEL": 64}),
        ("half", 30, {"SLICE_BYTES": 64}),
        ("half", 90, {"RESIDENT": 0, "STAGES": 2}),
        ("half", 70, {"WARPS": 8, "STAGES": 4}),
        ("single", 16, {"SLICE_BYTES": 64, "PANEL": 64}),
        ("single", 40, {"SLICE_BYTES": 64, "RESIDENT": 0}),
        ("single", 40, {"STAGES": 2}),
    ],
    ids=str,
)
def test_other_tiles(screen, d, macros):
    problem = Problem(*clusters(300, 150, d), screen)
    assert len(check(problem, settle(problem, macros=macros))) > 250


@pytest.mark.parametrize(
    "options", [{"order": "lifo"}, {"order": "random", "seed": 3, "blocks": 3, "resident": 3}], ids=str
)
@pytest.mark.parametrize("screen", SCREENS)
def test_in_any_order_of_threads(screen, options):
    problem = Problem(*clusters(300, 140, 20, spread=0.8), screen)
    first, other = settle(problem, blocks=1), settle(problem, **options)
    assert first.open == other.open
    for mine, theirs in zip(first.state, other.state, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("screen", SCREENS)
def test_ties_stay_open(screen):
    """Each centre twice: whatever comes first in the panels, no row can be settled, and both are within the limit."""
    x, c = clusters(100, 70, 20)
    problem = Problem(x, np.concatenate([c, c[::-1]]), screen, order=np.random.default_rng(1).permutation(140))
    outcome = settle(problem)
    assert len(outcome.open) == 100
    check(problem, outcome)


@pytest.mark.parametrize("screen", SCREENS)
def test_centres_in_any_order_and_rows_of_a_list(screen):
    x, c = clusters(400, 150, 33)
    rng = np.random.default_rng(2)
    problem = Problem(x, c, screen, order=rng.permutation(150))
    kept = rng.permutation(400)[:271].astype(np.int32)
    outcome = settle(problem, kept=kept)
    assert len(check(problem, outcome, kept)) > 200
    assert outcome.work[0] == 271 * 256


@pytest.mark.parametrize(("screen", "shift"), [("half", 10), ("half", 100), ("single", 30), ("single", 300)])
def test_far_from_the_origin_nothing_wrong_is_settled(screen, shift):
    """Norms of rows and centres far beyond their distances: the error leaves few rows settled, and those are right."""
    x, c = clusters(200, 60, 20, spread=0.5, dtype=np.float64)
    problem = Problem((x + shift).astype(np.float32), c + shift, screen, origin=np.zeros(20))
    outcome = settle(problem)
    check(problem, outcome)
    assert (len(outcome.open) > 100) == (shift >= 100)


def test_values_beyond_float16():
    """One row and one centre far outside, and columns that vanish: their measured rounding covers them."""
    x, c = clusters(200, 30, 20)
    x[7] *= 1e6
    c[3] *= 1e6
    x[:, 5:9] *= 1e-9
    c[:, 5:9] *= 1e-9
    problem = Problem(x, c, "half", unit=2.0**20)
    outcome = settle(problem)
    assert 7 in outcome.open
    check(problem, outcome)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("slack", [np.inf, np.nan, 1e30])
def test_a_row_whose_error_is_not_bounded_stays_open(screen, slack):
    problem = Problem(*clusters(100, 30, 7), screen)
    problem.rows.slacks[[0, 50]] = slack
    outcome = settle(problem)
    check(problem, outcome)
    for row in (0, 50):
        assert not outcome.open[row] > -1e29  # nothing is excluded


@pytest.mark.parametrize("screen", SCREENS)
def test_a_centre_whose_error_is_not_bounded_opens_every_row(screen):
    problem = Problem(*clusters(50, 30, 7), screen)
    problem.slots.constants[11] = problem.slots.twice[11] = np.inf
    outcome = settle(problem)
    assert len(outcome.open) == 50
    assert not any(limit > -1e29 for limit in outcome.open.values())


@pytest.mark.parametrize("screen", SCREENS)
def test_without_a_certificate_every_row_takes_the_best_score(screen):
    x, c = clusters(200, 60, 20, spread=1.0)
    problem = Problem(x + np.float32(30), c + 30, screen, origin=np.zeros(20))
    outcome = settle(problem, certify=False)
    assert outcome.open == {}
    rows = np.arange(200)
    found, upper, lower = np.sqrt(problem.squared[rows, outcome.state.labels]), outcome.state.upper, outcome.state.lower
    assert (found < problem.nearest + 0.1 * problem.scale * 30).all()
    assert (upper >= found).all()
    assert (lower <= problem.others).all()
    certain = settle(problem)
    settled = np.setdiff1d(rows, list(certain.open))
    np.testing.assert_array_equal(outcome.state.labels[settled], problem.labels[settled])


@pytest.mark.parametrize("screen", SCREENS)
def test_leading_panels(screen):
    """After a movement rows are screened against the panels of the centres that moved most, by falling need."""
    m, k, d = 300, 300, 24
    rng = np.random.default_rng(5)
    x, c = clusters(m, k, d, spread=0.4)
    drifts = np.append(np.sort(rng.exponential(size=k) ** 3 * 0.2)[::-1], 0.0)
    order = rng.permutation(k).astype(np.int32)
    directions = rng.normal(size=(k, d))
    moved = c.copy()
    moved[order] += directions / np.linalg.norm(directions, axis=1, keepdims=True) * drifts[:k, None] * 0.999
    problem = Problem(x, moved, screen, order=order)
    before = np.sqrt(reference.distances(x, c, problem.scale))
    drifts = drifts * problem.scale
    labels, state = before.argmin(axis=1).astype(np.int32), State(m)
    own = np.sqrt(problem.squared[np.arange(m), labels])
    state.labels[:], state.upper[:] = labels, own * (1 + 1e-6)
    state.lower[:] = np.sort(before, axis=1)[:, 1] * (1 - 1e-6)
    needs = np.sort(rng.integers(1, 4, m).astype(np.int32))[::-1].copy()
    kept = rng.permutation(m).astype(np.int32)
    lower, upper = state.lower.copy(), state.upper.copy()
    outcome = settle(problem, kept=kept, needs=needs, drifts=drifts, state=state)

    rows_of_tile = 128
    of_place = needs[np.arange(m) // rows_of_tile * rows_of_tile]  # the first row's
    assert outcome.work[0] == of_place.sum() * 128
    partly = kept[of_place < 3]
    assert set(outcome.open) <= set(kept[of_place == 3].tolist())
    assert set(outcome.again) <= set(partly.tolist())
    stayed = np.setdiff1d(partly, outcome.again)
    assert len(stayed) > len(partly) / 2 > 20
    np.testing.assert_array_equal(labels[stayed], problem.labels[stayed])
    np.testing.assert_array_equal(state.labels[partly], labels[partly])
    np.testing.assert_array_equal(state.upper[partly], upper[partly])
    np.testing.assert_array_equal(state.lower[outcome.again], lower[outcome.again])
    others = problem.squared.copy()
    others[np.arange(m), labels] = np.inf
    assert (state.lower[stayed] <= np.sqrt(others.min(axis=1))[stayed]).all()
    assert (state.lower[stayed] > state.upper[stayed]).all()
    changed = np.flatnonzero(labels != problem.labels)
    assert set(changed.tolist()) & set(partly.tolist()) <= set(outcome.again)

    assert len(outcome.again) > 5
    again = settle(problem, kept=np.array(outcome.again, np.int32), state=state)
    assert again.again == []
    now = np.setdiff1d(np.array(outcome.again), np.array(list(again.open)))
    np.testing.assert_array_equal(state.labels[now], problem.labels[now])


@pytest.mark.parametrize("screen", SCREENS)
def test_a_halted_run_does_nothing(screen):
    problem = Problem(*clusters(50, 3, 3), screen)
    outcome = settle(problem, halt=np.ones(1, np.int32))
    assert (outcome.state.labels == -1).all()
    assert outcome.open == {}
    assert not outcome.work.any()
    assert (settle(problem, halt=np.zeros(1, np.int32)).state.labels >= 0).any()


def test_no_rows():
    problem = Problem(*clusters(5, 3, 3), "half")
    outcome = settle(problem, kept=np.empty(0, np.int32))
    assert (outcome.state.labels == -1).all()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_sanitized(sanitizer, screen):
    sanitized(sanitizer, test_in_any_order_of_threads, screen=screen, options={"order": "random", "blocks": 3})
