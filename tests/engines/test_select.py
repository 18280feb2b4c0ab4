"""Names of devices become engines, or a typed error that says what to do."""

from __future__ import annotations

import pytest

from gpuclust import config
from gpuclust.engines import get_engine
from gpuclust.errors import DeviceError, ParameterError


def test_cpu_is_one_engine():
    assert get_engine("cpu").name == "cpu"
    assert get_engine("cpu") is get_engine("cpu")


def test_auto_finds_an_engine():
    assert get_engine("auto") is get_engine(None)


def test_the_configured_device_is_taken(monkeypatch):
    monkeypatch.setenv(config.DEVICE_VARIABLE, "cpu")
    assert get_engine().name == "cpu"
    with config.device("cpu"):
        assert get_engine() is get_engine("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:63"])
def test_an_absent_gpu_is_an_error_with_the_remedy(name):
    with pytest.raises(DeviceError, match=f"{name}.*use device='cpu'"):
        get_engine(name)


@pytest.mark.parametrize("name", ["gpu", "CPU", "cuda:", "cuda:-1", ""])
def test_a_name_that_is_no_device(name):
    with pytest.raises(ParameterError, match="device"):
        get_engine(name)
