"""Compiled kernels: where they are cached, when they are stale, and that a cache which fails costs only time."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba.core.caching import FunctionCache

from gpuclust.engines.cpu import compile as compilation

PACKAGE = Path(compilation.__file__).parents[2]


def _chosen():
    return compilation.cache_folder.__wrapped__()


def test_the_variable_goes_before_all(monkeypatch, tmp_path):
    monkeypatch.setenv("GPUCLUST_CACHE_DIR", str(tmp_path / "new" / "folder"))
    assert _chosen() == tmp_path / "new" / "folder"
    assert _chosen().is_dir()


def test_an_unusable_choice_is_replaced_by_a_temporary_folder(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("GPUCLUST_CACHE_DIR", str(file / "below"))
    folder = _chosen()
    try:
        assert folder.is_dir()
        assert folder.name.startswith("gpuclust-")
    finally:
        folder.rmdir()


def test_beside_the_sources_else_in_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("GPUCLUST_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    beside = Path(compilation.__file__).parent / "__pycache__"
    monkeypatch.setattr(compilation, "_writable", lambda folder: True)
    assert _chosen() == beside
    monkeypatch.setattr(compilation, "_writable", lambda folder: folder != beside)
    assert _chosen() == tmp_path / "gpuclust"


def test_kernels_release_the_gil_and_keep_ieee_semantics():
    @compilation.kernel
    def thousandth(x):
        return 0.001 / x

    assert thousandth(0.0) == np.inf  # no ZeroDivisionError
    assert thousandth.targetoptions["nogil"]
    assert not thousandth.targetoptions.get("fastmath")


def test_a_cache_that_cannot_be_written_costs_only_time(monkeypatch):
    attempts = []

    def full_disk(self, sig, data):
        attempts.append(sig)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full_disk)

    @compilation.kernel
    def plus_one(x):
        return x + 1

    assert plus_one(41) == 42
    assert attempts


_USE = """
import sys
import numpy as np
from gpuclust.engines.cpu.compile import cache_folder
from gpuclust.engines.cpu.sums import survey
largest = np.zeros(2)
assert survey(np.array([[1.0, -3.0], [2.0, 0.5]]), largest)
assert largest.tolist() == [2.0, 3.0]
print(cache_folder(), sum(survey.stats.cache_hits.values()))
"""


def _use(cache, package=PACKAGE):
    environment = {**os.environ, "GPUCLUST_CACHE_DIR": str(cache), "PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", _USE], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    folder, hits = done.stdout.split()
    return Path(folder), int(hits)


def test_the_second_process_finds_what_the_first_compiled(tmp_path):
    cache = tmp_path / "cache"
    assert _use(cache) == (cache, 0)
    assert len(list(cache.glob("*survey*.nbc"))) == 1
    assert _use(cache) == (cache, 1)


def test_each_signature_has_a_file_of_its_own(tmp_path):
    """Whatever two processes write at once: with numba's numbers, one found the other's code under its own types."""
    first, second = (compilation._Files(str(tmp_path), "kernel", "stamp") for _ in range(2))
    keys = [("(float32,)", "cpu"), ("(float64,)", "cpu")]
    # Both see an empty folder before either writes.
    assert first.load(keys[0]) is None
    assert second.load(keys[1]) is None
    first.save(keys[0], b"of float32")
    second.save(keys[1], b"of float64")
    assert [second.load(key) for key in keys] == [b"of float32", b"of float64"]
    newer = compilation._Files(str(tmp_path), "kernel", "stamp of newer sources")
    assert newer.load(keys[0]) is None
    newer.save(keys[0], b"newer")
    assert first.load(keys[1]) is None  # what is stale is cleared away
    assert newer.load(keys[0]) == b"newer"
    newer.flush()
    assert list(tmp_path.iterdir()) == []


def test_a_spoilt_cache_is_made_anew(tmp_path):
    """Truncated files, as a full disk or a killed process leaves them."""
    _use(tmp_path)
    for path in tmp_path.glob("*.nb*"):
        path.write_bytes(path.read_bytes()[:10])
    assert _use(tmp_path) == (tmp_path, 0)


def _stamp(package):
    path = package / "engines" / "cpu" / "compile.py"
    spec = importlib.util.spec_from_file_location("compile_elsewhere", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._source_stamp()


def test_the_stamp_changes_with_the_sources(tmp_path):
    """Of any file whose code or constants a kernel may hold, not only of the kernel's own."""
    package = tmp_path / "gpuclust"
    shutil.copytree(PACKAGE / "engines", package / "engines", ignore=shutil.ignore_patterns("__pycache__"))
    before = _stamp(package)
    assert _stamp(package) == before
    sources = [*(package / "engines" / "cpu").rglob("*.py"), package / "engines" / "canonical.py"]
    assert len(sources) > 5
    for path in sources:
        original = path.read_text()
        path.write_text(original + "\n")
        assert _stamp(package) != before, path
        path.write_text(original)
