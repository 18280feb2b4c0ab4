"""`cupy.RawModule` and its kernels, built and run by the emulator."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..build import EmulationError
from ..module import Function, Module, Scheduling
from .arrays import ndarray
from .errors import CompileException, CUDADriverError
from .machine import Launched, Machine

__all__ = ["RawKernel", "RawModule"]

PLAIN_SHARED = 48 * 1024  # dynamic shared memory that a launch may have without asking
INVALID_VALUE = 1  # of CUresult


class RawModule:
    """Compiles at the first `get_function`, as CuPy does. Of the options, the macros count."""

    def __init__(
        self,
        machine: Machine,
        scheduling: Scheduling,
        code: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(f"the stand-in for RawModule does not know {sorted(unknown)}")
        if not all(isinstance(option, str) for option in options) or isinstance(options, str):
            raise TypeError("options is a tuple of strings")
        self.machine, self.scheduling = machine, scheduling
        self.code, self.options, self.backend = code, tuple(options), backend

    @cached_property
    def _module(self) -> Module:
        macros = [option[2:].partition("=") for option in self.options if option.startswith("-D")]
        defines = {name: value if equals else None for name, equals, value in macros}
        named = re.match(r'#line 1 "(\w+)\.cu"', self.code)  # as gpuclust.engines.cuda.source writes it
        name = named[1] if named else "raw"
        try:
            return Module(name, defines, code=self.code, shared_limit=self.machine.shared_memory)
        except EmulationError as error:
            raise CompileException(str(error), self.code, name, self.options, self.backend) from error

    def get_function(self, name: str) -> "RawKernel":
        return RawKernel(self.machine, self.scheduling, self._module.get_function(name))


class RawKernel:
    """Launches on the current stream."""

    def __init__(self, machine: Machine, scheduling: Scheduling, function: Function) -> None:
        self.machine, self.scheduling, self._function = machine, scheduling, function
        self.name, self.max_threads_per_block = function.name, function.max_threads
        self._max_dynamic_shared = PLAIN_SHARED

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._max_dynamic_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > self.machine.shared_memory:
            raise CUDADriverError(INVALID_VALUE)
        self._max_dynamic_shared = size

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        if shared_mem > self._max_dynamic_shared:
            raise CUDADriverError(INVALID_VALUE)
        prepared = self._function.prepared(grid, block, tuple(map(self._argument, args)), shared_mem, self.scheduling)
        self.machine.launches.append(Launched(self.name, grid, block, shared_mem))

        def launch(_alive: Any = args) -> None:  # arrays live until the kernel has run
            prepared()

        self.machine.stream.submit(launch)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            raise TypeError(f"{self.name}: a host array among the arguments")
        if not isinstance(value, ndarray):
            return value
        if value.memory.device != self.machine.device:
            raise ValueError(f"{self.name}: an array of device {value.memory.device} on device {self.machine.device}")
        return value.host
