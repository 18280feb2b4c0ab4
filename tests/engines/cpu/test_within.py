"""The vector code of neighbour tests: the two masks of a panel, the distances of the other metrics, counting bits."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from gpuclust.engines.cpu import vector
from tests import dbscan_reference as reference

DTYPES = [np.float32, np.float64]
within_chebyshev, within_euclidean, within_manhattan = (
    vector.within_chebyshev,
    vector.within_euclidean,
    vector.within_manhattan,
)
largest_difference, summed_difference, bit_count = (
    vector.largest_difference,
    vector.summed_difference,
    vector.bit_count,
)


@numba.njit
def _euclidean(tile, panels, offset, width, low, high, slack, maybe, surely):
    return within_euclidean(tile, panels, offset, width, low, high, slack, maybe, surely)


@numba.njit
def _manhattan(tile, panels, offset, width, low, high, slack, maybe, surely):
    return within_manhattan(tile, panels, offset, width, low, high, slack, maybe, surely)


@numba.njit
def _chebyshev(tile, panels, offset, width, low, high, slack, maybe, surely):
    return within_chebyshev(tile, panels, offset, width, low, high, slack, maybe, surely)


@numba.njit
def _summed(data, row, other, other_row, scale):
    return summed_difference(data, row, other, other_row, scale)


@numba.njit
def _largest(data, row, other, other_row, scale):
    return largest_difference(data, row, other, other_row, scale)


@numba.njit
def _bits(word):
    return bit_count(word)


METRICS = {"euclidean": _euclidean, "manhattan": _manhattan, "chebyshev": _chebyshev}


def _case(metric, dtype, width, seed):
    """A tile and three panels of small integers, and their scores (3, columns, rows), which are exact."""
    shape = vector.tile_shape(dtype)
    rng = np.random.default_rng(seed)
    tile = rng.integers(-3, 4, size=(width, shape.rows)).astype(dtype)
    panels = rng.integers(-3, 4, size=(3, 1 + width, shape.centers)).astype(dtype)
    if metric == "euclidean":
        distances = -np.einsum("pwc,wr->pcr", panels[:, 1:], tile)
    else:
        differences = np.abs(panels[:, 1:, :, None] - tile[:, None, :])
        distances = differences.sum(1) if metric == "manhattan" else differences.max(1, initial=0)
    return shape, tile.ravel(), panels.ravel(), panels[:, 0, :, None] - distances


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_compare_every_score_with_both_limits(dtype, metric):
    rng = np.random.default_rng(1)
    n_sure = 0
    for width in (1, 2, 19):
        shape, tile, panels, scores = _case(metric, dtype, width, width)
        bits = np.uint64(1) << np.arange(shape.rows, dtype=np.uint64)
        for p in range(3):
            # Many ties with the limits: both masks include them.
            middle = int(np.median(scores))
            low = rng.integers(middle - 3, middle + 3, size=shape.rows).astype(dtype)
            high, slack = low + dtype(1), dtype(2)
            maybe, surely = np.zeros(shape.centers, np.uint64), np.zeros(shape.centers, np.uint64)
            some = METRICS[metric](
                tile, panels, p * (1 + width) * shape.centers, width, low, high, slack, maybe, surely
            )
            masks = [
                np.where(scores[p] >= limit, bits, np.uint64(0)).sum(1, dtype=np.uint64) for limit in (low, low + 3)
            ]
            np.testing.assert_array_equal(maybe, masks[0])
            np.testing.assert_array_equal(surely, masks[1])
            assert some == np.bitwise_or.reduce(masks[0])
            n_sure += int(np.count_nonzero(masks[1]))
    assert n_sure > 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_number_is_maybe_and_never_surely(dtype, metric):
    shape, tile, panels, _ = _case(metric, dtype, 5, 2)
    maybe, surely = np.zeros(shape.centers, np.uint64), np.zeros(shape.centers, np.uint64)
    low, high = np.full(shape.rows, 1e6, dtype), np.full(shape.rows, -1e6, dtype)
    assert METRICS[metric](tile, panels, 0, 5, low, high, dtype(0), maybe, surely) == 0
    assert not maybe.any()
    low[3] = high[3] = np.nan
    assert METRICS[metric](tile, panels, 0, 5, low, high, dtype(0), maybe, surely) == 1 << 3
    assert (maybe == 1 << 3).all()
    assert (surely == 2**shape.rows - 1 - (1 << 3)).all()
    panels[1] = np.nan  # the constant of the second column
    assert METRICS[metric](tile, panels, 0, 5, low, high, dtype(0), maybe, surely) == 2**shape.rows - 1
    assert maybe[1] == 2**shape.rows - 1
    assert surely[1] == 0


@pytest.mark.parametrize("other_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_distances_of_the_other_metrics_have_the_bits_of_the_contract(dtype, other_dtype):
    eps = 20.0
    for d in [*range(1, 70), 1000]:
        rng = np.random.default_rng(d)
        rows, others = (rng.normal(size=(3, d)) * 10.0 ** rng.integers(-3, 3, size=(3, d)) for _ in range(2))
        rows, others = rows.astype(dtype), others.astype(other_dtype)
        for function, metric in ((_summed, "manhattan"), (_largest, "chebyshev")):
            found = [[function(rows, i, others, j, reference.scale(eps)) for j in range(3)] for i in range(3)]
            np.testing.assert_array_equal(found, reference.distances(rows, others, eps, metric))


def test_bit_count():
    rng = np.random.default_rng(3)
    for word in [0, 1, 2**63, 2**64 - 1, *(int(w) for w in rng.integers(0, 2**63, 20))]:
        assert _bits(np.uint64(word)) == word.bit_count()
