"""Names of devices become engines, or a typed error that says what to do. The machine's devices are made up."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpuclust import config
from gpuclust.engines import get_engine, select
from gpuclust.engines.cuda.discovery import CudaDevice, Discovery
from gpuclust.engines.select import SMALL_WORK, Choice, choose
from gpuclust.errors import DeviceError, FallbackWarning, ParameterError

H100S = (CudaDevice(0, "H100", (9, 0), 80 << 30), CudaDevice(1, "H100", (9, 0), 80 << 30))
PASCAL = CudaDevice(0, "P100", (6, 0), 16 << 30)
TWO_GPUS = Discovery(H100S, expected=True)
BY_NATURE = Discovery(cause="CuPy is not installed: install it")
BROKEN = Discovery(cause="the NVIDIA driver is too old", expected=True)

BUILD = select._cuda.__wrapped__  # not the engines that other tests have cached
Machine = Callable[..., list[int]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make up what discovery finds; returns the list of the GPUs that will have been opened."""

    def make(found: Discovery, *, current: int = 0, opening: DeviceError | None = None) -> list[int]:
        opened: list[int] = []

        def open_device(number: int) -> None:
            if opening is not None:
                raise opening
            opened.append(number)

        def engine_module(name: str, kind: str) -> ModuleType:
            module: Any = ModuleType(name)
            setattr(module, kind, lambda gpus: SimpleNamespace(name="cuda", gpus=gpus))
            return module

        monkeypatch.delenv(config.DEVICE_VARIABLE, raising=False)
        monkeypatch.setattr(select, "discover", lambda: found)
        monkeypatch.setattr(select, "current_device", lambda: current)
        monkeypatch.setattr(select, "open_device", open_device)
        monkeypatch.setattr(select, "_cuda", BUILD)
        monkeypatch.setattr(select, "_unsaid", Lock())
        for name, kind in (("engine", "CudaEngine"), ("split", "SplitCudaEngine")):
            full = f"gpuclust.engines.cuda.{name}"
            monkeypatch.setitem(sys.modules, full, engine_module(full, kind))
        return opened

    return make


def test_cpu_is_one_engine() -> None:
    assert get_engine("cpu").name == "cpu"
    assert get_engine("cpu") is get_engine("cpu")


def test_the_configured_device_is_taken(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(TWO_GPUS)
    monkeypatch.setenv(config.DEVICE_VARIABLE, "cpu")
    assert get_engine() is get_engine("cpu")
    with config.device("cuda:1"):
        assert get_engine().gpus == 1
    assert get_engine("auto").gpus == 0


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("cuda", None, "cuda:1"),  # the current one
        ("cuda:0", None, "cuda:0"),
        ("cuda:1,0", None, "cuda:1,0"),
        ("auto", None, "cuda:1"),
        ("cuda", "cuda:0", "cuda:0"),
        ("cuda:0", "cuda:0", "cuda:0"),
        ("auto", "cuda:0", "cuda:0"),
        ("cpu", None, "cpu"),
    ],
)
def test_choice_on_a_machine_with_two_gpus(machine: Machine, name: str, data: str | None, expected: str) -> None:
    opened = machine(TWO_GPUS, current=1)
    assert choose(name, data_device=data).device == expected
    assert opened == [], "a choice starts nothing"


def test_engines_are_opened_and_built(machine: Machine) -> None:
    opened = machine(TWO_GPUS)
    assert get_engine("cuda:1").gpus == 1
    assert get_engine("cuda:1,0").gpus == [1, 0]
    assert opened == [1, 1, 0]


def test_auto_passes_over_a_device_that_is_too_old(machine: Machine) -> None:
    machine(Discovery((PASCAL, H100S[1]), expected=True), current=0)
    assert choose("auto") == Choice("cuda:1", str(H100S[1]))
    with pytest.raises(DeviceError, match=r"device='cuda' .*P100, sm_60, 16.0 GiB\) is older than sm_75"):
        get_engine("cuda")
    with pytest.raises(DeviceError, match=r"device='cuda:0' .* is older than sm_75"):
        get_engine("cuda:0")


def test_small_work_in_host_memory_stays_on_the_cpu_silently(machine: Machine) -> None:
    for found in (TWO_GPUS, BROKEN):
        machine(found)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert get_engine("auto", work=SMALL_WORK - 1).name == "cpu"
    machine(TWO_GPUS)
    assert get_engine("auto", work=SMALL_WORK).name == "cuda"
    assert get_engine("auto", work=1, data_device="cuda:1").gpus == 1, "data on a GPU stays there"
    assert get_engine("cuda", work=1).name == "cuda", "it was asked for"


def test_falling_back_is_announced_once_with_the_cause(machine: Machine) -> None:
    machine(BROKEN)
    with pytest.warns(FallbackWarning, match=r"computes on the CPU: the NVIDIA driver is too old\. Results"):
        assert get_engine("auto").name == "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_engine("auto").name == "cpu"


def test_a_gpu_that_cannot_be_opened_is_a_cause_too(machine: Machine) -> None:
    busy = DeviceError("device='cuda:0' cannot be opened: CUDA_ERROR_OUT_OF_MEMORY: out of memory.")
    machine(TWO_GPUS, opening=busy)
    with pytest.warns(FallbackWarning, match=r"cuda:0' cannot be opened: CUDA_ERROR_OUT_OF_MEMORY: out of memory\. Re"):
        assert get_engine("auto").name == "cpu"
    for name, data in (("cuda", None), ("auto", "cuda:0")):
        with pytest.raises(DeviceError, match="cannot be opened"):
            get_engine(name, data_device=data)


@pytest.mark.parametrize(("found", "name"), [(BY_NATURE, "auto"), (BROKEN, "cpu"), (TWO_GPUS, "cpu")])
def test_the_cpu_is_silent_where_it_is_meant(machine: Machine, found: Discovery, name: str) -> None:
    machine(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_engine(name).name == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:63", "cuda:0,1"])
def test_an_absent_gpu_is_an_error_with_cause_and_remedy(machine: Machine, name: str) -> None:
    machine(BROKEN)
    with pytest.raises(DeviceError, match=f"{name}.*driver is too old.*use device='cpu'"):
        get_engine(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:0,2"])
def test_a_number_beyond_the_last_gpu(machine: Machine, name: str) -> None:
    machine(TWO_GPUS)
    with pytest.raises(DeviceError, match=f"{name}.*there is no GPU 2; the number of CUDA devices is 2, counted from"):
        get_engine(name)


@pytest.mark.parametrize("name", ["cpu", "cuda:1", "cuda:0,1"])
def test_data_on_another_device_than_was_asked_for(machine: Machine, name: str) -> None:
    machine(TWO_GPUS)
    with pytest.raises(DeviceError, match=f"device='{name}', but X lies on cuda:0: use device='cuda:0' or 'auto', or"):
        get_engine(name, data_device="cuda:0")


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_data_on_a_gpu_that_cannot_be_used(machine: Machine, name: str) -> None:
    machine(BROKEN)
    with pytest.raises(DeviceError, match=r"cuda.*driver is too old"):
        get_engine(name, data_device="cuda:0")


@pytest.mark.parametrize("name", ["gpu", "CPU", "cuda:", "cuda:-1", "cuda:0,0", ""])
def test_a_name_that_is_no_device(name: str) -> None:
    with pytest.raises(ParameterError, match="device"):
        get_engine(name)
