"""Checks a launch's arguments against the kernel's parameters, and lays them out."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Parameter", "marshalled"]

NAMES = {"f": "floating", "i": "integer", "u": "unsigned integer", "b": "bool", "V": "structure"}


class Parameter(ctypes.Structure):
    """`emulation::Parameter` of device/launch.h. Kinds are those of `numpy.dtype.kind`; a pointer has its target's."""

    _fields_ = [
        ("kind", ctypes.c_char),
        ("pointer", ctypes.c_bool),
        ("constant", ctypes.c_bool),
        ("size", ctypes.c_uint),
    ]

    def __str__(self) -> str:
        kind = NAMES[self.kind.decode()] if self.size else "void"
        size = f" of {self.size} bytes" if self.size else ""
        return f"pointer to {'const ' * self.constant}{kind}{size}" if self.pointer else f"{kind}{size}"


def marshalled(kernel: str, parameters: Sequence[Parameter], arguments: Sequence[Any]) -> list[Any]:
    """One ctypes object for each argument, holding what the kernel is to receive.

    Raises
    ------
    TypeError
        The number of arguments, or the type or size of one, is not what the kernel declares.
    ValueError
        An array is not C-contiguous, not aligned, or read-only where the kernel may write.
    """
    if not isinstance(arguments, tuple | list):
        raise TypeError(f"{kernel}: args is a tuple, not {type(arguments).__name__}")
    if len(arguments) != len(parameters):
        raise TypeError(f"{kernel} takes {len(parameters)} arguments, {len(arguments)} given")
    values = []
    for number, (parameter, argument) in enumerate(zip(parameters, arguments, strict=True)):
        place = f"{kernel}: argument {number} ({parameter})"
        values.append(_pointer(place, parameter, argument) if parameter.pointer else _value(place, parameter, argument))
    return values


def _pointer(place: str, parameter: Parameter, argument: Any) -> ctypes.c_void_p:
    if argument is None:
        return ctypes.c_void_p(0)
    if isinstance(argument, np.uint64 | np.int64):  # an address, as `array.data.ptr` gives it
        return ctypes.c_void_p(int(argument))
    if not isinstance(argument, np.ndarray):
        raise TypeError(f"{place}: an array, a NumPy address or None, not {type(argument).__name__}")
    dtype = argument.dtype
    # Raw bytes serve for anything, and a structure's members are not known here.
    if dtype != np.uint8 and parameter.kind != b"V" and not _alike(parameter, dtype):
        raise TypeError(f"{place}: an array of {dtype} given")
    if not argument.flags.c_contiguous:
        raise ValueError(f"{place}: the array is not C-contiguous")
    address = argument.ctypes.data
    if parameter.kind != b"V" and parameter.size and address % parameter.size:
        raise ValueError(f"{place}: the array is not aligned to {parameter.size} bytes")
    if not parameter.constant and not argument.flags.writeable:
        raise ValueError(f"{place}: the array is read-only")
    return ctypes.c_void_p(address)


def _value(place: str, parameter: Parameter, argument: Any) -> Any:
    if not isinstance(argument, np.generic):
        raise TypeError(f"{place}: a NumPy scalar, not {type(argument).__name__}")
    if not _alike(parameter, argument.dtype):
        raise TypeError(f"{place}: a {argument.dtype} given")
    return (ctypes.c_char * parameter.size).from_buffer_copy(argument.tobytes())


def _alike(parameter: Parameter, dtype: np.dtype[Any]) -> bool:
    """Same size and same kind; signed and unsigned are one kind."""
    kinds = {"u": "i"}
    kind = parameter.kind.decode()
    return parameter.size == dtype.itemsize and kinds.get(kind, kind) == kinds.get(dtype.kind, dtype.kind)
