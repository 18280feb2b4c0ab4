"""Where gpuclust computes: argument > context manager > `set_device` > GPUCLUST_DEVICE > "auto".

A device is named "auto" (the GPU where there is one, else the CPU), "cpu", "cuda" (the GPU where the data lies, else
the current one), "cuda:N" or "cuda:N,M" (several GPUs, each with a part of the rows). This module only decides the
name; `gpuclust.engines.get_engine` turns it into an engine.

Examples
--------
>>> from gpuclust import config
>>> config.resolve_device()
'auto'
>>> with config.device("cpu"):
...     config.resolve_device(), config.resolve_device("cuda:1")
('cpu', 'cuda:1')
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gpuclust.errors import ParameterError

__all__ = ["DEVICE_VARIABLE", "device", "gpu_numbers", "resolve_device", "set_device"]

DEVICE_VARIABLE = "GPUCLUST_DEVICE"

_NUMBER = "(0|[1-9][0-9]*)"
_NAME = re.compile(f"auto|cpu|cuda(:{_NUMBER}(,{_NUMBER})*)?")

# The context manager binds a context variable, so that concurrent threads and asyncio tasks do not see each other's
# choice. The default is one plain name for the whole process: new threads start with an empty context.
_in_context: ContextVar[str | None] = ContextVar("gpuclust_device", default=None)
_process_default: str | None = None


@contextmanager
def device(name: str) -> Iterator[str]:
    """Compute on `name` inside a `with` block, in this thread or asyncio task.

    Parameters
    ----------
    name : str
        "auto", "cpu", "cuda", "cuda:N" or "cuda:N,M".

    Yields
    ------
    str
        The name.

    Raises
    ------
    ParameterError
        `name` is none of these.
    """
    token = _in_context.set(_checked(name, "device"))
    try:
        yield name
    finally:
        _in_context.reset(token)


def set_device(name: str | None) -> None:
    """Set the default device of this process; None removes it, so that GPUCLUST_DEVICE decides again.

    Parameters
    ----------
    name : str or None
        "auto", "cpu", "cuda", "cuda:N", "cuda:N,M", or None.

    Raises
    ------
    ParameterError
        `name` is none of these.
    """
    global _process_default
    _process_default = None if name is None else _checked(name, "device")


def resolve_device(argument: str | None = None) -> str:
    """Return the name of the device to use.

    Parameters
    ----------
    argument : str or None
        What the caller's `device` parameter says; None leaves the choice to the context manager, then to `set_device`,
        then to the environment variable GPUCLUST_DEVICE, and last to "auto".

    Returns
    -------
    str
        "auto", "cpu", "cuda", "cuda:N" or "cuda:N,M".

    Raises
    ------
    ParameterError
        The argument or the environment variable is not a device name.
    """
    if argument is not None:
        return _checked(argument, "device")
    chosen = _in_context.get() or _process_default
    if chosen is not None:
        return chosen
    from_environment = os.environ.get(DEVICE_VARIABLE)
    return _checked(from_environment, DEVICE_VARIABLE) if from_environment else "auto"


def gpu_numbers(name: str) -> tuple[int, ...]:
    """Return the numbers in the name of a device: (0, 1) for "cuda:0,1", none for "cuda", "cpu" and "auto"."""
    numbers = name.partition(":")[2]
    return tuple(map(int, numbers.split(","))) if numbers else ()


def _checked(name: object, parameter: str) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name) is not None:
        numbers = gpu_numbers(name)
        if len(set(numbers)) == len(numbers):
            return name
    raise ParameterError(
        f'{parameter}={name!r} should be "auto", "cpu", "cuda", "cuda:N" or "cuda:N,M", N and M the numbers of '
        "different GPUs."
    )
