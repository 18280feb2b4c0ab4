"""Which engine runs: "auto", "cpu", "cuda", "cuda:1", "cuda:0,1" -> Engine."""

from __future__ import annotations

import warnings
from functools import cache
from threading import Lock
from typing import NamedTuple

from gpuclust.config import gpu_numbers, resolve_device
from gpuclust.engines.base import Engine
from gpuclust.engines.cuda.discovery import current_device, discover, open_device
from gpuclust.errors import DeviceError, FallbackWarning

__all__ = ["SMALL_WORK", "Choice", "choose", "get_engine"]

# Rows x clusters x features below which "auto" leaves data in host memory to the CPU. An estimate, not measured on a
# GPU yet: the CPU needs about 1 ms for such a pass, so that a fit of 100 passes is over before a CUDA context exists
# and the kernels are loaded (some 0.3 s).
SMALL_WORK = 10**8


class Choice(NamedTuple):
    """A device ("cpu", "cuda:1", "cuda:0,1"), why it is that one, and whether it is a fallback worth a warning."""

    device: str
    why: str
    fallback: bool = False


def get_engine(device: str | None = None, *, data_device: str | None = None, work: int | None = None) -> Engine:
    """The engine of ``device``; None takes the configured one (:mod:`gpuclust.config`).

    ``"auto"`` takes, in this order:

    1. the GPU on which the data lies;
    2. the CPU, silently, for work below ``SMALL_WORK``, which is done before a GPU has started;
    3. CuPy's current GPU, or the first one of compute capability 7.5 or newer;
    4. the CPU. Where a GPU was to be expected, one `FallbackWarning` per process names the cause. It was if an NVIDIA
       driver is loaded or CuPy is installed; on a machine with neither the CPU is what was meant, as it is when
       CUDA_VISIBLE_DEVICES hides the GPUs (empty or -1).

    Parameters
    ----------
    device : str, optional
        "auto", "cpu", "cuda" (the GPU where the data lies, else CuPy's current one), "cuda:N", or several GPUs,
        "cuda:N,M", each of which gets a part of the rows.
    data_device : str, optional
        "cuda:N" where the rows lie in the memory of a GPU; None: host memory.
    work : int, optional
        Rows x clusters x features of one pass. None: unknown, counts as large.

    Raises
    ------
    ParameterError
        The name is not a device.
    DeviceError
        The GPU that was asked for, or on which the data lies, does not exist or cannot be used; or the data lies on
        another device than was asked for.
    """
    choice = choose(device, data_device=data_device, work=work)
    if choice.device != "cpu":
        try:
            return _cuda(gpu_numbers(choice.device))
        except DeviceError as error:
            if data_device is not None or resolve_device(device) != "auto":
                raise
            choice = Choice("cpu", str(error).rstrip("."), fallback=True)
    if choice.fallback:
        _warn_once(choice.why)
    return _cpu()


def choose(device: str | None = None, *, data_device: str | None = None, work: int | None = None) -> Choice:
    """The device that `get_engine` would use, and why; nothing is started on it.

    Parameters and errors are those of `get_engine`.
    """
    name = resolve_device(device)
    if name == "auto":
        return _automatic(data_device, work)
    if data_device is not None and name not in ("cuda", data_device):
        raise DeviceError(
            f"device={name!r}, but X lies on {data_device}: use device={data_device!r} or 'auto', or bring X to the "
            "host (X.cpu() for torch, cupy.asnumpy(X) for CuPy)."
        )
    if name == "cpu":
        return Choice("cpu", "device 'cpu' was asked for")
    numbers = gpu_numbers(data_device or name)
    obstacle = _obstacle(numbers)
    if obstacle:
        raise DeviceError(f"device={name!r} cannot be used: {obstacle}. Or use device='cpu' or 'auto'.")
    return Choice(_name(numbers or (current_device(),)), f"device {name!r} was asked for")


def _automatic(data_device: str | None, work: int | None) -> Choice:
    if data_device is not None:
        obstacle = _obstacle(gpu_numbers(data_device))
        if obstacle:
            raise DeviceError(
                f"X lies on {data_device}, where gpuclust cannot compute: {obstacle}. Or bring X to the host: X.cpu() "
                "for torch, cupy.asnumpy(X) for CuPy."
            )
        return Choice(data_device, f"the data lies on {data_device}")
    if work is not None and work < SMALL_WORK:
        return Choice("cpu", "the problem is small: the CPU is done before a GPU has started")
    found = discover()
    if found.cause:
        if not found.expected:
            return Choice("cpu", f"no NVIDIA GPU is expected here: {found.cause}")
        return Choice("cpu", found.cause, fallback=True)
    current = found.devices[current_device()]
    chosen = current if current.usable else found.usable[0]
    return Choice(_name((chosen.number,)), str(chosen))


def _obstacle(numbers: tuple[int, ...]) -> str:
    """Why these GPUs (none: the current one) cannot be used; empty if they can."""
    found = discover()
    if found.cause:
        return found.cause
    for number in numbers or (current_device(),):
        if number >= len(found.devices):
            return f"there is no GPU {number}; the number of CUDA devices is {len(found.devices)}, counted from 0"
        if not found.devices[number].usable:
            return f"{found.devices[number]} is older than sm_75 (Turing)"
    return ""


def _name(numbers: tuple[int, ...]) -> str:
    return f"cuda:{','.join(map(str, numbers))}"


@cache
def _cpu() -> Engine:
    from gpuclust.engines.cpu import CpuEngine

    return CpuEngine()


@cache
def _cuda(numbers: tuple[int, ...]) -> Engine:
    for number in numbers:
        open_device(number)
    if len(numbers) == 1:
        from gpuclust.engines.cuda.engine import CudaEngine

        return CudaEngine(numbers[0])
    from gpuclust.engines.cuda.split import SplitCudaEngine

    return SplitCudaEngine(list(numbers))


_unsaid = Lock()  # taken, for good, by the one warning of this process


def _warn_once(cause: str) -> None:
    if _unsaid.acquire(blocking=False):
        warnings.warn(
            f"gpuclust computes on the CPU: {cause}. Results are the same; device='cpu' or GPUCLUST_DEVICE=cpu asks "
            "for it without this warning.",
            FallbackWarning,
            stacklevel=5,  # the caller of an estimator's method
        )
