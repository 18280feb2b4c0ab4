"""How much candidates would lower the rows' integer weights: the sums of all pairs that are canonically closer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emulation.sanitize import sanitized
from tests.kernels.screens import Problem, clusters
from tests.kernels.tiles import launch

SCREENS = ["half", "single"]
SHAPES = [(1, 1, 1), (200, 2, 3), (300, 5, 17), (500, 16, 64), (130, 7, 130), (129, 16, 520)]


def gains(
    problem: Problem, nearest: np.ndarray, weights: np.ndarray | None, factor: float, *, adopt: bool = False,
    halt: np.ndarray | None = None, **options: Any,
) -> np.ndarray:  # fmt: skip
    m, n_candidates, d = problem.shape
    total = np.full(n_candidates, 1000, np.int64)
    values, constants, _, _ = problem.slots
    x, candidates, _, scale = problem.exact
    launch(
        "gains", "gains", problem, problem.rows, np.int32(m), values[:16], constants[:16], np.int32(n_candidates), x,
        np.int32(d), candidates, scale, np.float32(problem.unit), nearest, weights, np.float64(factor),
        None if adopt else total, np.int32(adopt), halt, **options,
    )  # fmt: skip
    return total - 1000


def expected(problem: Problem, nearest: np.ndarray, weights: np.ndarray | None, factor: float) -> np.ndarray:
    def quanta(distances: np.ndarray) -> np.ndarray:
        weighted = distances if weights is None else (distances.T * weights).T
        return np.floor(weighted * factor).astype(np.int64)

    closer = problem.squared < nearest[:, None]
    return np.where(closer, quanta(nearest)[:, None] - quanta(problem.squared), 0).sum(axis=0)


def case(screen, shape, dtype=np.float32, *, spread=0.5):
    m, n_candidates, d = shape
    x, c = clusters(m, n_candidates, d, dtype=dtype, spread=spread)
    problem = Problem(x, c, screen)
    nearest = problem.squared.min(axis=1) * np.random.default_rng(1).uniform(0.8, 3, m)
    nearest[::7] = problem.squared[::7].min(axis=1)  # equal is not closer
    return problem, nearest


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("weighted", [False, True])
def test_gains(weighted, screen, shape):
    problem, nearest = case(screen, shape)
    weights = np.random.default_rng(2).exponential(size=shape[0]) if weighted else None
    kept = nearest.copy()
    found = gains(problem, nearest, weights, 2.0**40)
    np.testing.assert_array_equal(found, expected(problem, nearest, weights, 2.0**40))
    np.testing.assert_array_equal(nearest, kept)
    assert shape[0] == 1 or (found > 0).any()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(
    "options", [{"blocks": 4, "resident": 4, "order": "random"}, {"order": "lifo"}, {"macros": {"STAGES": 2}}], ids=str
)
def test_gains_of_float64_rows_by_many_blocks_in_any_order(screen, options):
    problem, nearest = case(screen, (700, 6, 20), np.float64)
    found = gains(problem, nearest, None, 2.0**45, **options)
    np.testing.assert_array_equal(found, expected(problem, nearest, None, 2.0**45))


@pytest.mark.parametrize("screen", SCREENS)
def test_a_candidate_whose_error_is_not_bounded_is_compared_with_every_row(screen):
    problem, nearest = case(screen, (130, 4, 9))
    problem.slots.constants[2] = np.inf
    found = gains(problem, nearest, None, 2.0**45)
    np.testing.assert_array_equal(found, expected(problem, nearest, None, 2.0**45))


@pytest.mark.parametrize("screen", SCREENS)
def test_no_gain_is_lost_to_rounding(screen):
    """Distances just above and below `nearest`, far from the origin: the screen cannot tell them apart."""
    x, c = clusters(200, 9, 20, spread=0.3, dtype=np.float64)
    problem = Problem((x + 50).astype(np.float32), c + 50, screen, origin=np.zeros(20))
    for nearest in (np.nextafter(problem.squared[:, 4], 1), problem.squared[:, 4].copy()):
        np.testing.assert_array_equal(gains(problem, nearest, None, 2.0**50), expected(problem, nearest, None, 2.0**50))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("screen", SCREENS)
def test_adopt(screen, dtype):
    problem, _ = case(screen, (300, 1, 33), dtype)
    nearest = np.random.default_rng(3).permutation(problem.squared[:, 0])
    nearest[5], nearest[9] = np.inf, problem.squared[9, 0]
    wanted = np.minimum(nearest, problem.squared[:, 0])
    assert not gains(problem, nearest, None, 1.0, adopt=True).any()
    np.testing.assert_array_equal(nearest, wanted)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_halted_run_does_nothing(screen):
    problem, nearest = case(screen, (50, 3, 3))
    assert not gains(problem, nearest, None, 2.0**40, halt=np.ones(1, np.int32)).any()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_sanitized(sanitizer, screen):
    options = {"blocks": 3, "order": "random"}
    sanitized(sanitizer, test_gains_of_float64_rows_by_many_blocks_in_any_order, screen=screen, options=options)
