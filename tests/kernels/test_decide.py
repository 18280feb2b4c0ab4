"""Rows that the screen left open, and rows screened by a sketch, get the canonical label and true bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emulation.sanitize import sanitized
from tests.kernels.screens import Centers, Problem, Rows, clusters, rounded
from tests.kernels.tiles import State, launch, settle

SCREENS = ["half", "single"]
SHAPES = [(1, 1, 1), (130, 2, 3), (100, 5, 16), (70, 129, 17), (60, 300, 64), (140, 40, 130), (40, 129, 520)]


def decide(
    problem: Problem, rows: np.ndarray, limits: np.ndarray, *, state: State | None = None,
    halt: np.ndarray | None = None, **options: Any,
) -> tuple[State, list[int]]:  # fmt: skip
    """The state after decide, and its work."""
    state, work = State(len(problem.x)) if state is None else state, np.zeros(3, np.uint64)
    values, constants, _, order = problem.slots
    launch(
        "decide", "decide", problem, problem.rows, rows.astype(np.int32), limits.astype(np.float32),
        np.array([len(rows)], np.int32), values, constants, order, np.int32(len(problem.centers)), *problem.exact,
        np.float32(1 / problem.unit), *state, work, halt, **options,
    )  # fmt: skip
    return state, work.tolist()


def assert_bounds(problem: Problem, state: State, rows: np.ndarray) -> None:
    """Labels are canonical, bounds are true, and the upper one is as tight as float32 can tell."""
    np.testing.assert_array_equal(state.labels[rows], problem.labels[rows])
    assert (state.upper[rows] >= problem.nearest[rows]).all()
    assert (state.upper[rows] <= problem.nearest[rows] * (1 + 2.0**-19)).all()
    assert (state.lower[rows] <= problem.others[rows]).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_centre_of_every_row(dtype, screen, shape):
    """Without limits all distances are evaluated: one row after the other, panel after panel, none lost."""
    m, k, d = shape
    x, c = clusters(m, k, d, dtype=dtype, spread=0.7)
    problem = Problem(x, c, screen, order=np.random.default_rng(1).permutation(k))
    rows = np.random.default_rng(2).permutation(m)[: min(m, 50)]
    limits = np.where(np.arange(len(rows)) % 2, np.nan, -np.inf)
    state, work = decide(problem, rows, limits)
    assert work == [0, len(rows), len(rows) * k]
    assert_bounds(problem, state, rows)
    if k > 1:
        assert (state.lower[rows] >= problem.others[rows] * (1 - 2.0**-18)).all()
    others = np.setdiff1d(np.arange(m), rows)
    assert (state.labels[others] == -1).all()
    assert (state.lower[others] == -1).all()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheduling", [{"order": "lifo"}, {"order": "random", "seed": 5, "resident": 2}], ids=str)
def test_in_any_order_of_threads(scheduling, screen):
    problem = Problem(*clusters(150, 70, 9, spread=1.0), screen)
    limits = np.sort(-np.square(problem.nearest * problem.unit))
    found = [decide(problem, np.arange(150), limits, **options) for options in ({"blocks": 1}, scheduling)]
    assert found[0][1] == found[1][1]
    for mine, theirs in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("screen", SCREENS)
def test_ties_go_to_the_lowest_index(screen):
    x, c = clusters(80, 40, 20)
    problem = Problem(x, np.concatenate([c[::-1], c, c]), screen, order=np.random.default_rng(1).permutation(120))
    outcome = settle(problem)
    rows, limits = np.array(list(outcome.open), np.int64), np.array(list(outcome.open.values()))
    state, work = decide(problem, rows, limits)
    assert len(rows) == 80
    assert work[2] == 240
    assert_bounds(problem, state, rows)
    assert (state.labels < 40).all()
    np.testing.assert_allclose(state.lower, problem.nearest, rtol=1e-5)


@pytest.mark.parametrize(("screen", "shift"), [("half", 0), ("half", 10), ("half", 100), ("single", 100)])
@pytest.mark.parametrize("shape", [(300, 60, 20), (200, 130, 70), (257, 129, 3)], ids=str)
def test_what_settle_left_open(screen, shift, shape):
    """Together they label every row; what a limit excludes is beyond the lower bound."""
    m, k, d = shape
    x, c = clusters(m, k, d, spread=1.5 if shift else 4.0, dtype=np.float64)
    problem = Problem((x + shift).astype(np.float32), (c + shift).astype(np.float32), screen, origin=np.zeros(d))
    outcome = settle(problem)
    rows, limits = np.array(list(outcome.open), np.int64), np.array(list(outcome.open.values()))
    state, work = decide(problem, rows, limits, state=outcome.state)
    np.testing.assert_array_equal(state.labels, problem.labels)
    assert_bounds(problem, state, rows)
    assert 0 < len(rows) <= work[2] <= len(rows) * (k if shift else 3)
    assert (state.upper >= problem.nearest).all()
    assert (state.lower <= problem.others).all()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_lower_bound_is_of_what_was_excluded(screen):
    """With a limit that leaves one candidate the bound is that of the limit, and tight."""
    problem = Problem(*clusters(60, 20, 5, spread=0.2), screen)
    # The score at which a centre is half-way between the nearest and the next.
    middle = (problem.nearest + problem.others) / 2 * problem.unit
    limits = 0.5 * (problem.rows.norms - np.square(middle))
    state, work = decide(problem, np.arange(60), limits)
    assert work == [0, 60, 60]
    assert_bounds(problem, state, np.arange(60))
    np.testing.assert_allclose(state.lower, middle / problem.unit, rtol=0.01)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_halted_run_does_nothing(screen):
    problem = Problem(*clusters(50, 3, 3), screen)
    state, work = decide(problem, np.arange(50), np.full(50, -np.inf), halt=np.ones(1, np.int32))
    assert (state.labels == -1).all()
    assert work == [0, 0, 0]


class Sketched:
    """A problem whose rows all have a label, near the true one, and a sketch of it."""

    def __init__(self, screen: str, shape: tuple[int, int, int], *, q: int = 6, seed: int = 0) -> None:
        m, k, d = shape
        rng = np.random.default_rng(seed)
        x, c = clusters(m, k, d, spread=0.4, seed=seed)
        self.problem = problem = Problem(x, c, screen, order=rng.permutation(k))
        factor = problem.scale * problem.unit
        basis = np.linalg.svd(c - c.mean(axis=0), full_matrices=False)[2][:q].T

        def sketch(values: np.ndarray) -> np.ndarray:
            t = (values.astype(np.float64) - problem.origin) * factor
            inside = t @ basis
            rest = np.sqrt(np.maximum((t * t).sum(1) - (inside * inside).sum(1), 0) + 1e-12 * (t * t).sum(1))
            return np.column_stack([inside, rest])

        self.rows = Rows.of(rounded(sketch(x), screen))
        self.slots = Centers.of(rounded(sketch(c), screen), problem.slots.order)
        self.state = State(m)
        second = problem.squared.argsort(axis=1)[:, 1]
        self.before = np.where(rng.random(m) < 0.3, second, problem.labels).astype(np.int32)
        self.own = np.sqrt(problem.squared[np.arange(m), self.before])
        self.state.labels[:], self.state.upper[:] = self.before, self.own * (1 + rng.random(m) * 0.1 + 1e-6)

    def decide(
        self, *, kept: np.ndarray | None = None, needs: np.ndarray | None = None, drifts: np.ndarray | None = None,
        margin: float = 0.0, **options: Any,
    ) -> list[int]:  # fmt: skip
        problem, work = self.problem, np.zeros(3, np.uint64)
        m, k, _ = problem.shape
        count = np.array([m if kept is None else len(kept)], np.int32)
        values, constants, _, order = self.slots
        drifts = np.zeros(k + 1) if drifts is None else drifts
        launch(
            "decide", "decide_sketch", problem, self.rows, kept, needs, count, values, constants, order, drifts,
            np.int32(k), *problem.exact, np.float32(problem.unit), np.array([margin]), *self.state, work, None,
            **options,
        )  # fmt: skip
        return work.tolist()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("shape", [(200, 70, 40), (130, 129, 16), (70, 3, 9), (300, 20, 300)], ids=str)
def test_sketch(screen, shape):
    case = Sketched(screen, shape)
    m, k, _ = shape
    problem, state, upper = case.problem, case.state, case.state.upper.copy()
    margin = 0.05 * float(case.own.mean())
    work = case.decide(margin=margin)
    np.testing.assert_array_equal(state.labels, problem.labels)
    assert (state.upper >= problem.nearest).all()
    assert (state.lower <= problem.others).all()
    changed = case.before != problem.labels
    assert changed.any()
    np.testing.assert_allclose(state.upper[changed], problem.nearest[changed], rtol=1e-5)
    unchallenged = state.upper == upper
    np.testing.assert_array_equal(
        state.lower >= (upper + margin) * (1 - 1e-5), problem.others >= (upper + margin) * (1 - 1e-5)
    )
    assert unchallenged.any()
    assert work[0] == m * -(-k // 64) * 64
    assert work[1] == 0
    assert changed.sum() <= work[2] < m * k / 2


@pytest.mark.parametrize("screen", SCREENS)
def test_sketch_of_leading_panels(screen):
    """Rows of a list, by falling need; the quiet centres count by how little they moved."""
    case = Sketched(screen, (300, 150, 30), seed=3)
    problem, state = case.problem, case.state
    m, k, _ = problem.shape
    rng = np.random.default_rng(4)
    # The label's centre and the others of the first two panels: the third holds what the old lower bound covers.
    quiet = problem.slots.order[128:]
    state.lower[:] = np.sqrt(problem.squared[:, quiet].min(axis=1)) * 1.01
    movement = float(state.lower.max()) * 0.02
    drifts = np.append(np.full(k, movement), 0.0)
    kept = rng.permutation(m)[:200].astype(np.int32)
    needs = np.repeat(np.array([3, 2], np.int32), [128, 72])
    upper, lower = state.upper.copy(), state.lower.copy()
    work = case.decide(kept=kept, needs=needs, drifts=drifts)
    assert work[0] == (128 * 3 + 72 * 2) * 64
    fully, partly = kept[:128], kept[128:]
    np.testing.assert_array_equal(state.labels[fully], problem.labels[fully])
    active = np.setdiff1d(np.arange(k), quiet)
    among = np.concatenate([problem.squared[:, active], np.square(case.own)[:, None]], axis=1)
    winner = np.append(active, -1)[among.argmin(axis=1)]
    expected = np.where(winner < 0, case.before, winner)
    np.testing.assert_array_equal(state.labels[partly], expected[partly])
    assert (state.lower[partly] <= lower[partly] - movement).all()
    assert (state.lower[kept] <= problem.others[kept]).sum() > 0
    others = np.setdiff1d(np.arange(m), kept)
    np.testing.assert_array_equal(state.labels[others], case.before[others])
    np.testing.assert_array_equal(state.upper[others], upper[others])
    np.testing.assert_array_equal(state.lower[others], lower[others])


@pytest.mark.parametrize("screen", SCREENS)
def test_sketch_ties_go_to_the_lowest_index(screen):
    """Rows labelled with the second of two equal centres move to the first, and stay there."""
    case = Sketched(screen, (60, 40, 20))
    problem = case.problem
    twins = np.concatenate([problem.centers[:20], problem.centers[:20]])
    case.problem = problem = Problem(problem.x, twins, screen, origin=problem.origin, unit=problem.unit)
    case.slots = problem.slots
    case.rows = problem.rows
    for labels in (problem.labels + 20, problem.labels):
        case.state.labels[:] = labels
        case.state.upper[:] = problem.nearest * (1 + 1e-6)
        case.decide()
        np.testing.assert_array_equal(case.state.labels, problem.labels)
        assert (case.state.lower <= problem.others).all()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_sanitized(sanitizer, screen):
    sanitized(sanitizer, test_in_any_order_of_threads, screen=screen, scheduling={"order": "random"})
    sanitized(sanitizer, test_sketch, screen=screen, shape=(130, 70, 16))
