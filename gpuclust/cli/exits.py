"""The one place where exceptions become exit codes: one plain line on stderr, no traceback.

====== ==============================================================================
code   meaning
====== ==============================================================================
0      ok
1      unexpected: a bug
2      usage: an option breaks its rule
3      bad data
4      resources: memory, device, threads, a missing extra, an output that cannot be written
5      corrupt or untrusted model
130    Ctrl-C; 143: SIGTERM, 129: SIGHUP (128 + the signal, as shells count)
====== ==============================================================================

With GPUCLUST_TRACEBACK=1 in the environment the traceback comes before the line.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from gpuclust import _cancel
from gpuclust.errors import GpuclustError

__all__ = ["Commands", "exit_code", "one_line", "signals_unwind"]

#: Seconds after which a second signal no longer waits for a safe point. Supervisors send two at once.
PATIENCE = 1.0


class Commands(TyperGroup):
    """The group of commands: whatever a command raises leaves it as an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command chosen on the command line."""
        try:
            with signals_unwind():
                return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            code = exit_code(error)
            if code is None:
                raise
            if os.environ.get("GPUCLUST_TRACEBACK") == "1":
                traceback.print_exc()
            print(f"gpuclust: {one_line(error)}", file=sys.stderr)
            raise typer.Exit(code) from error


def exit_code(error: BaseException) -> int | None:
    """Return the exit code for ``error``; None for what the command-line library itself turns into one."""
    match error:
        case GpuclustError():
            return error.exit_code
        case KeyboardInterrupt():
            return 130
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case MemoryError():
            return 4
        case BrokenPipeError():
            return None  # the reader of stdout went away
        case OSError():
            return 4
        case _ if type(error).__module__.startswith(("typer", "click")):
            return None
        case _:
            return 1


def one_line(error: BaseException) -> str:
    """Return the message of ``error`` as one line that makes sense without the traceback."""
    match error:
        case GpuclustError():
            return " ".join(str(error).split())
        case KeyboardInterrupt():
            return "interrupted."
        case SystemExit():
            return "terminated."
        case MemoryError():
            return f"out of memory. {error}".strip()
        case OSError():
            return " ".join(str(error).split())
        case _:
            message = " ".join(str(error).split())
            return f"unexpected {type(error).__name__}: {message} (GPUCLUST_TRACEBACK=1 shows where)"


@contextmanager
def signals_unwind() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the block at its next safe point, so that nothing partial stays behind.

    Whoever asks again after a second ends the process at once; the next run into the same place clears up. A signal
    that the caller has chosen to ignore (``nohup``) stays ignored.
    """
    first: float | None = None

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = monotonic()
            _cancel.request(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))
        elif monotonic() - first > PATIENCE:
            os._exit(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {n: signal.signal(n, leave) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _cancel.withdraw()
