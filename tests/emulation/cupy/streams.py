"""Streams and events.

A synchronous machine does everything at once. On an asynchronous one, kernels and copies that a device would do later
are done as late as may be: when the host waits for them, or when another operation that must come after them is done.
What the host forgot to order then shows: a result read too early is poison, a staging buffer filled again too early
sends the wrong rows. What comes too early only, such as a copy that overwrites what a kernel still reads, shows with
a seed: then streams advance at random.
"""

import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from .errors import CUDADriverError, CUDARuntimeError
from .machine import Machine

__all__ = ["Event", "Stream", "external_stream", "get_elapsed_time"]

ADVANCE = 0.25  # chance that a stream advances when an operation is given to any


class Stream:
    """`cupy.cuda.Stream` on the current device."""

    _count = 0

    def __init__(self, machine: Machine, null: bool = False, non_blocking: bool = False) -> None:
        machine.check_device(machine.device)
        self.machine, self.device_id = machine, machine.device
        self.is_null, self.is_non_blocking = null, non_blocking
        self._waiting: deque[Callable[[], None]] = deque()
        self.n_done = self.n_submitted = 0
        Stream._count += 1
        self.ptr = 0 if null else Stream._count
        self._entered: list[Any] = []
        machine.streams.add(self)

    def submit(self, operation: Callable[[], None]) -> None:
        """Do the operation after all that this stream was given before: now, or not yet."""
        with self.machine.lock:
            self.n_submitted += 1
            self._waiting.append(operation)
            self.machine.busy.add(self)  # work outlives its stream
            if self.is_null or not self.machine.asynchronous:
                self.drain()
            elif self.machine.random:
                self._advance_some(self.machine.random)

    def _advance_some(self, random: Random) -> None:
        """Let streams advance: each at times only, or what a device does late would never be seen."""
        for stream in sorted(self.machine.busy, key=lambda stream: stream.ptr):
            if random.random() < ADVANCE:
                stream.drain(random.randint(stream.n_done, stream.n_submitted))

    def drain(self, until: int | None = None) -> None:
        """Do what waits, up to the `until`-th operation ever submitted."""
        with self.machine.lock:
            if self.is_null:  # the legacy default stream comes after all that blocking streams were given
                for stream in list(self.machine.streams):
                    if stream.device_id == self.device_id and not stream.is_null and not stream.is_non_blocking:
                        stream.drain()
            last = self.n_submitted if until is None else until
            while self.n_done < last:
                operation = self._waiting.popleft()
                self.n_done += 1
                operation()
            if self.done:
                self.machine.busy.discard(self)

    @property
    def done(self) -> bool:
        return self.n_done == self.n_submitted

    def synchronize(self) -> None:
        self.drain()

    def record(self, event: "Event | None" = None) -> "Event":
        event = event or Event(self.machine)
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        stream, until = event.recorded()
        self.submit(lambda: stream.drain(until))

    def use(self) -> "Stream":
        self._check_device()
        self.machine.stream = self
        return self

    def __enter__(self) -> "Stream":
        self._check_device()
        self._entered.append(self.machine.stream)
        self.machine.stream = self
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.stream = self._entered.pop()

    def _check_device(self) -> None:
        if self.device_id != self.machine.device:
            raise CUDADriverError(400)


def external_stream(machine: Machine, ptr: int, device_id: int = -1) -> Stream:
    """`cupy.cuda.ExternalStream`: the stream of that address, which somebody else made."""
    if device_id not in (-1, machine.device):
        raise CUDADriverError(400)
    if ptr == 0:
        return machine.null_streams[machine.device]
    for stream in machine.streams:
        if stream.ptr == ptr and stream.device_id == machine.device:
            return stream
    stream = Stream(machine)
    stream.ptr = ptr
    return stream


class Event:
    """`cupy.cuda.Event`. Waiting for an event that was never recorded is an error here; CUDA takes it as done."""

    def __init__(
        self, machine: Machine, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.machine, self.timing = machine, not disable_timing
        self.time = 0.0
        self._recorded: tuple[Stream, int] | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self.machine.stream

        def pass_by() -> None:
            self.time = time.perf_counter()

        self._recorded = stream, stream.n_submitted + 1
        stream.submit(pass_by)

    def recorded(self) -> tuple[Stream, int]:
        """The stream, and how many of its operations come before the event is done."""
        if self._recorded is None:
            raise RuntimeError("this event was never recorded")
        return self._recorded

    def synchronize(self) -> None:
        stream, until = self.recorded()
        stream.drain(until)

    @property
    def done(self) -> bool:
        stream, until = self.recorded()
        return stream.n_done >= until


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two events that are done."""
    if not (start.timing and end.timing):
        raise CUDARuntimeError(1)
    if not (start.done and end.done):
        raise CUDARuntimeError(600)
    return 1e3 * (end.time - start.time)
