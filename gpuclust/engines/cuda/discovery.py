"""Which CUDA devices can be used, or the one cause why none can."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gpuclust.errors import DeviceError

__all__ = ["OLDEST", "CudaDevice", "Discovery", "current_device", "discover", "open_device"]

OLDEST = (7, 5)
"""Least compute capability: Turing."""

_INSTALL = (
    "install gpuclust[cuda13] (needs an NVIDIA driver of version 580 or newer) or gpuclust[cuda12] (525 or newer)"
)
_VERSION_FILE = Path("/proc/driver/nvidia/version")
# Any of these says that an NVIDIA driver is loaded, also in a container and in WSL.
_DRIVER_FILES = (_VERSION_FILE, Path("/dev/nvidiactl"), Path("/usr/lib/wsl/lib/libcuda.so.1"))
_INSUFFICIENT_DRIVER, _NO_DEVICE = 35, 100  # of cudaError_t


class CudaDevice(NamedTuple):
    """A device as the CUDA runtime shows it; ``memory`` in bytes."""

    number: int
    name: str
    capability: tuple[int, int]
    memory: int

    @property
    def usable(self) -> bool:
        """Whether the kernels run on it."""
        return self.capability >= OLDEST

    def __str__(self) -> str:
        architecture = "sm_{}{}".format(*self.capability)
        return f"cuda:{self.number} ({self.name}, {architecture}, {self.memory / 2**30:.1f} GiB)"


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Attributes
    ----------
    devices : tuple of CudaDevice
        All devices, by their number; some may be too old.
    cause : str
        Why none of them can be used; empty if one can.
    expected : bool
        Whether a GPU was to be expected: an NVIDIA driver is loaded or CuPy is installed, and the devices are not
        hidden on purpose (CUDA_VISIBLE_DEVICES empty or -1).
    driver : str or None
        Version of the loaded driver, and the newest CUDA that it supports where CuPy could ask it.
    runtime : str or None
        CUDA version that CuPy was built for.
    cupy : str or None
        Version of CuPy.
    """

    devices: tuple[CudaDevice, ...] = ()
    cause: str = ""
    expected: bool = False
    driver: str | None = None
    runtime: str | None = None
    cupy: str | None = None

    @property
    def usable(self) -> tuple[CudaDevice, ...]:
        """The devices that can be used."""
        return () if self.cause else tuple(device for device in self.devices if device.usable)


@cache
def discover() -> Discovery:
    """Look for devices, once per process. Imports CuPy where it is installed; creates no context on any device."""
    expected = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() not in ("", "-1")
    driver_loaded, driver = any(file.exists() for file in _DRIVER_FILES), _loaded_driver()
    try:
        import cupy
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return Discovery(
                cause=f"CuPy is not installed: {_INSTALL}", expected=expected and driver_loaded, driver=driver
            )
        return Discovery(cause=f"CuPy cannot be imported: {_gist(error)}", expected=expected, driver=driver)
    devices, cause, supported = _ask(cupy)
    if supported:
        driver = f"{driver or 'version unknown'} (CUDA {_release(supported)})"
    runtime = _release(cupy.cuda.runtime.runtimeGetVersion())
    return Discovery(devices, cause, expected, driver, runtime, cupy.__version__)


def current_device() -> int:
    """Number of CuPy's current device in this thread; only where `discover` found one."""
    import cupy

    return int(cupy.cuda.runtime.getDevice())


def open_device(number: int) -> None:
    """Create the context of a device that `discover` found, if it has none yet.

    Raises
    ------
    DeviceError
        The device is busy, out of memory, or fails in another way; the message quotes CUDA.
    """
    import cupy

    try:
        with cupy.cuda.Device(number):
            cupy.cuda.runtime.memGetInfo()
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        raise DeviceError(f"device='cuda:{number}' cannot be opened: {error}.") from error


def _ask(cupy: Any) -> tuple[tuple[CudaDevice, ...], str, int]:
    """Devices, the cause why none can be used, and the newest CUDA that the driver supports (0: no driver)."""
    runtime = cupy.cuda.runtime
    supported = 0
    try:
        if runtime.is_hip:
            return (), "this CuPy is built for ROCm, not for CUDA", 0
        supported = runtime.driverGetVersion()
        devices = tuple(_device(runtime, number) for number in range(runtime.getDeviceCount()))
    except (runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        return (), _explained(error, cupy, supported), supported
    if not devices:
        return (), _no_device(), supported
    if not any(device.usable for device in devices):
        too_old = ", ".join(map(str, devices))
        return devices, f"{too_old}: older than sm_{OLDEST[0]}{OLDEST[1]} (Turing)", supported
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:  # what CuPy raises when a CUDA library is not found
        major = runtime.runtimeGetVersion() // 1000
        missing = f"CuPy {cupy.__version__} finds no NVRTC of CUDA {major}, which compiles the kernels ({_gist(error)})"
        return devices, f"{missing}: install gpuclust[cuda{major}], which brings it", supported
    return devices, "", supported


def _device(runtime: Any, number: int) -> CudaDevice:
    properties = runtime.getDeviceProperties(number)
    capability = properties["major"], properties["minor"]
    return CudaDevice(number, properties["name"].decode(), capability, properties["totalGlobalMem"])


def _explained(error: Any, cupy: Any, supported: int) -> str:
    """The cause behind an error of the CUDA runtime or driver."""
    status = getattr(error, "status", None)
    if status == _NO_DEVICE:
        return _no_device()
    if status != _INSUFFICIENT_DRIVER:
        return str(error)
    if not supported:
        return "no NVIDIA driver is loaded"
    needed = cupy.cuda.runtime.runtimeGetVersion() // 1000
    return (
        f"the NVIDIA driver is too old: it supports CUDA {_release(supported)}, and CuPy {cupy.__version__} needs CUDA "
        f"{needed}: update the driver, or {_INSTALL}"
    )


def _no_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "no CUDA device is visible" + ("" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible!r})")


def _loaded_driver() -> str | None:
    try:
        found = re.search(r"\s(\d+\.\d+(\.\d+)*)\s", _VERSION_FILE.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def _release(version: int) -> str:
    """CUDA's number for a version in words: 13020 is "13.2"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _gist(error: Exception) -> str:
    """The line of a message that says what happened; CuPy frames the original error of a failed import."""
    lines = [line.strip(" =") for line in str(error).splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    return lines[-1] if "Original error:" in lines else lines[0]
