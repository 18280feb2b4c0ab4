"""Side-by-side timing: one process per contender, and they take turns.

Every contender has a process of its own, so that no OpenMP or BLAS runtime disturbs another and memory is its own. In
each round every contender runs once, alone, in an order that rotates: a slow minute of the machine then hits all of
them, and ratios of one run can be trusted where absolute times cannot. A first, untimed run compiles, warms up and
measures memory.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case

__all__ = [
    "REFUSALS",
    "Measurement",
    "ask",
    "measure",
    "peak_memory",
    "resident_memory",
    "restart_peak_memory",
    "threads",
    "workers",
]

# A library refuses a case in one of these ways; anything else is a bug and ends the run.
REFUSALS = (ArithmeticError, AssertionError, ImportError, MemoryError, RuntimeError, TypeError, ValueError)


@dataclass
class Measurement:
    """What one contender did on one case.

    Attributes
    ----------
    wall, cpu : list of float
        Seconds of each timed round; `cpu` is user plus system time of all threads of the process.
    extra_memory : int
        Bytes that the untimed run needed at its peak beyond the data, libraries and compiled code.
    outcome : dict
        What the case says of the result of the untimed run, ready for JSON.
    refusal : str
        Why there are no figures, or empty.
    """

    contender: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    extra_memory: int = 0
    outcome: dict[str, Any] = field(default_factory=dict)
    refusal: str = ""

    @property
    def median(self) -> float:
        """Median wall time in seconds."""
        return statistics.median(self.wall)


def measure(
    case: Case, rounds: int, *, only: tuple[str, ...] = ()
) -> tuple[tuple[int, ...], tuple[Any, ...], list[Measurement]]:
    """Run the contenders of `case` in turns.

    Parameters
    ----------
    case : Case
    rounds : int
        Timed runs of each contender.
    only : tuple of str
        Names of the contenders to run; empty: all of the case.

    Returns
    -------
    shape : tuple of int
        Of the data.
    arguments : tuple
        What the contenders were given beside the rows.
    measurements : list of Measurement
        In the order of the case. A contender that cannot do the case has its `refusal` filled in.

    Raises
    ------
    bench.data.Unavailable
        The data is not on this machine.
    """
    measurements = {name: Measurement(name) for name in case.contenders if not only or name in only}
    with tempfile.TemporaryDirectory(prefix="gpuclust-bench-") as folder:
        path = Path(folder) / "rows.npy"
        rows = case.rows()
        arguments = case.arguments(rows)
        np.save(path, rows)
        outcomes = {}
        with workers(list(measurements), _serve, path, case, arguments) as connections:
            for name, worker in connections.items():  # one after the other: warm-up and memory
                answer = ask(worker, "first")
                if "refusal" in answer:
                    measurements[name].refusal = answer["refusal"]
                else:
                    measurements[name].extra_memory = answer["extra_memory"]
                    outcomes[name] = answer["outcome"]
            for name, outcome in case.judged(rows, outcomes).items():
                measurements[name].outcome = outcome
            turns = [name for name in connections if not measurements[name].refusal]
            for _ in range(rounds):
                for name in turns:
                    answer = ask(connections[name], "timed")
                    measurements[name].wall.append(answer["wall"])
                    measurements[name].cpu.append(answer["cpu"])
                turns = turns[1:] + turns[:1]
    return rows.shape, arguments, list(measurements.values())


def threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def restart_peak_memory() -> None:
    """Forget the peak of resident memory of this process so far (Linux, see proc(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Peak resident memory of this process in bytes, since it was last restarted."""
    return _status("VmHWM")


def resident_memory() -> int:
    """Resident memory of this process in bytes, now."""
    return _status("VmRSS")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return 1024 * int(value.split()[0])
    raise KeyError(key)


@contextmanager
def workers(names: list[str], serve: Callable[..., None], *arguments: Any) -> Iterator[dict[str, Connection]]:
    """A process per name that runs ``serve(connection, name, *arguments)``, for as long as the block lasts."""
    context = multiprocessing.get_context("spawn")  # a forked child would inherit our BLAS threads' broken state
    connections, processes = {}, []
    try:
        for name in names:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, name, *arguments), daemon=True)
            process.start()
            theirs.close()  # so that a worker that dies is noticed as the end of the stream
            connections[name] = ours
            processes.append(process)
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        for process in processes:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()


def ask(worker: Connection, what: str) -> dict[str, Any]:
    """Send a worker a request, and wait for its answer; EOFError if its process has died."""
    worker.send(what)
    answer: dict[str, Any] = worker.recv()
    return answer


def _serve(connection: Connection, name: str, path: Path, case: Case, arguments: tuple[Any, ...]) -> None:
    """A worker: load the data, then run the contender whenever asked."""
    run = case.peers[name].run
    try:
        while True:
            what = connection.recv()
            if what == "first":
                rows = np.load(path)
                try:
                    run(*case.warm_up(rows, arguments))  # libraries and compiled code are not the run's memory
                    restart_peak_memory()
                    before = resident_memory()
                    outcome = run(rows, *arguments)
                    extra = peak_memory() - before
                except REFUSALS as error:
                    connection.send({"refusal": f"{type(error).__name__}: {error}".splitlines()[0][:160]})
                    continue
                connection.send({"extra_memory": extra, "outcome": outcome})
                del outcome
            else:
                wall, cpu = time.perf_counter(), time.process_time()
                run(rows, *arguments)
                connection.send({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    except EOFError:  # the parent is done
        connection.close()
