"""``run_blocks``: results in order, errors told, and never a hang: nested, from many threads, after a fork."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import pytest

from gpuclust.engines.cpu.threads import n_threads, run_blocks

TIMEOUT = 60


def _within_time(function, *arguments):
    """The function's result or error; a hang is a failure of this test and not of the whole session."""
    outcome = []

    def work():
        try:
            outcome.append((function(*arguments), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert outcome, "it hangs"
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


@pytest.mark.parametrize("workers", [None, 1, 2, 3, 8])
@pytest.mark.parametrize(("n", "block"), [(0, 5), (1, 5), (5, 5), (6, 5), (103, 5), (100, 1), (2**40, 2**36)])
def test_results_come_in_order(n, block, workers):
    def slow_at_first(lo, hi):
        time.sleep(0.002 if lo == 0 else 0)
        return lo, hi

    expected = [(lo, min(n, lo + block)) for lo in range(0, n, block)]
    assert _within_time(run_blocks, slow_at_first, n, block, workers) == expected


@pytest.mark.parametrize("bad", [0, 1, 50, 99])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_an_exception_reaches_the_caller_and_nothing_hangs(bad, workers):
    def fail(lo, hi):
        if lo == bad:
            raise KeyError(lo)
        return lo

    with pytest.raises(KeyError) as caught:
        _within_time(run_blocks, fail, 100, 1, workers)
    assert caught.value.args == (bad,)
    assert _within_time(run_blocks, lambda lo, hi: lo, 100, 1, workers) == list(range(100))


def test_every_block_fails():
    def fail(lo, hi):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        _within_time(run_blocks, fail, 10, 1, 4)


def test_nested_calls():
    def outer(lo, hi):
        return sum(run_blocks(lambda a, b: b - a, 50, 3, 2))

    assert _within_time(run_blocks, outer, 20, 1, 2) == [50] * 20
    # And the calling thread may use several threads again.
    seen = set()
    barrier = threading.Barrier(2, timeout=TIMEOUT)

    def meet(lo, hi):
        barrier.wait()
        seen.add(threading.get_ident())

    run_blocks(meet, 2, 1, 2)
    assert len(seen) == 2


def test_a_call_after_an_error_inside_still_uses_threads():
    def fail(lo, hi):
        raise ValueError

    def twice():
        with pytest.raises(ValueError):
            run_blocks(fail, 4, 1, 2)
        barrier = threading.Barrier(2, timeout=TIMEOUT)
        return run_blocks(lambda lo, hi: barrier.wait() >= 0, 2, 1, 2)

    assert _within_time(twice) == [True, True]


def test_many_threads_at_once():
    def caller(number):
        return run_blocks(lambda lo, hi: (number, lo), 200, 3, 2 + number % 3)

    def all_together():
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(caller, range(24)))

    for number, result in enumerate(_within_time(all_together)):
        assert result == [(number, lo) for lo in range(0, 200, 3)]


def test_the_number_of_threads_is_numba_s():
    available = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert n_threads() == 1
        inside = run_blocks(lambda lo, hi: threading.get_ident(), 10, 1)
        assert set(inside) == {threading.get_ident()}
    finally:
        numba.set_num_threads(available)


def _in_child(queue):
    queue.put(run_blocks(lambda lo, hi: lo, 40, 4, 2))


def test_after_a_fork():
    """The parent's pool is alive and busy when the child is made."""
    started, release = threading.Event(), threading.Event()

    def wait(lo, hi):
        started.set()
        return release.wait(TIMEOUT)

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    busy = threading.Thread(target=run_blocks, args=(wait, 4, 1, 2), daemon=True)
    busy.start()
    assert started.wait(TIMEOUT)
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=TIMEOUT) == list(range(0, 40, 4))
        child.join(TIMEOUT)
        assert child.exitcode == 0
    finally:
        child.kill()
        release.set()
        busy.join(TIMEOUT)
    assert run_blocks(lambda lo, hi: lo, 4, 1, 2) == [0, 1, 2, 3]
