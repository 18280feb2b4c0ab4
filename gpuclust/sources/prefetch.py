"""Read one chunk ahead in a background thread, so that reading and arithmetic overlap."""

from __future__ import annotations

import threading
from collections.abc import Generator
from queue import SimpleQueue
from typing import NamedTuple

from gpuclust.sources.base import Chunk

__all__ = ["prefetch"]


class _Failure(NamedTuple):
    error: BaseException


def prefetch(chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
    """Yield the chunks of a generator while a thread prepares the next one.

    The thread takes chunk ``i + 1`` only once the consumer has asked for chunk ``i``, which releases chunk ``i - 1``.
    So a producer needs two buffers, used in turn: it may overwrite a chunk as soon as the one after it was taken.

    Errors of the producer are raised in the consumer, after the chunks that came before. When the consumer stops
    early, the producer is closed and the thread joined before ``close()`` returns; a chunk that is being read is
    finished first. The thread starts with the first chunk asked for.
    """
    taken: SimpleQueue[Chunk | _Failure | None] = SimpleQueue()
    wanted = threading.Semaphore(1)
    stopping = threading.Event()

    def produce() -> None:
        last: _Failure | None = None  # None ends the stream
        try:
            wanted.acquire()
            for chunk in chunks:
                taken.put(chunk)
                del chunk  # the consumer alone keeps it alive
                wanted.acquire()
                if stopping.is_set():
                    break
        except BaseException as error:  # whatever it is, it belongs to the consumer
            last = _Failure(error)
        finally:
            chunks.close()
            taken.put(last)

    # A daemon, because a generator that is never closed must not keep the interpreter from ending.
    thread = threading.Thread(target=produce, name="gpuclust-prefetch", daemon=True)
    thread.start()
    try:
        while (item := taken.get()) is not None:
            if isinstance(item, _Failure):
                error = item.error
                try:
                    raise error
                finally:
                    del item, error  # or the traceback keeps this frame, and with it the chunks, alive
            wanted.release()
            yield item
            del item
    finally:
        stopping.set()
        wanted.release()
        # The garbage collector may close an abandoned generator from any thread, this one too.
        if thread is not threading.current_thread():
            thread.join()
