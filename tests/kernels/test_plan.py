"""Which rows to look at: bounds and needs equal to the CPU engine's bits, and what is left out cannot matter."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cpu.screen import plan_rows
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


class State:
    """Rows with true bounds to their centres, which then move: a few of them far, most a little, some not at all."""

    def __init__(self, m, d, k, dtype=np.float32, *, seed=0, step=0.003):
        rng = np.random.default_rng(seed)
        old = rng.normal(size=(k, d))
        self.rows = (old[rng.integers(0, k, m)] + rng.uniform(0, 1, (m, 1)) * rng.normal(size=(m, d))).astype(dtype)
        sizes = step * rng.exponential(size=(k, 1)) ** 3 * (rng.random((k, 1)) < 0.8)
        self.centers = old + sizes * rng.normal(size=(k, d))
        self.frame = Frame(np.zeros(d), 0.25, np.ones(d), 1.0, 1.0)
        engine = get_engine("cpu")
        distances = np.sqrt(engine.pairwise(self.rows, old, self.frame))
        ordered = np.sort(distances, axis=1)
        self.labels = distances.argmin(axis=1).astype(np.int32)
        self.upper = np.nextafter(ordered[:, 0].astype(np.float32), np.float32(np.inf))
        self.lower = np.nextafter(ordered[:, min(1, k - 1)].astype(np.float32), np.float32(0))
        if k == 1:
            self.lower[:] = np.inf
        self.movement = engine.movement(old, self.centers, self.frame)

    def bounds(self):
        return self.upper.copy(), self.lower.copy()


def _plan(state, panel, *, local=True, blocks=2, halt=None, **options):
    """(upper, lower, kept, needs) as the three kernels leave them, the list cut to its length."""
    module = Module("plan", {"ROW": CTYPES[state.rows.dtype]}, **options)
    plan, offsets, list_rows = map(module.get_function, ("plan", "offsets", "list_rows"))
    (m, d), k = state.rows.shape, len(state.centers)
    n_panels = -(-k // panel)
    shared = 4 * (n_panels + 1) if local else 0
    (upper, lower), needs = state.bounds(), np.full(m, -7, np.int32)
    histogram, starts, count = np.zeros(n_panels + 1, np.int32), np.zeros(n_panels + 1, np.int32), np.zeros(1, np.int32)
    kept, kept_needs = np.full(m, -7, np.int32), np.full(m, -7, np.int32)
    grid, block = (blocks,), (256,)
    plan(
        grid, block,
        (state.rows, np.int32(m), np.int32(d), state.centers, np.float64(state.frame.scale), state.movement.grown,
         state.movement.drifts, np.int32(k), np.int32(panel), np.int32(local), state.labels, upper, lower, needs,
         histogram, halt),
        shared_mem=shared,
    )  # fmt: skip
    offsets((1,), (1024,), (histogram, np.int32(n_panels), starts, count, halt))
    assert not histogram.any()
    rest = (np.int32(m), np.int32(n_panels), np.int32(local), starts, kept, kept_needs, halt)
    list_rows(grid, block, (needs, *rest), shared_mem=shared)
    assert (kept[count[0] :] == -7).all()
    return upper, lower, kept[: count[0]], kept_needs[: count[0]]


def _expected(state, panel):
    (upper, lower), m = state.bounds(), len(state.rows)
    kept, needs = np.empty(m, np.int32), np.empty(m, np.int32)
    grown, drifts = state.movement.grown, state.movement.drifts
    n = plan_rows(
        state.rows, state.centers, state.frame.scale, grown, drifts, panel, state.labels, upper, lower, kept, needs
    )
    return upper, lower, kept[:n], needs[:n]


def _assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[3], expected[3])  # by falling need
    order, other = (np.argsort(kept, kind="stable") for kept in (found[2], expected[2]))
    np.testing.assert_array_equal(found[2][order], expected[2][other])
    np.testing.assert_array_equal(found[3][order], expected[3][other])


def test_by_hand():
    """Centres at 0, 10, 20, 30; the one at 30 moved by 4, that at 20 by 1."""
    state = State(1, 1, 4)
    state.rows = np.array([[1.0], [4.9], [18.0], [26.0], [13.0]], np.float32)
    state.centers = np.array([[0.0], [10.0], [21.0], [34.0]])
    state.frame = Frame(np.zeros(1), 1.0, np.ones(1), 1.0, 1.0)
    state.labels = np.array([0, 0, 2, 3, 1], np.int32)
    state.upper = np.array([1.0, 4.9, 2.0, 4.0, 3.0], np.float32)
    state.lower = np.array([9.0, 5.1, 8.0, 6.0, 7.0], np.float32)
    state.movement = get_engine("cpu").movement(np.array([[0.0], [10.0], [20.0], [30.0]]), state.centers, state.frame)
    upper, lower, kept, needs = _plan(state, 1)
    np.testing.assert_allclose(upper, [1.0, 4.9, 3.0, 8.0, 3.0], rtol=1e-5)
    # The second row may be closer to either of those that moved, the fourth to any, the last to the fourth centre.
    assert dict(zip(kept.tolist(), needs.tolist(), strict=True)) == {1: 2, 3: 4, 4: 1}
    np.testing.assert_allclose(lower, [5.0, 5.1, 4.0, 6.0, 7.0], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "step"),
    [((700, 5, 40, 4), 0.003), ((300, 33, 7, 2), 0.1), ((400, 2, 1000, 8), 1e-4), ((257, 300, 12, 16), 0.03)],
)
def test_bounds_and_needs_are_the_cpu_engine_s(shape, step, dtype):
    m, d, k, panel = shape
    state = State(m, d, k, dtype, step=step)
    expected = _expected(state, panel)
    assert 0 < len(expected[2]) < m
    for blocks in (1, 3):
        _assert_same(_plan(state, panel, blocks=blocks), expected)
    _assert_same(_plan(state, panel, local=False), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 1, 128), (33, 1, 3, 128), (40, 4, 2000, 1)])
def test_odd_shapes(shape):
    m, d, k, panel = shape
    state = State(m, d, k, seed=1, step=0.5)
    for local in (True, False):
        _assert_same(_plan(state, panel, local=local), _expected(state, panel))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_out_cannot_matter(seed):
    """The nearest centre of each row is its own or among the leading centres that it needs; bounds are true."""
    state, panel = State(500, 4, 60, seed=seed, step=1e-3), 4
    upper, lower, kept, needs = _plan(state, panel)
    distances = np.sqrt(get_engine("cpu").pairwise(state.rows, state.centers, state.frame))
    own = distances[np.arange(500), state.labels]
    assert (upper >= own).all()
    leading = np.zeros(500, np.int64)
    leading[kept] = np.minimum(needs * panel, 60)
    rank = np.empty(60, np.int64)
    rank[state.movement.order] = np.arange(60)
    nearest = distances.argmin(axis=1)
    assert ((nearest == state.labels) | (rank[nearest] < leading)).all()
    others = distances.copy()
    others[np.arange(500), state.labels] = np.inf
    settled = leading == 0
    assert (lower[settled] <= others.min(axis=1)[settled]).all()
    assert 0.1 < settled.mean() < 0.95


def test_bounds_that_promise_nothing():
    """As a relabelled row has them: it needs every centre."""
    state = State(50, 3, 20)
    state.upper[7], state.lower[7] = np.inf, 0
    upper, _, kept, needs = _plan(state, 4)
    assert needs[kept == 7].tolist() == [5]
    assert np.isfinite(upper[7])
    _assert_same(_plan(state, 4), _expected(state, 4))


def test_bounds_near_zero():
    """Movements and bounds below float32's normal range neither vanish nor settle a row."""
    state = State(40, 2, 5)
    tiny = np.float32(2.0**-140)
    state.upper[:], state.lower[:] = tiny, 3 * tiny
    state.movement = state.movement._replace(grown=np.full(5, 2.0**-140), drifts=np.append(np.full(5, 2.0**-140), 0.0))
    _assert_same(_plan(state, 2), _expected(state, 2))


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order, local):
    state = State(900, 3, 40, seed=2)
    options = {"blocks": 3, "order": order, "seed": 4, "resident": 3, "yields": 50}
    _assert_same(_plan(state, 4, local=local, **options), _expected(state, 4))


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random", local=True)


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_offsets_of_many_panels(order):
    histogram = np.random.default_rng(5).integers(0, 9, 5001).astype(np.int32)
    counts, starts, count = histogram.copy(), np.zeros(5001, np.int32), np.zeros(1, np.int32)
    kernel = Module("plan", {"ROW": "float"}, order=order).get_function("offsets")
    kernel((1,), (1024,), (histogram, np.int32(5000), starts, count, None))
    assert count[0] == counts[1:].sum()
    ends = np.cumsum(counts[:0:-1])[::-1]  # of needs 1, 2, ...
    np.testing.assert_array_equal(starts[1:], ends - counts[1:])


def test_halted():
    state = State(30, 2, 8)
    upper, lower, kept, _ = _plan(state, 2, halt=np.ones(1, np.int32))
    np.testing.assert_array_equal(upper, state.upper)
    np.testing.assert_array_equal(lower, state.lower)
    assert not len(kept)
