"""Pieces of host rows arrive whole, however late or early the device copies and computes."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.staging import Staging
from tests.emulation import EmulatedCuPy


@pytest.mark.parametrize("stream_seed", [None, *range(1, 9)])
def test_pieces_arrive_whole(stream_seed):
    seed = {} if stream_seed is None else {"stream_seed": stream_seed}
    xp = EmulatedCuPy(asynchronous=True, **seed)
    rows = np.random.default_rng(0).random((70, 3), dtype=np.float32)
    found = xp.empty((70, 3), np.float32)
    with xp.cuda.Stream(non_blocking=True):
        staging = Staging(Device(0, xp), 10, 3, rows.dtype)
        for first in range(0, 70, 10):
            buffer = rows[first : first + 10].copy()
            placed = staging.send(buffer)
            buffer[:] = np.nan  # the caller's again
            found[first : first + 10] = placed
        np.testing.assert_array_equal(found.get(), rows)


def test_a_piece_may_be_smaller():
    xp = EmulatedCuPy()
    staging = Staging(Device(0, xp), 10, 2, np.dtype(np.float64))
    for size in (10, 3, 1, 10):
        rows = np.arange(2.0 * size).reshape(size, 2)
        np.testing.assert_array_equal(staging.send(rows).get(), rows)
