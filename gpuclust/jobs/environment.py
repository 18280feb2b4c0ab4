"""What a job runs on: versions, processor, threads, devices.

Versions are read from metadata. The one heavy import is CuPy, where it is installed and a GPU could be used.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpuclust.config import resolve_device
from gpuclust.engines.cuda.discovery import discover
from gpuclust.engines.select import SMALL_WORK, choose
from gpuclust.errors import DeviceError

__all__ = ["environment", "package_versions"]

_PACKAGES = (
    "gpuclust",
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "threadpoolctl",
    "safetensors",
    "pyarrow",
    "faiss-cpu",
    "faiss-gpu-cu12",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "torch",
    "umap-learn",
    "pillow",
)
# Instruction sets that decide how fast the CPU engine's kernels and BLAS can be (Linux names; NEON is "asimd").
_CPU_FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "sve",
)


def environment(device: str | None = None, *, work: int | None = None) -> dict[str, Any]:
    """Return versions, processor, threads, devices, and which engine runs for ``device`` and why: JSON-ready.

    Parameters
    ----------
    device : str, optional
        As in `gpuclust.engines.get_engine`. CUDA is left alone where the CPU is meant.
    work : int, optional
        Rows x clusters x features of one pass of the job; "auto" takes the CPU for a small one.
    """
    small = work is not None and work < SMALL_WORK
    devices, cuda = (_announced(), None) if resolve_device(device) == "cpu" or small else _discovered()
    return {
        "versions": package_versions(),
        "platform": {"system": platform.platform(), "python": platform.python_version()},
        "cpu": {"model": _cpu_field("model name") or platform.machine(), "features": _cpu_features()},
        "threads": _threads(),
        "devices": ["cpu", *devices],
        "cuda": cuda,
        "engine": _engine(device, work),
    }


def package_versions() -> dict[str, str | None]:
    """Return the version of every package that matters to a result; None where it is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    if package == "gpuclust":
        import gpuclust

        return gpuclust.__version__  # also right in a bare checkout, which has no installed metadata
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _threads() -> dict[str, Any]:
    """Threads that numba uses, or will use if it is not loaded yet, and the variables that change that number."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    variables = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")
    asked, numba = os.environ.get("NUMBA_NUM_THREADS", ""), sys.modules.get("numba")
    expected = int(asked) if asked.isdecimal() else usable
    return {
        "cores": os.cpu_count(),
        "usable": usable,
        "used": numba.get_num_threads() if numba else expected,
        "environment": {name: os.environ[name] for name in variables if name in os.environ},
    }


def _cpu_field(field: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.partition("\t")[0].strip() == field), None)


def _cpu_features() -> list[str]:
    present = set((_cpu_field("flags") or _cpu_field("Features") or "").split())
    return [feature for feature in _CPU_FEATURES if feature in present]


def _discovered() -> tuple[list[str], dict[str, str | None]]:
    """GPUs as CUDA shows them (else as the driver announces them), and the versions that decide if they can be used."""
    found = discover()
    devices = [f"{device}{'' if device in found.usable else ', not usable'}" for device in found.devices]
    versions = {"driver": found.driver, "runtime": found.runtime, "cupy": found.cupy}
    return devices or _announced(), {**versions, "problem": found.cause or None}


def _announced() -> list[str]:
    """GPUs that the NVIDIA driver announces, found without CUDA."""
    names = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        names.append(f"{fields.get('Model', 'NVIDIA GPU').strip()}, not used")
    return names


def _engine(device: str | None, work: int | None) -> dict[str, str | None]:
    """Name the engine that runs, and why; None when the device asked for cannot be had."""
    name: str | None
    try:
        name, why, _ = choose(device, work=work)
    except DeviceError as error:
        name, why = None, str(error)
    return {"name": name, "device": resolve_device(device), "why": why}
