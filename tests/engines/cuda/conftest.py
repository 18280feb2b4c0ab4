"""CuPy for the tests of this folder that go through the public interface: on an emulated machine, or on a GPU."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gpuclust.engines import select
from gpuclust.engines.cuda.discovery import discover
from tests.emulation import EmulatedCuPy


@pytest.fixture
def emulated_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """``emulated_machine(...)`` makes an `EmulatedCuPy`; from then on `import cupy` finds it."""

    def forget() -> None:
        discover.cache_clear()
        select._cuda.cache_clear()

    def make(**machine: Any) -> Any:
        emulated: Any = EmulatedCuPy(**machine)
        monkeypatch.setitem(sys.modules, "cupy", emulated)
        forget()
        return emulated

    monkeypatch.delenv("GPUCLUST_DEVICE", raising=False)
    yield make
    forget()


@pytest.fixture(
    params=[
        pytest.param("emulated", marks=pytest.mark.emulated),
        pytest.param("gpu", marks=pytest.mark.gpu),
    ]
)
def cupy(request: pytest.FixtureRequest, emulated_machine: Callable[..., Any]) -> Iterator[Any]:
    """CuPy: two emulated GPUs of 64 MiB whose streams do their work late, or what there is."""
    if request.param == "emulated":
        yield emulated_machine(n_devices=2, asynchronous=True, n_multiprocessors=1, memory=1 << 26)
        return
    if discover().cause:
        pytest.skip(discover().cause)
    module: Any = importlib.import_module("cupy")
    yield module
    gc.collect()
    module.get_default_memory_pool().free_all_blocks()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
