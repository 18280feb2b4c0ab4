"""Where torch computes: the engine's choice of device, in torch's words."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from gpuclust.config import gpu_numbers, resolve_device
from gpuclust.engines.select import Choice, choose, get_engine
from gpuclust.errors import DeviceError, FallbackWarning, MissingDependencyError, ParameterError

if TYPE_CHECKING:
    import torch

__all__ = ["Choice", "one_thread", "require_torch", "same_threads", "torch_device"]


def require_torch() -> None:
    """Import torch for the first time, its threads set to sleep while they have nothing to do.

    By default OpenMP's threads spin at the end of every parallel loop, and a small network has many: beside other busy
    processes, training takes up to 20 times as long. An environment that has OMP_WAIT_POLICY, and a torch that is
    loaded already, keep what they have.

    Raises
    ------
    MissingDependencyError
        torch cannot be imported.
    """
    unset = "OMP_WAIT_POLICY" not in os.environ
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the library is loaded, then no more
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"deep clustering needs torch, which cannot be imported: pip install 'gpuclust[deep]' ({error})."
        ) from error
    finally:
        if unset:
            del os.environ["OMP_WAIT_POLICY"]


def torch_device(device: str | None = None, *, data_device: str | None = None, work: int | None = None) -> torch.device:
    """The device of `gpuclust.engines.get_engine` for the same arguments, as torch's.

    Raises
    ------
    DeviceError
        As `get_engine`; or it is a GPU that this build of torch cannot use, and it was asked for, or the data lies
        there.
    ParameterError
        Several GPUs are named: a network is trained on one.

    Warns
    -----
    FallbackWarning
        Once in a process: the GPU would have been taken, but torch cannot use it.
    """
    import torch

    numbers = gpu_numbers(resolve_device(device))
    if len(numbers) > 1:
        raise ParameterError(f"device={resolve_device(device)!r} names several GPUs; networks are trained on one.")
    engine = get_engine(device, data_device=data_device, work=work)  # announces its own falling back
    if engine.name == "cpu":
        return torch.device("cpu")
    name = choose(device, data_device=data_device, work=work).device
    if torch.cuda.is_available():
        return torch.device(name)
    why = "was built for the CPU alone" if torch.version.cuda is None else "finds no GPU that it can use"
    if data_device is not None or resolve_device(device) != "auto":
        raise DeviceError(
            f"{name} cannot be used by torch {torch.__version__}, which {why}: install a build for CUDA "
            "(https://pytorch.org/get-started), or use device='cpu' with rows in host memory."
        )
    if _unsaid.acquire(blocking=False):
        warnings.warn(
            f"networks are trained on the CPU: torch {torch.__version__} {why}, although gpuclust can use {name}.",
            FallbackWarning,
            stacklevel=4,
        )
    return torch.device("cpu")


@contextmanager
def same_threads() -> Iterator[None]:
    """Give torch back the number of threads that it has now: numba, when it first starts its own, sets torch's too.

    On the CPU the bits of training depend on that number.
    """
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on the thread that calls, as what is short is not worth sharing."""
    import torch

    with same_threads():
        torch.set_num_threads(1)
        yield


_unsaid = Lock()  # taken, for good, by the one warning of this process
