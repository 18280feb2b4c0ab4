"""The sketch's score is never below the true one, so its distances are never above; hardest where both are equal."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.base import Movement
from gpuclust.engines.canonical import make_frame
from gpuclust.engines.cpu.sketch import COSTS, Sketch
from gpuclust.engines.cpu.sketch import planner as planner_of
from gpuclust.engines.planner import SketchUse, principal_directions
from tests import reference


def _exact(vector):
    return [Fraction(float(v)) for v in vector]


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def _rays(rng, basis):
    """Rows on one ray of the residual space: Cauchy and Schwarz leave nothing to spare."""
    d, q = basis.shape
    rest = rng.normal(size=d)
    rest -= basis @ (basis.T @ rest)
    return rng.normal(size=(20, q)) @ basis.T * 0.01 + rng.uniform(0.1, 1, size=(20, 1)) * rest / np.abs(rest).max()


def _inside(rng, basis):
    """Rows within the directions: the residual is rounding alone."""
    return rng.normal(size=(20, basis.shape[1])) @ basis.T * 0.1


def _random(rng, basis):
    return rng.uniform(-1, 1, size=(20, len(basis)))


def _tiny(rng, basis):
    return _rays(rng, basis) * 2.0**-200


@pytest.mark.parametrize("d", [17, 40, 200])
@pytest.mark.parametrize("kind", [_rays, _inside, _random, _tiny], ids=lambda kind: kind.__name__.strip("_"))
def test_the_sketched_product_is_an_upper_bound(kind, d):
    rng = np.random.default_rng(d)
    sample = rng.normal(size=(300, d)) * 0.9 ** np.arange(d)
    basis = principal_directions(sample, 8)
    rows = kind(rng, basis)
    sketched = Sketch(basis, 1).project(rows)
    exact, short = [_exact(row) for row in rows], [_exact(row[:-1]) for row in sketched]
    tightness = []
    for i in range(len(rows)):
        square = _dot(exact[i], exact[i])
        assert abs(Fraction(float(sketched[i, -1])) - square) <= square * Fraction(2) ** -40
        for j in range(i, len(rows)):
            true, bound = _dot(exact[i], exact[j]), _dot(short[i], short[j])
            assert bound >= true
            tightness.append(float((bound - true) / (abs(true) + abs(bound))))
    if kind is not _random:
        assert min(tightness) < 1e-6  # the cases are as hard as they say


@pytest.mark.parametrize(("m", "d", "q"), [(300, 40, 8), (300, 40, 16), (20, 50, 24), (5, 70, 32), (100, 17, 8)])
def test_directions_are_orthonormal(m, d, q):
    """To 2**-40 as the bound demands, also for samples of lower rank."""
    sample = np.random.default_rng(0).normal(size=(m, d))
    basis = principal_directions(sample - sample.mean(0), q)
    assert basis.shape == (d, q)
    assert np.abs(basis.T @ basis - np.eye(q)).max() < 2.0**-45


def test_directions_of_constant_rows_are_orthonormal():
    basis = principal_directions(np.zeros((50, 40)), 8)
    assert np.abs(basis.T @ basis - np.eye(8)).max() < 2.0**-45


def test_directions_are_the_principal_ones():
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    sample = rng.normal(size=(2000, 40)) * 0.5 ** np.arange(40) @ axes.T
    basis = principal_directions(sample, 4)
    kept = np.linalg.norm(basis.T @ axes[:, :4], ord="nuc") / 4
    assert kept > 0.99


@pytest.mark.parametrize("start", [0, 30])
def test_filled_rows_are_the_projections_of_scaled_rows(start):
    rng = np.random.default_rng(2)
    rows = (rng.normal(size=(50, 20)) + 5).astype(np.float32)
    frame = make_frame(np.full(20, 5.0), np.abs(rows).max(axis=0).astype(np.float64), 0.0, 100, 1.0)
    sketch = Sketch(principal_directions(rng.normal(size=(60, 20)), 8), 100)
    sketch.fill(rows, start, frame)
    wanted = sketch.project((rows.astype(np.float64) - frame.origin) * frame.scale)
    np.testing.assert_array_equal(sketch.rows[start : start + 50], wanted[:, :-1].astype(np.float32))
    np.testing.assert_array_equal(sketch.squares[start : start + 50], wanted[:, -1].astype(np.float32))


def _planner(X, k, mode):
    frame = make_frame(X.mean(axis=0), np.abs(X).max(axis=0), 0.0, len(X), 1.0)
    return planner_of(X, X[:200], k, frame, mode), np.zeros(len(X), np.int32), np.full(k + 1, 1e-4)


@pytest.mark.parametrize(
    ("n", "d", "k", "mode"),
    [(300, 40, 20, "full"), (300, 16, 20, "sketch"), (300, 40, 1, "sketch"), (300, 40, 20, "auto")],
    ids=["asked not to", "too few columns", "one cluster", "too little work"],
)
def test_no_sketch_where_it_cannot_pay(n, d, k, mode):
    X = np.random.default_rng(3).normal(size=(n, d))
    planner, labels, drifts = _planner(X, k, mode)
    assert planner.choose(X[:k], labels, Movement(None, None, drifts)) is None
    assert planner.choose_for_seeding(k) is None


def test_no_sketch_without_resident_rows():
    X = np.random.default_rng(3).normal(size=(300, 40))
    frame = make_frame(X.mean(axis=0), np.abs(X).max(axis=0), 0.0, len(X), 1.0)
    planner = planner_of(None, X, 20, frame, "sketch")
    assert planner.choose(X[:20], np.zeros(300, np.int32), Movement(None, None, np.zeros(21))) is None


def test_the_planner_knows_noise_from_structure(monkeypatch):
    """Isotropic noise: no sketch. Rows near few directions: a sketch, the same object from call to call."""
    monkeypatch.setattr("gpuclust.engines.cpu.sketch.COSTS", COSTS._replace(planning=0.0))
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(2000, 64))
    planner, labels, drifts = _planner(noise, 100, "auto")
    assert planner.choose(noise[:100], labels, Movement(None, None, drifts)) is None
    flat = rng.normal(size=(2000, 4)) @ rng.normal(size=(4, 256)) + rng.normal(size=(2000, 256)) * 1e-3
    centers = flat[:500]
    planner, _, _ = _planner(flat, 500, "auto")
    drifts = np.append(np.linspace(0.1, 1e-3, 500), 0.0)
    labels = (np.square(centers).sum(1) - 2 * flat @ centers.T).argmin(1).astype(np.int32)
    first = planner.choose(centers, labels, Movement(None, None, drifts))
    assert first is not None
    assert first.margin >= 0
    assert planner.choose(centers, labels, Movement(None, None, drifts)).sketch is first.sketch


def test_products_lost_in_a_sketched_score_lose_no_centre():
    """A centre comes nearer than a row's own by products that float32 drops one by one: the error bound keeps it."""
    engine = get_engine("cpu")
    d, alpha = 1501, 0.25
    row, coming = np.full(d, 2.0**-13), np.full(d, 2.0**-14.02)  # products just below half a unit of the score
    row[0], coming[0] = 1.0, alpha
    row[-1] = coming[-1] = 0.0
    gained = (d - 2) * 2.0**-27.02
    X = np.stack([row, -row])
    frame = make_frame(np.zeros(d), np.abs(X).max(axis=0), 1.0, len(X), 1.0)
    sketch = Sketch(np.eye(d)[:, :-1], len(X))
    sketch.fill(X, 0, frame)
    for share in np.linspace(0.1, 0.6, 6):
        own = np.zeros(d)
        own[0] = alpha + share * gained / (1 - alpha)
        far = coming - 0.5
        state = engine.new_assignment(len(X))
        engine.assign(X, 0, engine.prepare_centers(np.stack([own, far]), frame), state, None)
        assert state.labels[0] == 0
        movement = engine.movement(np.stack([own, far]), np.stack([own, coming]), frame)
        prepared = engine.prepare_centers(np.stack([own, coming]), frame, movement)
        engine.assign(X, 0, prepared, state, movement, sketch=SketchUse(sketch, 0.0))
        expected = reference.distances(X, np.stack([own, coming]), frame.scale).argmin(axis=1)
        assert expected[0] == 1
        np.testing.assert_array_equal(state.labels, expected)
