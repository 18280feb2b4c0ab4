"""The vector code against NumPy and the oracle, to the bit, at every width, count and dtype."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest

from gpuclust.engines.cpu import vector
from tests import reference

pack_rows, squared_distance = vector.pack_rows, vector.squared_distance
tile_above, tile_top2 = vector.tile_above, vector.tile_top2
trailing_zeros = vector.trailing_zeros

DTYPES = [np.float32, np.float64]


@numba.njit
def _pack(data, indices, count, origin, scale, tile):
    pack_rows(data, indices, count, origin, scale, tile)


@numba.njit
def _distance(data, row, centers, center, scale):
    return squared_distance(data, row, centers, center, scale)


@numba.njit
def _above(tile, panels, offset, width, threshold, masks):
    return tile_above(tile, panels, offset, width, threshold, masks)


@numba.njit
def _top2(tile, panels, offset, width, first, best, second, index):
    tile_top2(tile, panels, offset, width, first, best, second, index)


@numba.njit
def _zeros(word):
    return trailing_zeros(word)


def _rows_before_poison(n, d, dtype, seed=0):
    """Random rows; the memory behind the last one is NaN, so that a read beyond it shows."""
    rng = np.random.default_rng(seed)
    memory = np.full(n * d + 64, np.nan, dtype)
    memory[: n * d] = rng.normal(size=n * d) * 10.0 ** rng.integers(-3, 3, size=n * d)
    return memory[: n * d].reshape(n, d)


@pytest.mark.parametrize("tile_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pack_rows_is_the_formula(dtype, tile_dtype):
    """(x - origin) * scale in float64, rounded once; rows that are missing repeat the last."""
    shape = vector.tile_shape(tile_dtype)
    rng = np.random.default_rng(1)
    scale = 2.0**-7
    for d in range(1, 71):
        data = _rows_before_poison(shape.rows + 2, d, dtype, seed=d)
        origin = rng.normal(size=d)
        padded = -(-d // shape.lanes) * shape.lanes
        for count in range(1, shape.rows + 1) if d in (1, 17, 70) else (1, shape.rows - 1, shape.rows):
            indices = rng.integers(0, len(data), size=count).astype(np.int32)
            indices[-1] = len(data) - 1
            tile = np.full((padded + 1) * shape.rows, 77.0, tile_dtype)
            _pack(data, indices, count, origin, scale, tile)
            wanted = ((data[indices].astype(np.float64) - origin) * scale).astype(tile_dtype)
            wanted = np.concatenate([wanted, np.repeat(wanted[-1:], shape.rows - count, axis=0)])
            found = tile.reshape(-1, shape.rows)
            np.testing.assert_array_equal(found[:d], wanted.T)
            assert (found[padded:] == 77.0).all()  # nothing is written behind the padding


def test_pack_rows_addresses_rows_by_64_bits():
    """Row numbers are int32, offsets in elements are not."""
    shape = vector.tile_shape(np.float32)
    d = 3000
    n = 2**31 // d + 10
    # Untouched pages of zeros cost no memory.
    data = np.zeros((n, d), np.float32)
    data[n - 1] = np.arange(d)
    tile = np.zeros((d + shape.lanes) * shape.rows, np.float32)
    _pack(data, np.array([n - 1], np.int32), 1, np.zeros(d), 1.0, tile)
    np.testing.assert_array_equal(tile.reshape(-1, shape.rows)[:d, 0], np.arange(d))
    assert _distance(data, n - 1, data, 0, 1.0) == float(np.square(np.arange(d, dtype=np.float64)).sum())


@pytest.mark.parametrize("center_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_distance_has_the_bits_of_the_contract(dtype, center_dtype):
    scale = 2.0**-5
    for d in [*range(1, 131), 4096]:
        rows, centers = _rows_before_poison(3, d, dtype, seed=d), _rows_before_poison(2, d, center_dtype, seed=1000 + d)
        found = [[_distance(rows, i, centers, c, scale) for c in range(2)] for i in range(3)]
        np.testing.assert_array_equal(found, reference.distances(rows, centers, scale))


def test_squared_distance_contracts_nothing():
    """(1 + u)**2 - like terms, where a fused multiply-add would give another last bit."""
    rng = np.random.default_rng(2)
    rows, centers = rng.normal(size=(200, 64)), rng.normal(size=(1, 64))
    found = [_distance(rows, i, centers, 0, 1.0) for i in range(200)]
    np.testing.assert_array_equal(found, reference.distances(rows, centers, 1.0)[:, 0])


def _screen_case(dtype, seed, width=19, n_panels=3):
    """A tile and panels with small integers: every score is exact and there are many ties."""
    shape = vector.tile_shape(dtype)
    rng = np.random.default_rng(seed)
    tile = rng.integers(-2, 3, size=(width, shape.rows)).astype(dtype)
    panels = rng.integers(-2, 3, size=(n_panels, 1 + width, shape.centers)).astype(dtype)
    scores = panels[:, 0, :, None] + np.einsum("pwc,wr->pcr", panels[:, 1:], tile)
    return shape, tile.ravel(), panels.ravel(), scores


@pytest.mark.parametrize("width", [0, 1, 2, 19])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tile_above_compares_every_score(dtype, width):
    shape, tile, panels, scores = _screen_case(dtype, 3, width)
    rng = np.random.default_rng(4)
    stride = (1 + width) * shape.centers
    masks = np.zeros(shape.centers, np.uint64)
    bits = np.uint64(1) << np.arange(shape.rows, dtype=np.uint64)
    for p in range(len(scores)):
        threshold = rng.integers(-4, 5, size=shape.rows).astype(dtype)  # as many ties: "not below" includes them
        union = _above(tile, panels, p * stride, width, threshold, masks)
        wanted = (np.where(scores[p] >= threshold, bits, np.uint64(0))).sum(axis=1, dtype=np.uint64)
        np.testing.assert_array_equal(masks, wanted)
        assert union == np.bitwise_or.reduce(wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tile_above_keeps_what_is_not_a_number(dtype):
    shape, tile, panels, _ = _screen_case(dtype, 5)
    masks = np.zeros(shape.centers, np.uint64)
    full = np.uint64(2**shape.rows - 1)
    unreachable = np.full(shape.rows, 1e6, dtype)
    assert _above(tile, panels, 0, 19, unreachable, masks) == 0
    poisoned = tile.copy()
    poisoned[7 * shape.rows + 3] = np.nan  # one element of row 3
    assert _above(poisoned, panels, 0, 19, unreachable, masks) == 1 << 3
    assert (masks == 1 << 3).all()
    unreachable[1] = np.nan  # one threshold
    assert _above(tile, panels, 0, 19, unreachable, masks) == 1 << 1
    poisoned = panels.copy()
    poisoned[0] = np.nan  # the constant of the first centre
    unreachable[1] = 1e6
    assert _above(tile, poisoned, 0, 19, unreachable, masks) == full
    assert masks[0] == full
    assert not masks[1:].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_tile_top2_finds_the_two_best_and_keeps_the_earlier_of_equals(dtype):
    for seed in range(20):
        shape, tile, panels, scores = _screen_case(dtype, seed)
        stride = 20 * shape.centers
        best, second = np.full(shape.rows, -np.inf, dtype), np.full(shape.rows, -np.inf, dtype)
        index = np.zeros(shape.rows, np.int32)
        for p in range(len(scores)):
            _top2(tile, panels, p * stride, 19, p * shape.centers, best, second, index)
        every = scores.reshape(-1, shape.rows)
        np.testing.assert_array_equal(index, every.argmax(axis=0))
        np.testing.assert_array_equal(best, np.sort(every, axis=0)[-1])
        np.testing.assert_array_equal(second, np.sort(every, axis=0)[-2])


def test_trailing_zeros():
    rng = np.random.default_rng(6)
    for bit in range(64):
        assert _zeros(np.uint64(1 << bit)) == bit
        above = int(rng.integers(0, 2**63)) << (bit + 1) & (2**64 - 1)
        assert _zeros(np.uint64(above | 1 << bit)) == bit


if hasattr(vector, "tile_bounds"):
    tile_bounds = vector.tile_bounds

    @numba.njit
    def _bounds(best, second, squares, norms, error, floor, limit, near, far):
        tile_bounds(best, second, squares, norms, error, floor, limit, near, far)

    @pytest.mark.parametrize("error", [2.0**-20, 1e-4, 2.0**-45])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_tile_bounds_are_those_of_the_derivation(dtype, error):
        """Rational arithmetic with the intervals of canonical.py: no term is missing, none is much too wide."""
        rows = vector.tile_shape(dtype).rows
        rng = np.random.default_rng(7)
        floor = 2.0**-110
        for magnitude in (1.0, 2.0**-20, 2.0**-40):
            squares = (rng.uniform(0.1, 1, size=rows) * magnitude).astype(dtype)
            best = (rng.uniform(-0.5, 0.4, size=rows) * magnitude).astype(dtype)
            second = (best - rng.uniform(0, 1, size=rows) * magnitude).astype(dtype)
            norms = rng.uniform(0, 2, size=rows) * magnitude
            norms[:3] = 0.0
            limit = np.empty(rows)
            near, far = np.empty(rows, np.float32), np.empty(rows, np.float32)
            _bounds(best, second, squares, norms, error, floor, limit, near, far)
            e, f = Fraction(error), Fraction(floor)
            for i in range(rows):
                square, norm = Fraction(float(squares[i])), Fraction(float(norms[i]))
                top, runner = Fraction(float(best[i])), Fraction(float(second[i]))
                rounding = Fraction(2) ** -50 * (square + norm + abs(top))
                excluded = top - 2 * e * norm - e * square - 2 * f
                assert Fraction(limit[i]) <= excluded + rounding
                assert Fraction(limit[i]) >= excluded - 3 * e * e * square - rounding
                # `squares` itself is a float32 sum, within a factor 1 +- 2 e of |t|**2.
                most = square * (1 + 2 * e) * (1 + e) - 2 * top + 4 * e * norm + 2 * f
                least = square * (1 - 2 * e) - e * square * (1 + 2 * e) - 2 * f - 2 * runner
                assert Fraction(float(near[i])) ** 2 >= most
                assert Fraction(float(near[i])) ** 2 <= max(most, 0) * (1 + Fraction(2) ** -17) + 4 * f
                assert Fraction(float(far[i])) ** 2 <= max(least, 0)
                assert Fraction(float(far[i])) ** 2 >= least * (1 - Fraction(2) ** -17) - 4 * f
