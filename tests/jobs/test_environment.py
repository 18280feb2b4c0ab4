"""What a job runs on is told, with the reason, and CUDA is left alone where the CPU is meant."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust.cli.app import app
from gpuclust.engines import select
from gpuclust.engines.cuda.discovery import CudaDevice, Discovery
from gpuclust.jobs import environment as module
from gpuclust.jobs.environment import environment, package_versions

H100 = CudaDevice(0, "NVIDIA H100", (9, 0), 80 << 30)
P100 = CudaDevice(1, "Tesla P100", (6, 0), 16 << 30)
FOUND = Discovery((H100, P100), "", True, "580.65.06 (CUDA 13.0)", "13.2", "14.2.0")
NONE = Discovery(cause="no NVIDIA driver is loaded", expected=True, runtime="13.2", cupy="14.2.0")


@pytest.fixture
def machine(monkeypatch):
    """Make up what discovery finds."""

    def make(found, announced=()):
        monkeypatch.delenv("GPUCLUST_DEVICE", raising=False)
        monkeypatch.setattr(select, "discover", lambda: found)
        monkeypatch.setattr(select, "current_device", lambda: 0)
        monkeypatch.setattr(module, "discover", lambda: found)
        monkeypatch.setattr(module, "_announced", lambda: list(announced))

    return make


def test_contents():
    found = json.loads(json.dumps(environment()))
    assert found["versions"]["numpy"] == np.__version__
    assert found["threads"]["used"] >= 1
    assert found["devices"][0] == "cpu"
    assert {"name", "device", "why"} == set(found["engine"])


def test_a_missing_package_is_none(monkeypatch):
    monkeypatch.setattr(module, "_PACKAGES", ("gpuclust", "no-such-package"))
    assert package_versions()["no-such-package"] is None
    assert package_versions()["gpuclust"]


def test_a_machine_with_two_gpus(machine):
    machine(FOUND)
    found = environment()
    assert found["devices"] == [
        "cpu",
        "cuda:0 (NVIDIA H100, sm_90, 80.0 GiB)",
        "cuda:1 (Tesla P100, sm_60, 16.0 GiB), not usable",
    ]
    assert found["cuda"] == {"driver": "580.65.06 (CUDA 13.0)", "runtime": "13.2", "cupy": "14.2.0", "problem": None}
    assert found["engine"] == {"name": "cuda:0", "device": "auto", "why": "cuda:0 (NVIDIA H100, sm_90, 80.0 GiB)"}


def test_a_gpu_that_cannot_be_used(machine):
    machine(NONE, announced=["NVIDIA H100, not used"])
    found = environment()
    assert found["devices"] == ["cpu", "NVIDIA H100, not used"]
    assert found["cuda"]["problem"] == "no NVIDIA driver is loaded"
    assert found["engine"] == {"name": "cpu", "device": "auto", "why": "no NVIDIA driver is loaded"}


@pytest.mark.parametrize(
    ("device", "work", "name", "why"),
    [
        ("cpu", None, "cpu", "device 'cpu' was asked for"),
        ("auto", 1, "cpu", "the problem is small"),
        ("auto", 10**12, "cuda:0", "cuda:0 (NVIDIA H100"),
        ("cuda", 1, "cuda:0", "device 'cuda' was asked for"),
        ("cuda:1", None, None, "device='cuda:1' cannot be used: cuda:1 (Tesla P100"),
    ],
)
def test_engine(machine, monkeypatch, device, work, name, why):
    machine(FOUND)
    monkeypatch.setenv("GPUCLUST_DEVICE", device)
    found = environment(work=work)["engine"]
    assert (found["name"], found["device"]) == (name, device)
    assert found["why"].startswith(why)


def test_info_shows_what_decides(machine):
    machine(FOUND)
    lines = CliRunner().invoke(app, ["info"]).stdout.splitlines()
    assert lines[0] == "engine          cuda:0: cuda:0 (NVIDIA H100, sm_90, 80.0 GiB)"
    assert lines[2] == "cuda            driver 580.65.06 (CUDA 13.0), runtime 13.2, cupy 14.2.0"
    machine(NONE)
    lines = CliRunner().invoke(app, ["info"]).stdout.splitlines()
    assert lines[2] == "cuda            runtime 13.2, cupy 14.2.0, problem no NVIDIA driver is loaded"


@pytest.mark.parametrize("arguments", ["device='cpu'", "device='auto', work=1"])
def test_nothing_heavy_is_imported_where_the_cpu_is_meant(arguments):
    code = (
        f"import sys\nfrom gpuclust.jobs.environment import environment\nenvironment({arguments})\n"
        "print([m for m in ('numba', 'sklearn', 'torch', 'faiss', 'cupy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
