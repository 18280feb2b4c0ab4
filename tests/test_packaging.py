"""The wheel and the sdist work where they land: an empty virtual environment, `kernels/` found, compiled code cached.

Nothing is downloaded: dependencies are those of the running interpreter, made visible by a path file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import gpuclust
from gpuclust import _resources
from gpuclust.errors import ResourceError

ROOT = Path(gpuclust.__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

FIT = "import numpy, gpuclust; gpuclust.KMeans(2, random_state=0).fit(numpy.eye(8, dtype='float32'))"


def run(*command: str | Path, **environment: str) -> str:
    """Run outside of the checkout, so that it cannot be imported by accident; returns what was printed."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GPUCLUST", "XDG"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checkout(destination: Path) -> Path:
    """Copy of what a fresh clone contains: builds leave nothing in the working tree and see no caches."""
    destination.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("gpuclust", "kernels", "tests", "bench"):
        shutil.copytree(ROOT / name, destination / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt", ".gitignore"):
        shutil.copy(ROOT / name, destination)
    return destination


def installed(wheel: Path, folder: Path) -> Path:
    """Interpreter of a new virtual environment with `wheel` installed into it and nothing else."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Comes after this environment's own packages in sys.path, and path files in there (of an editable install of
    # gpuclust) are not followed: the wheel is the only gpuclust there is.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder]
    run(*build, "--wheel", checkout(folder / "checkout"))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("environment"))


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"gpuclust"}
    assert {"gpuclust/kernels/README.md", "gpuclust/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gpuclust").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


@pytest.mark.slow
def test_wheel_runs_from_an_empty_environment(environment: Path) -> None:
    place = run(environment, "-c", "import gpuclust; print(gpuclust.__file__, gpuclust.__version__)").split()
    assert Path(place[0]).is_relative_to(environment.parents[1])
    assert place[1] == VERSION
    folder = Path(run(environment, "-c", "from gpuclust._resources import kernels_folder as k; print(k())").strip())
    assert folder == Path(place[0]).parent / "kernels"
    assert (folder / "README.md").read_text() == (ROOT / "kernels" / "README.md").read_text()
    assert VERSION in run(environment.parent / "gpuclust", "info")


@pytest.mark.slow
def test_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        tmp_path,
        "--sdist",
        checkout(tmp_path / "checkout"),
    )
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    source = next((tmp_path / "unpacked").iterdir())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, "--wheel", source)
    again = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    assert sorted(again.namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_compiled_code_is_cached_also_from_a_read_only_install(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, tmp_path / "environment")
    package = Path(run(python, "-c", "import gpuclust; print(gpuclust.__path__[0])").strip())
    for stale in [*package.rglob("__pycache__")]:
        shutil.rmtree(stale)
    folders = [package, *(path for path in package.rglob("*") if path.is_dir())]
    for folder in folders:
        (folder / "__pycache__").touch()  # a file: nobody can write a cache below it, not even root
        folder.chmod(0o555)
    home = tmp_path / "home"
    home.mkdir()

    def cached() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in home.rglob("*.nb[ic]")}

    def fit() -> None:
        run(python, "-B", "-c", FIT, HOME=str(home))

    try:
        fit()
        first = cached()
        assert first, "nothing was cached below the home folder"
        fit()
        assert cached() == first, "the second process compiled again"
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_kernels_are_found_in_a_checkout_and_their_absence_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _resources.kernels_folder() == ROOT / "kernels"
    (tmp_path / "site-packages" / "kernels").mkdir(parents=True)  # somebody else's
    monkeypatch.setattr(_resources, "__file__", str(tmp_path / "site-packages" / "gpuclust" / "_resources.py"))
    with pytest.raises(ResourceError, match="incomplete"):
        _resources.kernels_folder()
