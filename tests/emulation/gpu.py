"""Kernel tests on a GPU: the same bodies, with kernels that NVRTC compiles as it does for the engine.

`pytest tests/kernels --kernels=gpu` puts `GpuModule` in the place of `Module`: a launch copies the memory of its NumPy
arguments to the GPU, and back when it has ended. `--kernels=stand-in` takes the same way through the stand-in for CuPy,
so that it is tried where there is no GPU. What only the emulator can do skips the test: other orders of threads,
sanitizers.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from gpuclust.engines.cuda.source import kernel_source
from gpuclust.engines.cuda.variants import Variant

from .module import kernel_file

__all__ = ["GpuModule", "take_over"]

_PLAIN_SHARED_MEMORY = 48 * 1024
_WARPGROUPS = (9, 0)  # compute capability of wgmma
_TENSOR_CORES = 8  # compute capability, the major number, of those that screens of float16 run on


def take_over(xp: Any) -> None:
    """Have tests that are imported from now on run their kernels by ``xp``: CuPy or its stand-in."""
    package: Any = sys.modules[__package__]
    package.Module = functools.partial(GpuModule, xp)
    package.sanitized = package.sanitize.sanitized = _sanitized


def _sanitized(sanitizer: str, *_: Any, **__: Any) -> NoReturn:
    pytest.skip(f"{sanitizer} watches the emulator")


class GpuModule:
    """Stands for `Module`. Of the scheduling, only an order of threads that a GPU cannot be told matters."""

    def __init__(
        self,
        xp: Any,
        path: str | os.PathLike[str],
        defines: Mapping[str, object] | None = None,
        sanitizer: str | None = None,
        order: str = "fifo",
        **_: int,
    ) -> None:
        if sanitizer:
            _sanitized(sanitizer)
        macros = {name: str(value) for name, value in (defines or {}).items()}
        if order != "fifo":
            pytest.skip(f"order={order!r}: a GPU runs threads in an order of its own")
        if _properties(xp)["major"] < _TENSOR_CORES and macros.get("SCREEN_HALF") == "1":
            pytest.skip("screens of float16 need compute capability 8.0")
        if "SCREEN_WGMMA" in macros and (_properties(xp)["major"], _properties(xp)["minor"]) != _WARPGROUPS:
            pytest.skip("wgmma needs compute capability 9.0")
        self.xp, self._module = xp, _compiled(xp, kernel_file(Path(path)), tuple(macros.items()))

    def get_function(self, name: str) -> "GpuFunction":
        """The kernel of that name."""
        return GpuFunction(self.xp, self._module.get_function(name), name)


@functools.cache
def _compiled(xp: Any, file: Path, macros: tuple[tuple[str, str], ...]) -> Any:
    code = kernel_source(file.stem, file.parent)
    return xp.RawModule(code=code, options=Variant(file.stem, macros).options, backend="nvrtc")


class GpuFunction:
    """Stands for `Function`: calling it launches the kernel and waits."""

    def __init__(self, xp: Any, kernel: Any, name: str) -> None:
        self.xp, self._kernel, self.name = xp, kernel, name

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        memory: dict[int, _Memory] = {}
        values = tuple(self._argument(number, arg, memory) for number, arg in enumerate(args))
        if shared_mem > _PLAIN_SHARED_MEMORY:
            self._ask_for(shared_mem)
        self._kernel(grid, block, values, shared_mem=shared_mem)
        for copied in memory.values():
            copied.back()

    def _argument(self, number: int, argument: Any, memory: "dict[int, _Memory]") -> Any:
        if argument is None:
            return np.uintp(0)
        if isinstance(argument, np.generic):
            return argument
        if not isinstance(argument, np.ndarray):
            raise TypeError(
                f"{self.name}: argument {number}: an array, a NumPy scalar or None, not {type(argument).__name__}"
            )
        owner = _owner(argument)
        first = owner.ctypes.data
        if first not in memory:
            memory[first] = _Memory(self.xp, owner)
        return np.uintp(memory[first].device.data.ptr + argument.ctypes.data - first)

    def _ask_for(self, shared_memory: int) -> None:
        most = _properties(self.xp)["sharedMemPerBlockOptin"]
        if shared_memory > most:
            pytest.skip(f"{self.name}: {shared_memory} bytes of shared memory, of which this GPU has {most}")
        self._kernel.max_dynamic_shared_size_bytes = shared_memory


class _Memory:
    """The memory of an array and all its views, as bytes on the device: what overlaps or is not aligned is so there."""

    def __init__(self, xp: Any, owner: np.ndarray) -> None:
        self._host = np.frombuffer((ctypes.c_uint8 * owner.nbytes).from_address(owner.ctypes.data), np.uint8)
        self._writeable = owner.flags.writeable and owner.nbytes
        # An empty array's address is no null pointer either.
        self.device = xp.asarray(self._host) if owner.nbytes else xp.empty(1, np.uint8)

    def back(self) -> None:
        if self._writeable:
            self.device.get(out=self._host)


def _owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _properties(xp: Any) -> dict[str, Any]:
    return xp.cuda.runtime.getDeviceProperties(xp.cuda.runtime.getDevice())
