"""How far a comparison of rows in memory is: told while it lasts, and stopped by what is told."""

from __future__ import annotations

import threading

import numba
import numpy as np
import pytest

from gpuclust import DBSCAN
from gpuclust.engines.base import Part
from gpuclust.engines.cpu import pairs
from gpuclust.engines.cpu.pairs import CpuPairs
from gpuclust.engines.neighborhood import Neighborhood
from tests import dbscan_reference as reference


class StopRun(Exception):
    pass


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = numba.get_num_threads()
    if request.param > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("one core")
    numba.set_num_threads(request.param)
    yield request.param
    numba.set_num_threads(before)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(8, 12)) * 4)[rng.integers(8, size=5000)] + rng.normal(size=(5000, 12))


@pytest.mark.parametrize("max_memory", [None, 1], ids=["remembered", "compared again"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_stages_are_told_while_they_last(rows, max_memory, weighted, threads):
    seen = []

    def told(stage, done, total):
        assert threading.current_thread() is threading.main_thread()
        seen.append((stage, done, total))

    weights = np.ones(len(rows)) if weighted else None
    DBSCAN(3.0, device="cpu", callback=told, max_memory=max_memory).fit(rows, sample_weight=weights)
    n_pairs = len(rows) * (len(rows) + 1) // 2
    again = max_memory == 1 or weighted
    for stage, often in (("count", True), ("link", again), ("claim", again)):
        done = [d for name, d, _ in seen if name == stage]
        assert done == sorted(done)
        assert done[-1] == n_pairs
        if threads == 1:  # of several, the calling one has some of the work
            assert len(set(done)) > 3 if often else len(done) == 1
    assert {total for _, _, total in seen} == {n_pairs}


@pytest.mark.parametrize("calls", [1, 4])
def test_what_raises_stops_the_fit_and_nothing_else(rows, calls):
    seen = []

    def stop(*step):
        seen.append(step)
        if len(seen) == calls:
            raise StopRun

    estimator = DBSCAN(3.0, device="cpu", callback=stop)
    with pytest.raises(StopRun):
        estimator.fit(rows)
    assert len(seen) == calls
    few = rows[:400]
    np.testing.assert_array_equal(estimator.fit(few).labels_, reference.dbscan(few, 3.0, 5).labels)


def test_other_threads_stop_too(rows, monkeypatch, threads):
    """Of many units only those under way are finished."""
    told = threading.Event()
    compared, found = CpuPairs(len(rows), Neighborhood.within(3.0, "euclidean"), rows[:500], 1 << 24), []
    block = compared.block(Part(0, rows))
    assert len(compared._units(block, block)) > 4 * threads
    count_unit = pairs.count_unit

    def counted(*args):
        found.append(args)
        if threading.current_thread() is not threading.main_thread():
            told.wait(60)
        return count_unit(*args)

    monkeypatch.setattr(pairs, "count_unit", counted)

    def stop(done, total):
        told.set()
        raise StopRun

    with pytest.raises(StopRun):
        compared.count(block, block, 5, stop)
    assert len(found) <= 2 * threads


def test_units_are_short_where_rows_are_many():
    rows = np.zeros((200, 64), np.float32)
    compared = CpuPairs(200, Neighborhood.within(1.0, "euclidean"), rows, 0)
    block = compared.block(Part(0, rows))._replace(n_tiles=100_000)
    rule = compared._rule
    longest = max(unit.stop - unit.at for unit in compared._units(block, block))
    assert longest * rule.rows * rule.group * 64 <= pairs.LARGEST_UNIT
