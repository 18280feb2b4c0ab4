"""Device arrays over NumPy. As with CuPy's, none becomes a host array by itself: NumPy's functions refuse them."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .devices import Device
from .machine import Machine, Memory

__all__ = ["MemoryPointer", "ndarray", "new_array", "on_device", "unwrapped"]

CUDA = 2  # DLPack's device type


class MemoryPointer:
    """`cupy.cuda.MemoryPointer`: an address, and the allocation that keeps it alive."""

    def __init__(self, ptr: int, mem: Memory) -> None:
        self.ptr, self.mem = ptr, mem
        self.device_id = mem.device


class ndarray(NDArrayOperatorsMixin):
    """`cupy.ndarray`. Methods not defined here are NumPy's, from a list: those that both libraries have alike."""

    def __init__(self, machine: Machine, memory: Memory, host: np.ndarray) -> None:
        self.machine, self.memory = machine, memory
        self.host = host  # the elements themselves, in the device's memory

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self.host.ctypes.data if self.host.size else 0, self.memory)

    @property
    def device(self) -> Device:
        return Device(self.machine, self.memory.device)

    @property
    def base(self) -> Any:
        return None if self.host.nbytes == self.memory.size else self.memory

    @property
    def T(self) -> "ndarray":
        return self._wrapped(self.host.T)

    def __getattr__(self, name: str) -> Any:
        if name in _ATTRIBUTES:
            return getattr(self.host, name)
        if name in _METHODS:
            return lambda *args, **kwargs: self._computed(getattr(self.host, name), *args, **kwargs)
        raise AttributeError(f"the stand-in for cupy.ndarray has no {name}")

    # To and from the host

    def get(
        self,
        stream: Any = None,
        order: Literal["C", "F", "A"] = "C",
        out: np.ndarray | None = None,
        blocking: bool = True,
    ) -> Any:
        """Copy to the host. With blocking=False, the copy into a pinned `out` is done in the stream's own time."""
        stream = stream or self.machine.stream
        if out is None:
            stream.drain()
            return self.host.copy(order)
        if type(out) is not np.ndarray or out.dtype != self.dtype or out.shape != self.shape:
            raise ValueError(f"out must be a host array of {self.dtype} and shape {self.shape}")
        if not out.flags.c_contiguous:
            raise RuntimeError("out must be C-contiguous")
        stream.submit(lambda: np.copyto(out, self.host))
        if blocking or not self.machine.is_pinned(out.ctypes.data, out.nbytes):
            stream.drain()
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy from the host: a pinned array is read in the stream's own time, any other one now."""
        if type(arr) not in (np.ndarray, np.memmap):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.host.flags.c_contiguous or self.host.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        pinned = arr.flags.c_contiguous and self.machine.is_pinned(arr.ctypes.data, arr.nbytes)
        source = arr if pinned else arr.copy()
        (stream or self.machine.stream).submit(lambda: np.copyto(self.host, source))

    def fill(self, value: Any) -> None:
        scalar = unwrapped(value)
        self.machine.stream.submit(lambda: self.host.fill(scalar))

    def item(self) -> Any:
        self.machine.stream.drain()
        return self.host.item()

    def tolist(self) -> Any:
        self.machine.stream.drain()
        return self.host.tolist()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Iterator["ndarray"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"emulated {self.host!r}"

    # Elements

    def __getitem__(self, key: Any) -> "ndarray":
        if isinstance(key, slice):  # a view: nothing is computed, and nothing waited for
            return self._wrapped(self.host[key])
        return self._computed(self.host.__getitem__, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            whole = key is Ellipsis or (isinstance(key, slice) and key == slice(None))
            if not whole or value.dtype != self.dtype or value.shape != self.shape:
                raise ValueError("a host array is assigned to a whole device array of its own dtype and shape only")
            self.set(value)
            return
        key, value = unwrapped(key), unwrapped(value)
        self.machine.stream.submit(lambda: self.host.__setitem__(key, value))

    # Arithmetic

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for operand in inputs:
            if isinstance(operand, np.ndarray):
                raise TypeError(f"Unsupported type {type(operand)}: a host array in an operation on the device")
        out = kwargs.get("out", ())
        result = self._computed(getattr(ufunc, method), *inputs, **kwargs)
        return out[0] if out else result

    def __array_function__(self, function: Callable[..., Any], *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given a device array: use xp.{function.__name__}")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    # Exchange

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self.host.flags.c_contiguous else self.host.strides
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": strides,
            "version": 3,
            "stream": self.machine.stream.ptr or 1,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.memory.device

    def __dlpack__(self, **_: Any) -> Any:
        self.machine.stream.drain()
        return self.host.__dlpack__()

    def _computed(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.machine.stream.drain()
        return self._wrapped(function(*map(unwrapped, args), **{k: unwrapped(v) for k, v in kwargs.items()}))

    def _wrapped(self, result: Any) -> Any:
        """A view of this array stays in its memory; anything else gets memory of its own."""
        if isinstance(result, np.ndarray) and result.nbytes:
            first, end = self.memory.ptr, self.memory.ptr + self.memory.size
            if first <= result.ctypes.data < end:
                return ndarray(self.machine, self.memory, result)
        return on_device(self.machine, result)


_ATTRIBUTES = {"dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"}
_METHODS = {
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumsum", "dot", "max", "mean", "min",
    "nonzero", "ravel", "reshape", "sum", "take", "transpose", "view",
}  # fmt: skip


def new_array(machine: Machine, shape: Any, dtype: Any) -> ndarray:
    """Unset memory."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {dtype}")
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    memory = Memory(machine, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return ndarray(machine, memory, np.ndarray(shape, dtype, memory.buffer()))


def on_device(machine: Machine, values: Any) -> Any:
    """A copy on the device; of a tuple, its parts."""
    if isinstance(values, tuple):
        return tuple(on_device(machine, value) for value in values)
    host = np.asarray(values)
    array = new_array(machine, host.shape, host.dtype)
    array.host[...] = host
    return array


def unwrapped(value: Any) -> Any:
    """The elements of device arrays, in tuples and lists too; what is no device array stays."""
    if isinstance(value, ndarray):
        return value.host
    if isinstance(value, tuple | list):
        return type(value)(map(unwrapped, value))
    return value
