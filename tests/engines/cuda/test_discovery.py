"""What CUDA answers becomes a list of devices, or the one cause why none can be used. CuPy is played by a fake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpuclust.engines.cuda import discovery
from gpuclust.engines.cuda.discovery import CudaDevice, Discovery, current_device, open_device
from gpuclust.errors import DeviceError

H100 = {"name": b"NVIDIA H100 80GB HBM3", "major": 9, "minor": 0, "totalGlobalMem": 85_017_493_504}
TURING = {"name": b"Tesla T4", "major": 7, "minor": 5, "totalGlobalMem": 15_828_320_256}
PASCAL = {"name": b"Tesla P100", "major": 6, "minor": 0, "totalGlobalMem": 17_066_885_120}


class RuntimeApiError(RuntimeError):
    """CuPy's CUDARuntimeError: a RuntimeError with a status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class DriverApiError(RuntimeError):
    """CuPy's CUDADriverError."""


INSUFFICIENT = RuntimeApiError(
    35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
NO_DEVICE = RuntimeApiError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with driver 580.65.06, whatever the real one has; returns the file that says so."""
    file = tmp_path / "version"
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (x@y)\nGCC 12\n"
    )
    monkeypatch.setattr(discovery, "_VERSION_FILE", file)
    monkeypatch.setattr(discovery, "_DRIVER_FILES", (file,))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return file


def look(
    monkeypatch: pytest.MonkeyPatch,
    *devices: dict[str, Any],
    supported: int = 13000,
    counting: Exception | None = None,
    opening: Exception | None = None,
    nvrtc: Exception | None = None,
    is_hip: bool = False,
) -> Discovery:
    """Discover with a CuPy that shows ``devices``, or raises when it counts them, opens one or loads NVRTC."""

    def or_raise(error: Exception | None, value: Any = None) -> Any:
        if error is not None:
            raise error
        return value

    class Device:
        def __init__(self, number: int) -> None:
            self.number = number

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    cupy: Any = ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.cuda = SimpleNamespace(
        Device=Device,
        driver=SimpleNamespace(CUDADriverError=DriverApiError),
        nvrtc=SimpleNamespace(getVersion=lambda: or_raise(nvrtc, (13, 0))),
        runtime=SimpleNamespace(
            CUDARuntimeError=RuntimeApiError,
            driverGetVersion=lambda: supported,
            getDevice=lambda: 1,
            getDeviceCount=lambda: or_raise(counting, len(devices)),
            getDeviceProperties=devices.__getitem__,
            is_hip=is_hip,
            memGetInfo=lambda: or_raise(opening, (1, 2)),
            runtimeGetVersion=lambda: 13020,
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return discovery.discover.__wrapped__()


def test_two_devices_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, H100, PASCAL)
    h100 = CudaDevice(0, "NVIDIA H100 80GB HBM3", (9, 0), 85_017_493_504)
    assert str(h100) == "cuda:0 (NVIDIA H100 80GB HBM3, sm_90, 79.2 GiB)"
    assert found == Discovery(
        devices=(h100, CudaDevice(1, "Tesla P100", (6, 0), 17_066_885_120)),
        expected=True,
        driver="580.65.06 (CUDA 13.0)",
        runtime="13.2",
        cupy="14.2.0",
    )
    assert found.usable == (h100,)
    assert current_device() == 1


@pytest.mark.parametrize(
    ("devices", "how", "cause"),
    [
        ([], {"counting": INSUFFICIENT, "supported": 0}, "no NVIDIA driver is loaded"),
        (
            [],
            {"counting": INSUFFICIENT, "supported": 12040},
            "the NVIDIA driver is too old: it supports CUDA 12.4, and CuPy 14.2.0 needs CUDA 13: update the driver, or "
            "install gpuclust[cuda13]",
        ),
        ([], {"counting": NO_DEVICE}, "no CUDA device is visible"),
        ([], {}, "no CUDA device is visible"),
        ([], {"counting": RuntimeApiError(802, "cudaErrorSystemNotReady: system not yet")}, "cudaErrorSystemNotReady:"),
        ([], {"counting": DriverApiError("CUDA_ERROR_UNKNOWN: unknown error")}, "CUDA_ERROR_UNKNOWN: unknown error"),
        ([PASCAL], {}, "cuda:0 (Tesla P100, sm_60, 15.9 GiB): older than sm_75 (Turing)"),
        (
            [H100],
            {"nvrtc": RuntimeError('Failure finding "libnvrtc.so.13": No such file')},
            'CuPy 14.2.0 finds no NVRTC of CUDA 13, which compiles the kernels (Failure finding "libnvrtc.so.13": No '
            "such file): install gpuclust[cuda13], which brings it",
        ),
        ([], {"is_hip": True}, "this CuPy is built for ROCm, not for CUDA"),
    ],
)
def test_causes(
    monkeypatch: pytest.MonkeyPatch, devices: list[dict[str, Any]], how: dict[str, Any], cause: str
) -> None:
    found = look(monkeypatch, *devices, **how)
    assert found.cause.startswith(cause)
    assert found.expected
    assert found.usable == ()


def test_the_least_capability_is_turing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(monkeypatch, TURING).cause == ""
    assert not CudaDevice(0, "Volta", (7, 0), 1).usable


def test_any_other_error_is_a_bug_and_not_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        look(monkeypatch, counting=ZeroDivisionError())


@pytest.mark.parametrize(("value", "expected"), [("", False), ("-1", False), ("0", True), ("3,1", True)])
def test_hidden_devices(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = look(monkeypatch, counting=NO_DEVICE)
    assert found.cause == f"no CUDA device is visible (CUDA_VISIBLE_DEVICES={value!r})"
    assert found.expected == expected


@pytest.mark.parametrize("driver", [True, False])
def test_no_cupy(monkeypatch: pytest.MonkeyPatch, machine: Path, driver: bool) -> None:
    if not driver:
        machine.unlink()
    monkeypatch.setitem(sys.modules, "cupy", None)  # `import cupy` is a ModuleNotFoundError
    found = discovery.discover.__wrapped__()
    assert found.cause.startswith("CuPy is not installed: install gpuclust[cuda13] (needs an NVIDIA driver of version")
    assert "gpuclust[cuda12]" in found.cause
    assert found.expected == driver, "without a driver and without CuPy nobody expects a GPU"
    assert (found.driver, found.cupy) == ("580.65.06" if driver else None, None)


def test_a_broken_cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame = "=" * 20
    text = (
        f"\n{frame}\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libcudart.so.13: no such file\n{frame}\n"
    )
    (tmp_path / "cupy.py").write_text(f"raise ImportError({text!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    found = discovery.discover.__wrapped__()
    assert found.cause == "CuPy cannot be imported: ImportError: libcudart.so.13: no such file"
    assert found.expected


def test_a_cupy_that_lacks_a_dependency_is_broken_and_not_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cupy.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    found = discovery.discover.__wrapped__()
    assert found.cause == "CuPy cannot be imported: No module named 'no_such_dependency'"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeApiError(46, "cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable"),
        DriverApiError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ],
)
def test_a_device_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    look(monkeypatch, H100)
    open_device(0)
    look(monkeypatch, H100, opening=error)
    with pytest.raises(DeviceError, match=r"device='cuda:0' cannot be opened: (cudaErrorDev|CUDA_ERROR_OUT)"):
        open_device(0)


def test_the_real_machine_is_asked_once_and_its_cupy_imported_only_then() -> None:
    code = """
import sys
from gpuclust.engines import get_engine
get_engine("cpu"), get_engine("auto", work=1)
print("cupy" in sys.modules)
from gpuclust.engines.cuda.discovery import discover
assert discover() is discover()
assert bool(discover().cause) != bool(discover().usable)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
