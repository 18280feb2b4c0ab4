"""Run a function on blocks of rows, on as many threads as numba is set to use.

Plain threads calling compiled kernels that release the GIL: safe when several Python threads call at once (each call
waits for its own blocks only), safe after ``fork`` (the pool belongs to a process; a child makes its own), and no
spinning between calls.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

import numba

from gpuclust._cancel import checkpoint

__all__ = ["n_threads", "run_blocks"]

Result = TypeVar("Result")

_lock = threading.Lock()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_inside = threading.local()


def n_threads() -> int:
    """Threads to use: ``numba.set_num_threads`` or ``NUMBA_NUM_THREADS``, by default one per core."""
    return int(numba.get_num_threads())


def _after_fork() -> None:
    # The parent's threads do not exist here and its lock may have been held.
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _pool(workers: int) -> ThreadPoolExecutor:
    with _lock:
        key = (os.getpid(), workers)
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="gpuclust")
        return _pools[key]


def _block(function: Callable[[int, int], Result], lo: int, hi: int) -> Result:
    checkpoint()
    return function(lo, hi)


def run_blocks(function: Callable[[int, int], Result], n: int, block: int, workers: int | None = None) -> list[Result]:
    """Call ``function(lo, hi)`` for consecutive blocks of ``range(n)`` and return the results in order.

    Blocks are handed out one at a time, so uneven ones balance; a cancelled job ends between two of them. One thread's
    worth of work runs in the calling thread.
    """
    n_blocks = -(-n // block)
    workers = min(n_threads() if workers is None else workers, n_blocks)
    if workers <= 1 or getattr(_inside, "worker", False):
        return [_block(function, lo, min(n, lo + block)) for lo in range(0, n, block)]
    results: list[Result | None] = [None] * n_blocks
    ticket = count()

    def work() -> None:
        _inside.worker = True
        try:
            for b in iter(lambda: next(ticket), None):
                if b >= n_blocks:
                    return
                results[b] = _block(function, b * block, min(n, (b + 1) * block))
        finally:
            _inside.worker = False

    futures = [_pool(workers).submit(work) for _ in range(workers - 1)]
    try:
        work()
    finally:
        for future in futures:
            future.result()
    return results  # type: ignore[return-value]
