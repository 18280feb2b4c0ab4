"""Fixtures for all tests: the engines under test, so that one test body runs on each of them."""

from __future__ import annotations

import importlib
import os

# Threads of OpenMP that wait by spinning (torch, scikit-learn, FAISS) slow each other down on shared cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.cuda.discovery import discover
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.errors import DeviceError
from tests.emulation import EmulatedCuPy, gpu

ENGINES = [
    pytest.param("cpu", id="cpu"),
    pytest.param("emulated", id="emulated", marks=[pytest.mark.emulated, pytest.mark.slow]),
    pytest.param("cuda", id="cuda", marks=pytest.mark.gpu),
]


def pytest_addoption(parser):
    parser.addoption(
        "--kernels",
        choices=["emulator", "gpu", "stand-in"],
        default="emulator",
        help="what runs the kernels of tests/kernels (stand-in: the emulator, the way they take to a GPU)",
    )


def pytest_configure(config):
    where = config.getoption("kernels")
    if where == "emulator":
        return
    if where == "gpu" and discover().cause:
        raise pytest.UsageError(f"--kernels=gpu: {discover().cause}")
    gpu.take_over(importlib.import_module("cupy") if where == "gpu" else EmulatedCuPy(asynchronous=True))


@pytest.fixture(params=ENGINES)
def engine(request):
    """Each engine in turn; skipped where its device is absent. "emulated" is the CUDA engine on an emulated device."""
    if request.param == "emulated":
        return CudaEngine(0, EmulatedCuPy(asynchronous=True, memory=1 << 32))
    try:
        return get_engine(request.param)
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def sized(request):
    """``sized(large, small)``: ``small`` on the emulated device, which is some thousand times slower than a CPU."""
    emulated = "callspec" in vars(request.node) and request.node.callspec.params.get("engine") == "emulated"
    return lambda large, small: small if emulated else large
