"""Start-up: --help and info answer at once, because nothing heavy is imported for them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import gpuclust
from gpuclust.cli.app import app

HEAVY = (
    "numpy",
    "numba",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "torch",
    "faiss",
    "cupy",
    "rich",
    "PIL",
    "safetensors",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["kmeans", "--help"],
        ["dbscan", "--help"],
        ["evaluate", "--help"],
        ["knn", "--help"],
        ["deep", "--help"],
        ["encode", "--help"],
    ],
)
def test_nothing_heavy_is_imported(arguments):
    code = f"""
import sys
from gpuclust.cli import main
sys.argv[1:] = {arguments!r}
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr.strip() == "[]"


def test_openmp_threads_sleep_while_they_wait():
    code = "import os, sys, gpuclust.cli as c\nsys.argv[1:] = ['--version']\ntry: c.main()\nfinally: print(os.environ)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "'OMP_WAIT_POLICY': 'PASSIVE'" in result.stdout


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"gpuclust {gpuclust.__version__}\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "command", ["kmeans", "dbscan", "deep", "encode", "knn", "evaluate", "predict", "info", "demo"]
)
def test_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


@pytest.mark.parametrize("command", ["kmeans", "dbscan", "deep", "encode", "knn", "evaluate"])
def test_help_says_where_events_and_errors_go(command):
    text = " ".join(CliRunner().invoke(app, [command, "--help"]).stdout.split())
    assert "stdout gets one JSON object per line" in text
    assert "Exit codes: 0 ok, 2 usage, 3 bad data, 4 resources" in text


def test_no_command_is_a_usage_error():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert CliRunner().invoke(app, ["unknown"]).exit_code == 2


def test_info():
    text = CliRunner().invoke(app, ["info"]).stdout
    assert "engine " in text
    assert "scikit-learn" in text
    found = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)
    assert found["engine"]["why"]
    assert found["versions"]["gpuclust"] == gpuclust.__version__
