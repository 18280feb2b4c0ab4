"""A stand-in for CuPy on an emulated machine: the calls that the CUDA engine makes, with CuPy's refusals."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..module import Order, Scheduling
from .arrays import CUDA, ndarray, new_array, on_device, unwrapped
from .cuda import cuda_namespace
from .machine import Launched, Machine
from .raw import RawModule

__all__ = ["EmulatedCuPy", "Launched"]

_CONSTANTS = (
    "bool_", "dtype", "float16", "float32", "float64", "inf", "int8", "int16", "int32", "int64", "nan", "newaxis", "pi",
    "uint8", "uint16", "uint32", "uint64", "uintp",
)  # fmt: skip
# Functions that NumPy and CuPy have alike.
_FUNCTIONS = (
    "abs", "add", "all", "any", "argmax", "argmin", "argsort", "clip", "concatenate", "copyto", "cumsum", "divide",
    "dot", "equal", "isfinite", "isnan", "matmul", "max", "maximum", "mean", "min", "minimum", "multiply", "nonzero",
    "rint", "searchsorted", "sort", "sqrt", "square", "stack", "subtract", "sum", "take", "unique", "where",
)  # fmt: skip


class EmulatedCuPy:
    """Give it where the engine takes CuPy (``xp``).

    Every instance is a machine of its own: memory, streams and settings are not shared.

    Parameters
    ----------
    n_devices
        0 raises what the CUDA runtime raises where there is no device.
    capability
        Compute capability; decides the shared memory that a block may ask for.
    n_multiprocessors
        Persistent kernels launch a multiple of it, so few keep tests quick.
    memory
        Bytes of each device; an allocation beyond raises OutOfMemoryError.
    asynchronous, stream_seed
        Whether streams do their work later than it is given to them: as late as CUDA allows, or with a seed at random
        times that CUDA allows (`streams.py`). Both show what the host forgot to wait for.
    order, seed, resident, yields
        How kernels' threads are scheduled, as for `Module`.

    Attributes
    ----------
    machine
        Figures to read or to change during a test: ``memory``, ``used``, ``peak`` (bytes by device), ``launches``.
    scheduling : dict
        order, seed, resident, yields of the launches to come.
    """

    def __init__(
        self,
        *,
        n_devices: int = 1,
        capability: tuple[int, int] = (9, 0),
        n_multiprocessors: int = 2,
        memory: int = 1 << 30,
        asynchronous: bool = False,
        stream_seed: int | None = None,
        order: Order = "fifo",
        seed: int = 1,
        resident: int = 1,
        yields: int = 0,
    ) -> None:
        machine = self.machine = Machine(n_devices, capability, n_multiprocessors, memory, asynchronous, stream_seed)
        self.scheduling = Scheduling(order=order, seed=seed, resident=resident, yields=yields)
        self.cuda = cuda_namespace(machine)
        self.ndarray = ndarray
        self.RawModule = partial(RawModule, machine, self.scheduling)
        self._pool = SimpleNamespace(
            free_bytes=lambda: 0,
            used_bytes=lambda: machine.used[machine.device],
            total_bytes=lambda: machine.used[machine.device],
            free_all_blocks=lambda: None,
        )
        self.__version__ = "14.0.0"

    def __getattr__(self, name: str) -> Any:
        if name in _CONSTANTS:
            return getattr(np, name)
        if name in _FUNCTIONS:
            return partial(self._call, getattr(np, name))
        raise AttributeError(f"the stand-in for CuPy has no {name}")

    def get_default_memory_pool(self) -> Any:
        return self._pool

    # Arrays from nothing

    def empty(self, shape: Any, dtype: Any = float) -> ndarray:
        return new_array(self.machine, shape, dtype)

    def zeros(self, shape: Any, dtype: Any = float) -> ndarray:
        return self.full(shape, 0, dtype)

    def ones(self, shape: Any, dtype: Any = float) -> ndarray:
        return self.full(shape, 1, dtype)

    def full(self, shape: Any, fill_value: Any, dtype: Any = None) -> ndarray:
        array = self.empty(shape, np.asarray(unwrapped(fill_value)).dtype if dtype is None else dtype)
        array.fill(fill_value)
        return array

    def empty_like(self, a: ndarray, dtype: Any = None) -> ndarray:
        return self.empty(a.shape, dtype or a.dtype)

    def zeros_like(self, a: ndarray, dtype: Any = None) -> ndarray:
        return self.zeros(a.shape, dtype or a.dtype)

    def arange(self, *args: Any, dtype: Any = None) -> ndarray:
        return on_device(self.machine, np.arange(*args, dtype=dtype))

    # Arrays from others

    def array(self, a: Any, dtype: Any = None, copy: bool = True) -> ndarray:
        if isinstance(a, ndarray):
            dtype = dtype or a.dtype
            return a.astype(dtype) if copy or dtype != a.dtype else a
        return on_device(self.machine, np.asarray(a, dtype))

    def asarray(self, a: Any, dtype: Any = None) -> ndarray:
        return self.array(a, dtype, copy=False)

    def ascontiguousarray(self, a: Any, dtype: Any = None) -> ndarray:
        array = self.asarray(a, dtype)
        return array if array.flags.c_contiguous else array.copy()

    def asnumpy(self, a: ndarray, stream: Any = None) -> np.ndarray:
        return a.get(stream) if isinstance(a, ndarray) else np.asarray(a)

    def from_dlpack(self, x: Any) -> ndarray:
        """Shares this machine's arrays; what says that it lies on a CUDA device, but lies in host memory, is copied."""
        if isinstance(x, ndarray):
            return ndarray(self.machine, x.memory, x.host)
        if x.__dlpack_device__()[0] != CUDA:
            raise ValueError(f"from_dlpack: {type(x).__name__} is not on a CUDA device")
        return on_device(self.machine, np.from_dlpack(_AsHost(x)))

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            parts = value if isinstance(value, tuple | list) else (value,)
            if any(isinstance(part, np.ndarray) for part in parts):
                raise TypeError(f"xp.{function.__name__}: a host array among the arguments")
        self.machine.stream.drain()
        out = kwargs.get("out")
        result = function(*map(unwrapped, args), **{key: unwrapped(value) for key, value in kwargs.items()})
        if out is not None or result is None:
            return out
        return on_device(self.machine, result)


class _AsHost:
    """A DLPack exporter that says that its memory is the host's."""

    def __init__(self, exporter: Any) -> None:
        self.exporter = exporter

    def __dlpack__(self, **_: Any) -> Any:
        return self.exporter.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0
