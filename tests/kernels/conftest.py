"""Tests of the emulator itself are skipped where kernels run on a GPU: see `tests.emulation.gpu`."""

from __future__ import annotations

import pytest

ABOUT_THE_EMULATOR = {
    "test_cupy_standin.py",
    "test_detectors.py",
    "test_emulator.py",
    "test_emulator_build.py",
    "test_emulator_errors.py",
    "test_on_a_gpu.py",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption("kernels") != "emulator" and item.path.name in ABOUT_THE_EMULATOR:
        pytest.skip("about the emulator itself")
