"""The device is chosen by argument > context manager > set_device > GPUCLUST_DEVICE > auto."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gpuclust import config
from gpuclust.errors import ParameterError


@pytest.fixture(autouse=True)
def clean_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(config.DEVICE_VARIABLE, raising=False)
    config.set_device(None)
    yield
    config.set_device(None)


def test_auto_when_nobody_chooses() -> None:
    assert config.resolve_device() == "auto"


def test_each_level_overrides_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.DEVICE_VARIABLE, "cuda:3")
    assert config.resolve_device() == "cuda:3"
    config.set_device("cuda")
    assert config.resolve_device() == "cuda"
    with config.device("cpu"):
        assert config.resolve_device() == "cpu"
        assert config.resolve_device("cuda:1") == "cuda:1"
        assert config.resolve_device("auto") == "auto"
    assert config.resolve_device() == "cuda"
    config.set_device(None)
    assert config.resolve_device() == "cuda:3"


def test_context_managers_nest_and_survive_exceptions() -> None:
    with config.device("cpu"):
        with pytest.raises(KeyError), config.device("cuda:1"):
            assert config.resolve_device() == "cuda:1"
            raise KeyError
        assert config.resolve_device() == "cpu"
    assert config.resolve_device() == "auto"


def test_context_is_private_to_a_thread_and_the_default_is_not() -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(config.resolve_device())

    config.set_device("cuda:2")
    with config.device("cpu"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == ["cuda:2"]


def test_the_numbers_of_gpus_are_read_from_the_name() -> None:
    assert [config.gpu_numbers(name) for name in ("auto", "cpu", "cuda", "cuda:3", "cuda:10,0,2")] == [
        (),
        (),
        (),
        (3,),
        (10, 0, 2),
    ]
    assert config.resolve_device("cuda:1,0") == "cuda:1,0"


WRONG = ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:01", "cuda:1 ", "cpu\n", 0, b"cpu"]
WRONG_LISTS = ["cuda:0,", "cuda:,0", "cuda:0,0", "cuda:0, 1", "cuda:0,cuda:1", "cpu,cuda:0", "cuda:0;1"]


@pytest.mark.parametrize("name", [*WRONG, *WRONG_LISTS])
def test_a_wrong_name_is_refused_everywhere(name: str) -> None:
    with pytest.raises(ParameterError, match=r"device=.* should be") as caught:
        config.resolve_device(name)
    assert repr(name) in str(caught.value)
    with pytest.raises(ParameterError, match="device="):
        config.set_device(name)
    with pytest.raises(ParameterError, match="device="), config.device(name):
        pass


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.DEVICE_VARIABLE, "tpu")
    with pytest.raises(ParameterError, match="GPUCLUST_DEVICE='tpu'"):
        config.resolve_device()


def test_an_empty_environment_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.DEVICE_VARIABLE, "")
    assert config.resolve_device() == "auto"
