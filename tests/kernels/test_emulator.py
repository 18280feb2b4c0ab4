"""The CUDA dialect of the emulator: each part gives what the CUDA C++ Programming Guide says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.emulation import SUBJECTS, Module

ORDERS = [{"order": "fifo"}, {"order": "lifo"}, {"order": "random", "seed": 1}, {"order": "random", "seed": 2}]
LANES = np.arange(32)


def kernel(name: str, **scheduling: Any) -> Any:
    return Module(SUBJECTS / "dialect.cu", **scheduling).get_function(name)


def zeros(*shape: int, dtype: Any = np.int32) -> np.ndarray:
    return np.zeros(shape, dtype)


def test_indices_of_threads_and_blocks_in_three_dimensions():
    out = zeros(2 * 3 * 2, 5 * 2 * 3)
    kernel("indices")((2, 3, 2), (5, 2, 3), (out,))
    np.testing.assert_array_equal(out, 1000 * np.arange(12)[:, None] + np.arange(30))


@pytest.mark.parametrize("scheduling", ORDERS)
@pytest.mark.parametrize(("step", "width"), [(1, 32), (5, 8), (16, 16), (31, 32), (0, 4), (6, 2)])
def test_shuffles(step, width, scheduling):
    out = zeros(4, 32)
    kernel("shuffles", **scheduling)((1,), (32,), (np.int32(step), np.int32(width), out))
    first = LANES // width * width
    up = np.where(LANES - step >= first, LANES - step, LANES)
    down = np.where(LANES + step < first + width, LANES + step, LANES)
    flipped = np.where((LANES ^ step) < first + width, LANES ^ step, LANES)  # a lower segment may be read
    np.testing.assert_array_equal(out - 100, [first + step % width, up, down, flipped])


@pytest.mark.parametrize("scheduling", ORDERS)
def test_votes_of_lanes_that_went_different_ways(scheduling):
    values = np.random.default_rng(0).integers(0, 8, 32).astype(np.int32)
    out = zeros(4, 32, dtype=np.uint32)
    kernel("votes", **scheduling)((1,), (32,), (values, out))
    above = sum(1 << i for i in range(32) if values[i] > 2)
    odd = LANES % 2 == 1
    np.testing.assert_array_equal(out[0], np.where(odd, above & 0xAAAAAAAA, above & 0x55555555))
    np.testing.assert_array_equal(out[1], np.where(odd, values[odd].sum(), values[~odd].max()))
    np.testing.assert_array_equal(out[2], [sum(1 << i for i in range(32) if values[i] == v) for v in values])
    np.testing.assert_array_equal(out[3], 2 * (7 in values) + 1)


def test_lanes_exchange_structures():
    out = zeros(32, dtype=np.float32)
    kernel("gathered")((1,), (32,), (out,))
    np.testing.assert_array_equal(out, (31 - LANES) * 3 + 0.75)


@pytest.mark.parametrize("scheduling", [*ORDERS, {"order": "random", "seed": 3, "resident": 4, "yields": 50}])
def test_atomics(scheduling):
    n, most = 320, np.iinfo(np.uint64).max
    ints = np.array([0, 0, 0, 0, 1, 0, 5], np.int32)
    unsigneds = np.array([0, 0, 2**32 - 1, 0, 0, 0], np.uint32)
    longs = np.array([0, 0, most], np.uint64)
    floats, doubles, signed = zeros(1, dtype=np.float32), zeros(1, dtype=float), zeros(2, dtype=np.int64)
    kernel("atomics", **scheduling)((5,), (64,), (ints, unsigneds, longs, floats, doubles, signed))
    assert ints.tolist() == [n, -2 * n, 1 - n, n - 1, pow(3, n, 10007), 5, 77]
    assert unsigneds.tolist() == [3 * n, 2**32 - 1, 0, 0, n % 10, 0]
    assert longs.tolist() == [n << 40, (n - 1) << 33, 0]
    assert (floats[0], doubles[0]) == (n / 2, n / 4)
    assert signed.tolist() == [-(2**35) * (n - 1), 2**35 * (n - 1)]


@pytest.mark.parametrize("scheduling", ORDERS)
@pytest.mark.parametrize("predicates", [[0] * 96, [1] * 96, [0] * 95 + [1], [1, 0, 4] * 32])
def test_barriers_that_vote(predicates, scheduling):
    out = zeros(2, 96, 3)
    kernel("block_votes", **scheduling)((1,), (96,), (np.array(predicates, np.int32), out))
    expected = [any(predicates), all(predicates), np.count_nonzero(predicates)]
    np.testing.assert_array_equal(out, np.broadcast_to(expected, out.shape))


@pytest.mark.parametrize("scheduling", ORDERS)
def test_named_barriers(scheduling):
    out = zeros(5, 64)
    kernel("named_barriers", **scheduling)((1,), (128,), (np.int32(5), out))
    np.testing.assert_array_equal(out, 100 * np.arange(5)[:, None] + 63 - np.arange(64))


@pytest.mark.parametrize("scheduling", [*ORDERS, {"order": "random", "resident": 3}])
def test_shared_memory_is_a_blocks_own_and_fresh(scheduling):
    out = zeros(3, 64, 3)
    kernel("shared_memory", **scheduling)((3,), (64,), (out,), shared_mem=64 * 4)
    following = np.broadcast_to((np.arange(64) + 1) % 64, (3, 64))
    np.testing.assert_array_equal(out[..., 0], 1003)
    np.testing.assert_array_equal(out[..., 1], 2004)
    np.testing.assert_array_equal(out[..., 2], following)


def tickets(**scheduling: Any) -> list[int]:
    next_ticket, out = zeros(1), zeros(96)
    kernel("ticket", **scheduling)((3,), (32,), (next_ticket, out))
    assert sorted(out) == list(range(96))
    return out.tolist()


def test_orders_of_threads():
    assert tickets() == list(range(96))
    assert tickets(order="lifo") == list(range(95, -1, -1))
    assert tickets(order="random") == tickets(order="random") != tickets(order="random", seed=2)
    together = tickets(order="random", resident=3)
    assert max(together[:32]) - min(together[:32]) > 60  # blocks run interleaved
    assert tickets(yields=50) != tickets() == tickets(resident=3)


def test_async_copies_land_when_waited_for():
    x, out = np.arange(8, dtype=np.float32), zeros(3, 8, dtype=np.float32)
    kernel("async_copy")((1,), (1,), (x, out))
    nan = np.nan
    expected = [[nan] * 8, [0, 1, 0, 0, *[nan] * 4], [0, 1, 0, 0, 4, 5, 6, 7]]
    np.testing.assert_array_equal(out, expected)


def test_half_precision_rounds_to_nearest_even_everywhere():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = np.sort(every[np.isfinite(every)].astype(np.float64))
    middle = (finite[:-1] + finite[1:]) / 2
    middle = np.append(middle, [65520.0, -65520.0])  # from here on infinite
    hard = [
        finite,
        middle,
        np.nextafter(middle, np.inf),
        np.nextafter(middle, -np.inf),
    ]  # past the middle in float64 only
    single = middle.astype(np.float32)  # exact
    hard += [np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))]
    hard += [np.array([np.inf, -np.inf, np.nan, 1e300, -1e300, 1e-300, 0.0, -0.0])]
    doubles = np.concatenate(hard)
    with np.errstate(over="ignore", under="ignore"):
        singles = doubles.astype(np.float32)
        expected = singles.astype(np.float16), doubles.astype(np.float16)
    from_single, from_double = zeros(doubles.size, dtype=np.float16), zeros(doubles.size, dtype=np.float16)
    back = zeros(doubles.size, dtype=np.float32)
    kernel("to_half")((1,), (1024,), (singles, doubles, np.int32(doubles.size), from_single, from_double, back))
    for got, wanted in zip((from_single, from_double), expected, strict=True):
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.isnan(got), ~number)
        np.testing.assert_array_equal(got[number].view(np.uint16), wanted[number].view(np.uint16))
    np.testing.assert_array_equal(back[: 2**16], every.astype(np.float32))


def test_half_pairs():
    x = np.random.default_rng(0).standard_normal((32, 2)).astype(np.float32)
    out, sums = zeros(32, 2, dtype=np.float16), zeros(32, dtype=np.float32)
    kernel("half_pairs")((1,), (32,), (x, np.int32(32), out, sums))
    np.testing.assert_array_equal(out, x.astype(np.float16))
    wide = out.astype(np.float32)
    np.testing.assert_array_equal(sums, wide[:, 0] + wide[:, 1] + wide[:, 1])


def nearest(exact: Fraction) -> float:
    return exact.numerator / exact.denominator  # Python divides integers with one rounding, to nearest even


def directed(exact: Fraction, up: bool) -> float:
    value = nearest(exact)
    wrong = Fraction(value) < exact if up else Fraction(value) > exact
    return float(np.nextafter(value, np.inf if up else -np.inf)) if wrong else value


def test_arithmetic_rounds_once_and_as_its_name_says():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 200))
    c = -a * b * (1 + random.choice([0, 2**-52, 1e-9], 200))  # so that contraction shows
    out = zeros(200, 16, dtype=float)
    kernel("arithmetic")((1,), (64,), (a, b, c, np.int32(200), out))
    np.testing.assert_array_equal(out[:, 0], a * b + c)
    for i, (x, y, z) in enumerate(zip(map(Fraction, a), map(Fraction, b), map(Fraction, c), strict=True)):
        total, product, quotient = x + y, x * y, x / y
        zero = directed(total, up=total < 0)
        expected = [nearest(product + z), nearest(total), directed(total, True), directed(total, False), zero]
        expected += [directed(product, True), directed(product, False), nearest(quotient), directed(quotient, True)]
        assert out[i, 1:10].tolist() == expected
        root, below = out[i, 10:12]
        assert root == np.sqrt(abs(a[i]))
        assert Fraction(below) ** 2 <= abs(x) < Fraction(np.nextafter(below, 2)) ** 2
    single = a.astype(np.float32)
    np.testing.assert_array_equal(out[:, 12], single)
    np.testing.assert_array_equal(out[:, 13], np.where(single < a, np.nextafter(single, np.float32(np.inf)), single))
    np.testing.assert_array_equal(out[:, 14], np.where(single > a, np.nextafter(single, np.float32(-np.inf)), single))
    np.testing.assert_array_equal(out[:, 15], np.where(a > 0, out[:, 14], out[:, 13]))


def test_conversions_to_integers_saturate_and_bits_are_counted():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.7, 3e9, -3e9, np.inf, -np.inf, np.nan, 2147483520], np.float32)
    ints, longs = zeros(12, 4), zeros(12, 3, dtype=np.uint64)
    kernel("integers")((1,), (32,), (x, np.int32(12), ints, longs))
    rounded = np.stack([np.rint(x), np.trunc(x), np.ceil(x), np.floor(x)], axis=1).astype(float)
    np.testing.assert_array_equal(ints, np.nan_to_num(np.clip(rounded, -(2**31), 2**31 - 1)).astype(np.int64))
    for i in range(12):
        high = (0x123456789ABCDEF * (i + 1) % 2**64) * 0xFEDCBA9876543210 >> 64
        reversed_bits = int(f"{0x12345678 + i:032b}"[::-1], 2)
        assert longs[i].tolist() == [high, reversed_bits, high.bit_count() * 10000 + (31 - i) * 100 + i + 1]
