"""Ending a job at a safe point: a signal handler asks, the work looks between blocks of rows and between events.

An exception that a handler raises may strike anywhere: inside a lock of the thread pool, half way through a line of
output. So the handlers of the command line only leave the exception here.
"""

from __future__ import annotations

__all__ = ["checkpoint", "request", "withdraw"]

_requested: BaseException | None = None


def request(error: BaseException) -> None:
    """Let ``error`` be raised at the next checkpoint of any thread, and at every one after it."""
    global _requested
    _requested = error


def withdraw() -> None:
    """Forget what was requested."""
    global _requested
    _requested = None


def checkpoint() -> None:
    """Raise what was requested, if anything was."""
    if _requested is not None:
        raise _requested
