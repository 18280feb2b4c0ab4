"""Compiled kernels: sources read from `kernels/`, one module per file and macros and device, launched by name."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.frames import Frames
from gpuclust.engines.cuda.source import kernel_source
from gpuclust.engines.cuda.variants import Variant
from gpuclust.errors import DeviceError

__all__ = ["Kernels"]

_NULL = np.uintp(0)
# One for the process: NVRTC loses its built-in functions when two threads begin to compile at once.
_lock = threading.Lock()
# A launch gets no more dynamic shared memory than this without asking the driver first.
_PLAIN_SHARED_MEMORY = 48 * 1024


class Kernels:
    """The kernels of one device, compiled when they are first launched and then kept.

    Attributes
    ----------
    device : Device
    xp : module
        CuPy.
    frames : Frames
    """

    def __init__(self, device: Device) -> None:
        self.device, self.xp, self.frames = device, device.xp, Frames(device.xp)
        self._modules: dict[Variant, Any] = {}
        self._functions: dict[tuple[Variant, str], Any] = {}

    def blocks(self, work: int, per_multiprocessor: int) -> int:
        """Blocks of a persistent grid: what the device holds at once, and no more than there is work for."""
        return max(1, min(work, self.device.n_multiprocessors * per_multiprocessor))

    def launch(
        self,
        variant: Variant,
        name: str,
        grid: int | tuple[int, int],
        threads: int,
        *args: Any,
        shared_memory: int = 0,
    ) -> None:
        """Launch kernel ``name`` on the current stream.

        ``args`` are device arrays, NumPy scalars of the parameters' types, or None for a null pointer.

        Raises
        ------
        DeviceError
            The source does not compile: names the file, the architecture and the first error.
        """
        function = self._function(variant, name, shared_memory)
        blocks = (grid,) if isinstance(grid, int) else grid
        function(blocks, (threads,), tuple(_NULL if arg is None else arg for arg in args), shared_mem=shared_memory)

    def _function(self, variant: Variant, name: str, shared_memory: int) -> Any:
        with _lock:
            function = self._functions.get((variant, name))
            if function is None:
                function = self._functions[variant, name] = self._compiled(variant, name)
            if shared_memory > _PLAIN_SHARED_MEMORY and function.max_dynamic_shared_size_bytes < shared_memory:
                function.max_dynamic_shared_size_bytes = shared_memory
            return function

    def _compiled(self, variant: Variant, name: str) -> Any:
        cuda = self.xp.cuda
        if variant not in self._modules:
            self._modules[variant] = self.xp.RawModule(
                code=kernel_source(variant.file), options=variant.options, backend="nvrtc"
            )
        try:
            return self._modules[variant].get_function(name)
        except cuda.compiler.CompileException as error:
            lines = str(error).splitlines()
            first = next((line for line in lines if "error" in line), lines[0] if lines else "")
            raise DeviceError(
                f"kernels/{variant.file}.cu ({variant.label}) does not compile for sm_{self.device.capability}: "
                f"{first}. CuPy needs an NVRTC and headers of its own CUDA version: "
                f"install gpuclust[cuda{cuda.runtime.runtimeGetVersion() // 1000}]."
            ) from error
