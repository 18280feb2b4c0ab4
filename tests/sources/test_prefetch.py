"""One chunk ahead, in order, with errors passed on and no thread left behind."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Generator, Iterator

import numpy as np
import pytest

from gpuclust.sources.base import Chunk
from gpuclust.sources.prefetch import prefetch


def _threads() -> int:
    return sum(thread.name == "gpuclust-prefetch" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    gc.collect()
    assert _threads() == 0


class _Producer:
    """Yields chunk i filled with i, from two buffers, and records how far it got."""

    def __init__(self, n_chunks: int, fail_at: int | None = None) -> None:
        self.n_chunks, self.fail_at = n_chunks, fail_at
        self.produced, self.closed = 0, False
        self.threads: set[int] = set()

    def __call__(self) -> Generator[Chunk, None, None]:
        buffers = np.empty((2, 3, 2))
        try:
            for i in range(self.n_chunks):
                if i == self.fail_at:
                    raise ValueError(f"chunk {i} is broken")
                self.threads.add(threading.get_ident())
                out = buffers[i % 2]
                out[:] = i
                self.produced = i + 1
                yield Chunk(3 * i, out)
        finally:
            self.closed = True


def test_in_order_and_each_chunk_stays_valid_while_it_is_used() -> None:
    producer = _Producer(20)
    for i, chunk in enumerate(prefetch(producer())):
        time.sleep(0.002)  # time for the thread to run ahead, if it could
        assert chunk.start == 3 * i
        assert (chunk.rows == i).all()
        assert producer.produced <= i + 2  # this one and the one ahead
    assert i == 19
    assert producer.closed
    assert threading.get_ident() not in producer.threads


def test_it_does_read_ahead() -> None:
    producer = _Producer(3)
    chunks = prefetch(producer())
    next(chunks)
    deadline = time.monotonic() + 10
    while producer.produced < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert producer.produced == 2
    chunks.close()


def test_nothing_starts_before_the_first_chunk_is_asked_for() -> None:
    producer = _Producer(3)
    chunks = prefetch(producer())
    assert _threads() == 0
    assert producer.produced == 0
    chunks.close()


@pytest.mark.parametrize("fail_at", [0, 1, 4])
def test_errors_come_after_the_chunks_before_them(fail_at: int) -> None:
    producer = _Producer(5, fail_at)
    chunks = prefetch(producer())
    for i in range(fail_at):
        assert (next(chunks).rows == i).all()
    with pytest.raises(ValueError, match=rf"chunk {fail_at} is broken"):
        next(chunks)
    with pytest.raises(StopIteration):
        next(chunks)
    assert producer.closed
    assert _threads() == 0


@pytest.mark.parametrize("consumed", [1, 2, 5])
def test_stopping_early_joins_the_thread_and_closes_the_producer(consumed: int) -> None:
    producer = _Producer(5)
    chunks = prefetch(producer())
    for _ in range(consumed):
        next(chunks)
    chunks.close()
    assert _threads() == 0
    assert producer.closed


def test_a_consumer_that_raises_or_forgets_leaves_no_thread() -> None:
    producer = _Producer(5)
    with pytest.raises(KeyError):
        for _ in prefetch(producer()):
            raise KeyError("consumer")
    gc.collect()
    assert producer.closed
    forgotten = _Producer(5)
    next(prefetch(forgotten()))
    gc.collect()
    assert forgotten.closed


def test_no_chunks() -> None:
    assert list(prefetch(_Producer(0)())) == []


def test_many_streams_at_once() -> None:
    streams = [prefetch(_Producer(30)()) for _ in range(8)]
    for i, chunks in enumerate(zip(*streams, strict=True)):
        assert all((chunk.rows == i).all() for chunk in chunks)
    assert i == 29
