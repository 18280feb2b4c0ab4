"""How long each kernel runs: a CuPy that records an event before and after every launch of a `RawModule`'s functions.

Put in place of the module ``cupy`` before the engine is built, in a process of its own: the events cost a few
microseconds a launch, so that these runs are not the ones that are timed as a whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["KernelTimes", "RecordingCupy", "recording"]


@dataclass
class KernelTimes:
    """What one kernel took.

    ``milliseconds`` of each launch, in order; ``options`` of its module, which name the dtypes it was compiled for.
    """

    name: str
    options: tuple[str, ...]
    milliseconds: list[float]


class RecordingCupy:
    """CuPy with a `RawModule` whose functions are timed; everything else is CuPy's own."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._launches: list[tuple[str, tuple[str, ...], Any, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cupy, name)

    def RawModule(self, *args: Any, **kwargs: Any) -> Any:
        return _Module(self, self._cupy.RawModule(*args, **kwargs), tuple(kwargs.get("options", ())))

    def launch(self, name: str, options: tuple[str, ...], function: Any, args: Any, kwargs: Any) -> None:
        """Launch between two events on the current stream."""
        start, stop = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        start.record()
        function(*args, **kwargs)
        stop.record()
        self._launches.append((name, options, start, stop))

    def times(self) -> list[KernelTimes]:
        """What every kernel took since the last call, the longest in total first."""
        self._cupy.cuda.runtime.deviceSynchronize()
        found: dict[tuple[str, tuple[str, ...]], KernelTimes] = {}
        for name, options, start, stop in self._launches:
            times = found.setdefault((name, options), KernelTimes(name, options, []))
            times.milliseconds.append(float(self._cupy.cuda.get_elapsed_time(start, stop)))
        self._launches.clear()
        return sorted(found.values(), key=lambda times: -sum(times.milliseconds))


class _Module:
    def __init__(self, recorder: RecordingCupy, module: Any, options: tuple[str, ...]) -> None:
        self._recorder, self._module, self._options = recorder, module, options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def get_function(self, name: str) -> Any:
        return _Function(self._recorder, self._module.get_function(name), name, self._options)


class _Function:
    """A kernel: launched through the recorder; its attributes, also those that are set, are the real one's."""

    def __init__(self, recorder: RecordingCupy, function: Any, name: str, options: tuple[str, ...]) -> None:
        self.__dict__.update(_recorder=recorder, _function=function, _name=name, _options=options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self._recorder.launch(self._name, self._options, self._function, args, kwargs)


@contextmanager
def recording() -> Iterator[RecordingCupy]:
    """Let `import cupy` find a recording one in this block."""
    import cupy

    recorder: Any = RecordingCupy(cupy)
    sys.modules["cupy"] = recorder
    try:
        yield recorder
    finally:
        sys.modules["cupy"] = cupy
