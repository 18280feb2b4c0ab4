"""Survey, the screen's copies of rows and centres with true and tight bounds of their rounding, unit rows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.canonical import screen_error
from tests.emulation import Module
from tests.emulation.sanitize import sanitized

CTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double", np.dtype(np.float16): "__half"}
NONE = 2**64 - 1
RHO = {np.float16: 2.0**-11, np.float32: 2.0**-24}
SMALLEST = {np.float16: 2.0**-40, np.float32: 2.0**-118}


def _module(dtype=np.float32, screen=np.float32, **options):
    half = int(screen == np.float16)
    return Module(
        "rows", {"ROW": CTYPES[np.dtype(dtype)], "SCREEN": CTYPES[np.dtype(screen)], "SCREEN_HALF": half}, **options
    )


def _survey(rows, *, blocks=2, **options):
    """(column_max, flat index of the first value that is not finite)."""
    (m, d), bits, bad = rows.shape, np.zeros(rows.shape[1], np.uint64), np.full(1, NONE, np.uint64)
    blocks = max(blocks, -(-d // 256))
    _module(rows.dtype, **options).get_function("survey")(
        (blocks,), (256,), (rows, np.int64(m), np.int32(d), bits, bad)
    )
    return bits.view(np.float64), int(bad[0])


# -- survey ------------------------------------------------------------------------------------------------------------


def test_survey_by_hand():
    column_max, bad = _survey(np.array([[1.0, -2.0], [-3.0, 0.5]], np.float32))
    np.testing.assert_array_equal(column_max, [3.0, 2.0])
    assert bad == NONE


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (700, 3), (5000, 1), (100, 33), (41, 128), (7, 300), (3, 1500)])
def test_survey_finds_each_column_s_largest(shape, dtype):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape[1])).astype(dtype)
    for blocks in (1, 3):
        column_max, bad = _survey(rows, blocks=blocks)
        np.testing.assert_array_equal(column_max, np.abs(rows).max(axis=0))
        assert bad == NONE


def test_survey_of_denormals_and_zeros():
    rows = np.array([[0.0, -1e-45], [-0.0, 1e-40]], np.float32)
    np.testing.assert_array_equal(_survey(rows)[0], [0.0, np.float32(1e-40)])


def test_survey_raises_what_it_is_given():
    rows, bits = np.array([[1.0, 5.0]]), np.array([3.0, 4.0]).view(np.uint64)
    _module(np.float64).get_function("survey")(
        (1,), (256,), (rows, np.int64(1), np.int32(2), bits, np.full(1, NONE, np.uint64))
    )
    np.testing.assert_array_equal(bits.view(np.float64), [3.0, 5.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (900, 5), (50, 64), (3, 700)])
def test_survey_finds_the_first_bad_value(shape, dtype):
    rng = np.random.default_rng(1)
    for trial in range(6):
        rows = rng.normal(size=shape).astype(dtype)
        places = rng.integers(0, rows.size, trial + 1)
        rows.flat[places] = rng.choice([np.nan, np.inf, -np.inf, -np.nan], len(places))
        assert _survey(rows, blocks=trial % 3 + 1)[1] == places.min()


@pytest.mark.parametrize("first", [0, 77, 2998])
def test_survey_finds_the_first_of_many_bad_values(first):
    rows = np.zeros((1000, 3), np.float32)
    rows.flat[first:] = np.nan
    assert _survey(rows, blocks=1)[1] == first


def test_survey_of_rows_that_begin_anywhere():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=1 + 400 * 8).astype(np.float32)[1:].reshape(400, 8)
    np.testing.assert_array_equal(_survey(rows)[0], np.abs(rows).max(axis=0))
    rows[250, 3] = np.nan
    assert _survey(rows)[1] == 250 * 8 + 3


# -- the screen's rows and centres -------------------------------------------------------------------------------------


class Screen:
    """Rows and centres prepared for a screen of one precision."""

    def __init__(self, rows, centers, screen, *, factor, slots=None, panel=8, blocks=2, **options):
        (m, d), k = rows.shape, len(centers)
        self.width, kp = -(-d // 16) * 16, -(-k // panel) * panel
        self.factor, self.origin = factor, np.median(rows.astype(np.float64), axis=0)
        self.rho, self.tiny = RHO[screen], SMALLEST[screen]
        self.gamma = screen_error(self.width, np.float32, d)
        self.slots = np.arange(k, dtype=np.int32) if slots is None else slots
        module = _module(rows.dtype, screen, **options)
        numbers = [np.float64(v) for v in (factor, self.rho, self.gamma, self.tiny)]
        self.T, self.norms, self.slacks = np.full((m, self.width), 7, screen), *np.full((2, m), np.nan, np.float32)
        module.get_function("prepare_rows")(
            (blocks,), (256,),
            (rows, np.int32(m), np.int32(d), np.int32(self.width), self.origin, *numbers, self.T, self.norms,
             self.slacks),
        )  # fmt: skip
        self.Y, self.constants, self.twice = np.full((kp, self.width), 7, screen), *np.full((2, kp), np.nan, np.float32)
        shape = np.int32(k), np.int32(kp), np.int32(d), np.int32(self.width)
        module.get_function("prepare_centers")(
            (blocks,), (256,),
            (centers, *shape, self.slots, self.origin, *numbers, self.Y, self.constants, self.twice, None),
        )  # fmt: skip

    def exact(self, values):
        """t of the rows or centres, as fractions."""
        factor = Fraction(self.factor)
        return [
            [(Fraction(float(v)) - Fraction(float(o))) * factor for v, o in zip(x, self.origin, strict=True)]
            for x in values
        ]


def _dot(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


@pytest.mark.parametrize("screen", [np.float16, np.float32])
def test_screen_by_hand(screen):
    rows, centers = np.array([[1.0, 3.0], [2.0, 3.5], [3.0, 4.0]], np.float32), np.array([[2.0, 5.5], [2.0, 3.5]])
    made = Screen(rows, centers, screen, factor=2.0, slots=np.array([1, 0], np.int32), panel=4)
    np.testing.assert_array_equal(made.T[:, :2], [[-2, -1], [0, 0], [2, 1]])
    np.testing.assert_array_equal(made.norms, [5, 0, 5])
    np.testing.assert_array_equal(made.Y[:, :2], [[0, 0], [0, 4], [0, 0], [0, 0]])
    assert not made.T[:, 2:].any()
    assert not made.Y[:, 2:].any()
    # Nothing was rounded: the slack is that of the sums.
    unit = 0.505 * (made.rho + made.gamma)
    np.testing.assert_allclose(made.slacks, [5 * unit, 0, 5 * unit], rtol=1e-6, atol=made.tiny * 1.1)
    np.testing.assert_allclose(made.constants[:2], [0, -8 + 16 * unit], rtol=1e-6, atol=made.tiny * 1.1)
    np.testing.assert_allclose(made.twice[:2], [0, 32 * unit], rtol=0.03, atol=made.tiny * 2.2)
    assert made.constants[2:].tolist() == [np.float32(-1e30)] * 2
    assert made.twice[2:].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("screen", [np.float16, np.float32])
@pytest.mark.parametrize("kind", ["plain", "outlier", "small"])
def test_bounds_of_the_screen_are_true(screen, dtype, kind):
    """In rational arithmetic: the score lies between those that the rounded copies and the constants promise."""
    rng = np.random.default_rng(3)
    rows, centers = rng.normal(size=(12, 21)), rng.normal(size=(7, 21))
    if kind == "outlier":
        rows[3, 5], centers[2, 4] = 1e9, -1e9
    if kind == "small":
        rows[3:6], centers[1:3] = rows[3:6] * 1e-30, centers[1:3] * 1e-9
    rows = rows.astype(dtype)
    made = Screen(rows, centers, screen, factor=0.75, slots=rng.permutation(7).astype(np.int32))
    T, Y = [[[Fraction(float(v)) for v in x] for x in table] for table in (made.T, made.Y[:7])]
    t, y = made.exact(rows), made.exact(centers[made.slots])
    for j in range(7):
        half = _dot(y[j], y[j]) / 2
        for i in range(12):
            true, screened = _dot(t[i], y[j]) - half, _dot(T[i], Y[j]) + Fraction(float(made.constants[j]))
            slack, twice = Fraction(float(made.slacks[i])), Fraction(float(made.twice[j]))
            assert screened - slack - twice <= true <= screened + slack


@pytest.mark.parametrize("screen", [np.float16, np.float32])
def test_bounds_of_the_screen_are_tight(screen):
    """They are the formula's, to the rounding of float32; residuals of half precision are far below |t|^2."""
    rng = np.random.default_rng(4)
    rows, centers = rng.normal(size=(40, 33)).astype(np.float32), rng.normal(size=(9, 33))
    made = Screen(rows, centers, screen, factor=1.0)
    for values, rounded, error, scale in (
        (rows, made.T, made.slacks, 1.0),
        (centers, made.Y[:9], made.twice[:9], 2.0),
    ):
        t = (values.astype(np.float64) - made.origin) * made.factor
        norm, residual = (t * t).sum(axis=1), ((t - rounded[:, :33].astype(np.float64)) ** 2).sum(axis=1)
        formula = 0.5 * ((made.rho + made.gamma) * norm + residual / made.rho) + made.tiny
        # The constant of a centre is itself rounded, by as much as 2**-23 of it.
        spare = 0 if scale == 1 else norm * 2.0**-23
        assert (error >= scale * formula).all()
        assert (error <= scale * formula * 1.02 + spare).all()
        assert (formula <= 2 * (made.rho + made.gamma) * norm).all()


@pytest.mark.parametrize("screen", [np.float16, np.float32])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (5, 16, 3), (37, 17, 9), (70, 4, 20), (20, 64, 5), (9, 100, 4), (3, 300, 2)]
)
def test_every_shape(shape, screen):
    m, d, k = shape
    rng = np.random.default_rng(5)
    rows, centers = rng.normal(size=(m, d)).astype(np.float32), rng.normal(size=(k, d))
    made = Screen(rows, centers, screen, factor=0.5, slots=rng.permutation(k).astype(np.int32), blocks=3)
    t, y = ((values.astype(np.float64) - made.origin) * 0.5 for values in (rows, centers[made.slots]))
    np.testing.assert_array_equal(made.T[:, :d], t.astype(screen))
    np.testing.assert_array_equal(made.Y[:k, :d], y.astype(screen))
    assert not made.T[:, d:].any()
    assert not made.Y[:, d:].any()
    assert not made.Y[k:].any()
    np.testing.assert_allclose(made.norms, (t * t).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(made.constants[:k], -(y * y).sum(axis=1) / 2, rtol=0.01, atol=1e-3)
    assert (made.constants[k:] == np.float32(-1e30)).all()


def test_values_beyond_the_screen_s_range():
    """They are cut to the largest value, and the bounds own up to it; what the products would flush is zero at once."""
    rows = np.array([[0.0, 1.0], [1e9, -1e9], [0.0, 1.0]], np.float32)
    made = Screen(rows, rows.astype(np.float64), np.float16, factor=1.0)
    np.testing.assert_array_equal(made.T[1, :2], [65504, -65504])
    assert np.isfinite(made.constants).all()
    assert made.slacks[1] > 1e18
    rows = np.array([[0.0], [1e-39], [0.0]], np.float32)
    made = Screen(rows, rows.astype(np.float64), np.float32, factor=1.0)
    assert made.T[1, 0] == 0
    made = Screen(rows, np.array([[1e200]]), np.float32, factor=1.0)
    assert np.isfinite(made.Y).all()


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_any_order_of_threads(order):
    rng = np.random.default_rng(6)
    rows, centers = rng.normal(size=(90, 20)).astype(np.float32), rng.normal(size=(30, 20))
    expected = Screen(rows, centers, np.float16, factor=1.0)
    made = Screen(rows, centers, np.float16, factor=1.0, blocks=3, order=order, seed=3, resident=3)
    for name in ("T", "norms", "slacks", "Y", "constants", "twice"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))
    rows[40, 3] = np.inf
    column_max, bad = _survey(rows, blocks=3, order=order, resident=3, yields=50)
    assert bad == 40 * 20 + 3
    np.testing.assert_array_equal(np.delete(column_max, 3), np.abs(np.delete(rows, 3, axis=1)).max(axis=0))
    units, _ = _unit_rows(rows[:40], order=order, resident=2)
    np.testing.assert_array_equal(units, get_engine("cpu").unit_rows(rows[:40])[0])


def test_no_races():
    sanitized("tsan", test_any_order_of_threads, order="random")


def test_halted():
    centers, halt = np.ones((2, 3)), np.ones(1, np.int32)
    Y, constants, twice = np.full((4, 16), 7, np.float16), *np.full((2, 4), 7, np.float32)
    shape = np.int32(2), np.int32(4), np.int32(3), np.int32(16)
    numbers = [np.float64(v) for v in (1.0, 0.1, 0.1, 0.0)]
    _module(screen=np.float16).get_function("prepare_centers")(
        (1,), (256,), (centers, *shape, np.arange(2, dtype=np.int32), np.zeros(3), *numbers, Y, constants, twice, halt)
    )
    assert (Y == 7).all()
    assert (constants == 7).all()
    assert (twice == 7).all()


# -- unit rows ---------------------------------------------------------------------------------------------------------


def _unit_rows(rows, *, blocks=2, **options):
    (m, d), out, first_zero = rows.shape, np.full_like(rows, 7), np.full(1, NONE, np.uint64)
    _module(rows.dtype, **options).get_function("unit_rows")(
        (blocks,), (256,), (rows, np.int32(m), np.int32(d), out, first_zero)
    )
    return out, int(first_zero[0])


def test_unit_rows_by_hand():
    units, zero = _unit_rows(np.array([[3.0, 4.0], [0.0, -2.0]], np.float32))
    np.testing.assert_array_equal(units, np.array([[0.6, 0.8], [0.0, -1.0]], np.float32))
    assert zero == NONE


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.float32, 0.5, 2.0),
        (np.float32, 1e-45, 1e-38),
        (np.float32, 1e-30, 1e38),
        (np.float64, 0.5, 2.0),
        (np.float64, 5e-324, 1e-308),
        (np.float64, 1e-300, 1e308),
    ],
)
@pytest.mark.parametrize("d", [1, 3, 32, 33, 300])
def test_unit_rows_are_the_cpu_engine_s(d, dtype, low, high):
    rng = np.random.default_rng(d)
    rows = np.exp(rng.uniform(np.log(low), np.log(high), (40, d))) * rng.choice([-1, 1], (40, d))
    rows[:5] /= 2.0  # among the denormals also some that vanish
    rows = rows.astype(dtype)
    rows[np.abs(rows).max(axis=1) == 0, 0] = low
    expected, zero = get_engine("cpu").unit_rows(rows)
    units, first_zero = _unit_rows(rows)
    assert zero is None
    assert first_zero == NONE
    np.testing.assert_array_equal(units, expected)


def test_first_row_that_is_zero():
    rows = np.ones((70, 3), np.float32)
    rows[[11, 40, 69]] = 0
    units, zero = _unit_rows(rows)
    assert zero == 11
    assert (units[11] == 7).all()
    np.testing.assert_array_equal(units[12], _unit_rows(rows[:1])[0][0])
