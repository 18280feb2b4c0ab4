"""One CUDA device as the engine sees it: CuPy, the device's figures, and errors as gpuclust's.

CuPy is used through ``Device.xp`` alone, so that the tests can put an emulated device in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from gpuclust._cancel import checkpoint
from gpuclust.engines.cuda import pool
from gpuclust.errors import DeviceError, DeviceMemoryError

__all__ = ["Device", "on_device"]

Method = TypeVar("Method", bound=Callable[..., Any])


class Device:
    """A CUDA device.

    Attributes
    ----------
    xp : module
        CuPy.
    number : int
    capability : int
        Compute capability as one number: 90 for sm_90.
    n_multiprocessors : int
    has_wgmma, wgmma : bool
        Whether settle's float16 tiles can be, and are, those of `gpuclust.engines.cuda.warpgroups`. They are not until
        a GPU has passed their tests (tests/kernels/test_wgmma.py): set ``wgmma`` to try and to compare.
    shared_memory : int
        Most bytes of shared memory that a block may ask for.
    """

    def __init__(self, number: int, xp: Any = None) -> None:
        if xp is None:
            import cupy

            xp = cupy
        self.xp, self.number = xp, number
        properties = xp.cuda.runtime.getDeviceProperties(number)
        self.capability = 10 * properties["major"] + properties["minor"]
        # From this version on NVRTC takes sm_90a beside CuPy's sm_90.
        self.has_wgmma = self.capability == 90 and xp.cuda.nvrtc.getVersion() >= (12, 9)
        self.wgmma = False
        self.n_multiprocessors = int(properties["multiProcessorCount"])
        self.shared_memory = int(properties["sharedMemPerBlockOptin"])

    def __str__(self) -> str:
        return f"cuda:{self.number}"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this the current device, share memory with torch, and turn CUDA's errors into gpuclust's.

        The current stream stays the caller's. A cancelled job ends here, before it asks more of the device.

        Raises
        ------
        DeviceMemoryError
            An allocation failed.
        DeviceError
            Any other error of the CUDA runtime or driver.
        """
        checkpoint()
        cuda = self.xp.cuda
        try:
            with cuda.Device(self.number), pool.shared_with_torch(self.xp, self.number):
                yield
        except cuda.memory.OutOfMemoryError as error:
            free, total = self.memory()
            raise DeviceMemoryError(
                f"{self} has too little memory: {error}. {free:,} of {total:,} bytes are free; free some, use a "
                "smaller max_memory, or device='cpu'."
            ) from error
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            raise DeviceError(f"{self} failed: {error}.") from error

    def memory(self) -> tuple[int, int]:
        """Free bytes, those that CuPy's pool keeps for reuse included, and all bytes of the device."""
        with self.xp.cuda.Device(self.number):
            free, total = self.xp.cuda.runtime.memGetInfo()
            return free + pool.reusable(self.xp), total


def on_device(method: Method) -> Method:
    """Run a method of an object that has a ``device`` with that device active."""

    @wraps(method)
    def active(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.device.active():
            return method(self, *args, **kwargs)

    return active  # type: ignore[return-value]
