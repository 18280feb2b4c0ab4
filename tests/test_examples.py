"""The examples do what they say: clusters are found, and the picture is there."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import gpuclust

ROOT = Path(gpuclust.__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

pytest.importorskip("matplotlib")


def check(output: str, folder: Path, name: str) -> None:
    """A nearly perfect ARI was printed, and the folder holds a picture, of which most is not blank, and no more."""
    assert float(re.search(r"^ARI (\S+)$", output, re.MULTILINE)[1]) > 0.95
    assert [path.name for path in folder.iterdir()] == [f"{name}.png"]
    image = pytest.importorskip("PIL.Image").open(folder / f"{name}.png").convert("RGB")
    assert min(image.size) > 500
    assert len({color for _, color in image.getcolors(1 << 24)}) > 50


def test_there_are_examples_and_each_is_told_of():
    assert [path.stem for path in EXAMPLES] == ["dbscan_blobs", "deep_blobs", "kmeans_blobs"]
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert all(f"[{path.name}]({path.name})" in text for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    if path.stem.startswith("deep"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    check(capsys.readouterr().out, tmp_path, path.stem)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_in_a_process_of_its_own(path, tmp_path):
    """As one runs them, warnings about gpuclust's own use of other libraries included."""
    if path.stem.startswith("deep"):
        pytest.importorskip("torch")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GPUCLUST_DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:gpuclust", path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    check(done.stdout, tmp_path, path.stem)
