"""What a job runs on is told without importing anything heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from gpuclust.jobs import environment as module
from gpuclust.jobs.environment import environment, package_versions


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


@pytest.mark.parametrize(
    ("device", "gpus", "engine"),
    [("auto", [], "cpu"), ("cpu", ["cuda:0 (NVIDIA H100)"], "cpu"), ("cuda:1", [], None)],
)
def test_engine(monkeypatch, device, gpus, engine):
    monkeypatch.setenv("GPUCLUST_DEVICE", device)
    monkeypatch.setattr(module, "_nvidia_devices", lambda: gpus)
    found = environment()["engine"]
    assert (found["name"], found["device"]) == (engine, device)


def test_nothing_heavy_is_imported():
    code = (
        "import sys\nfrom gpuclust.jobs.environment import environment\nenvironment()\n"
        "print([m for m in ('numba', 'sklearn', 'torch', 'faiss', 'cupy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
