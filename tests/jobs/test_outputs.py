"""Outputs appear by one rename or not at all, and the leavings of dead runs are removed, those of living ones not."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from gpuclust.errors import OutputError, ParameterError
from gpuclust.jobs import files, outputs
from gpuclust.jobs.files import sha256, write_array, write_labels
from gpuclust.jobs.outputs import output_file, output_folder


def _result(folder, **files):
    """Make ``folder`` look like a result of gpuclust."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "manifest.json").write_text(json.dumps({"versions": {"gpuclust": "0"}, "outputs": dict.fromkeys(files)}))


def test_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "out"
    with output_folder(target) as folder:
        (folder / "a").write_text("1")
        assert folder.parent == tmp_path
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "a").read_text() == "1"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_is_left_after_an_error(tmp_path, error):
    with pytest.raises(error), output_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
        raise error
    with pytest.raises(error), output_file(tmp_path / "out.npy") as file:
        file.write_text("1")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_old_result_survives_an_error(tmp_path):
    _result(tmp_path / "out", labels="old")
    with pytest.raises(RuntimeError), output_folder(tmp_path / "out", force=True):
        raise RuntimeError
    assert (tmp_path / "out" / "labels").read_text() == "old"


def test_an_old_result_is_replaced_when_forced(tmp_path):
    _result(tmp_path / "out", labels="old")
    with pytest.raises(ParameterError, match="exists already"), output_folder(tmp_path / "out"):
        pass
    with output_folder(tmp_path / "out", force=True) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_foreign_files_are_never_replaced(tmp_path):
    _result(tmp_path / "out", labels="old")
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(ParameterError, match=r"'thesis.tex', which gpuclust did not write"):
        output_folder(tmp_path / "out", force=True).__enter__()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(ParameterError, match="gpuclust did not write"):
        output_folder(tmp_path / "plain", force=True).__enter__()


def test_a_failed_swap_puts_the_old_result_back(tmp_path, monkeypatch):
    _result(tmp_path / "out", labels="old")
    rename = outputs.Path.rename

    def failing(self, target):
        if "partial" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(outputs.Path, "rename", failing)
    with pytest.raises(OutputError, match="Input/output error"), output_folder(tmp_path / "out", force=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "labels").read_text() == "old"


def test_a_run_that_died_between_two_renames_loses_nothing(tmp_path):
    _result(tmp_path / ".out.gpuclust-replaced-0123", labels="old")
    with pytest.raises(ParameterError, match="exists already"):
        output_folder(tmp_path / "out").__enter__()
    assert (tmp_path / "out" / "labels").read_text() == "old"


def test_leavings_of_dead_runs_are_removed_and_of_living_ones_not(tmp_path):
    dead = tmp_path / ".out.gpuclust-partial-dead"
    dead.mkdir()
    (dead / "labels.npy").write_text("half")
    other = tmp_path / ".out2.gpuclust-partial-dead"
    other.mkdir()
    with output_folder(tmp_path / "out") as living:
        assert not dead.exists()
        with output_folder(tmp_path / "out") as second:
            assert living.exists()
            assert second != living
        (tmp_path / "out").rmdir()
    assert {path.name for path in tmp_path.iterdir()} == {"out", other.name}


def test_of_two_runs_into_one_folder_the_second_to_finish_fails(tmp_path):
    with (
        pytest.raises(ParameterError, match="exists already"),
        output_folder(tmp_path / "out") as first,
    ):
        (first / "who").write_text("first")
        with output_folder(tmp_path / "out") as second:
            (second / "who").write_text("second")
    assert (tmp_path / "out" / "who").read_text() == "second"
    assert len(list(tmp_path.iterdir())) == 1


def test_leavings_after_sigkill_are_removed_by_the_next_run(tmp_path):
    code = (
        "import os, signal, sys\nfrom gpuclust.jobs.outputs import output_folder\n"
        "with output_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'labels.npy').write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".out.gpuclust-partial-")
    with output_folder(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_missing_parent_and_unwritable_parent(tmp_path):
    with pytest.raises(OutputError, match="is not a folder"):
        output_folder(tmp_path / "no" / "out").__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        output_folder(tmp_path / "file" / "out").__enter__()
    with pytest.raises(OutputError, match="cannot be written"):
        output_folder("/proc/out").__enter__()
    with pytest.raises(OutputError, match="cannot be written"):
        output_file("/proc/out.npy").__enter__()


def test_a_file_and_a_folder_are_not_confused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="should name a folder"):
        output_folder(tmp_path / "file", force=True).__enter__()
    with pytest.raises(ParameterError, match="should name a file"):
        output_file(tmp_path, force=True).__enter__()


def test_full_disk(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.npy_format, "write_array_header_1_0", full)
    with pytest.raises(OutputError, match=r"'labels\.npy' cannot be written: No space left"):  # noqa: SIM117
        with output_folder(tmp_path / "out") as folder:
            write_array(folder / "labels.npy", np.zeros(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 64, 128, 1000, 4095, 4096, 5000])
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_disk_that_fills_up_at_any_byte(tmp_path, limit, suffix):
    """A limit on the size of files stands for a full disk: the same errors from the same calls."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    labels = np.random.default_rng(0).integers(0, 1 << 30, 2000, dtype=np.int32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(OutputError, match="labels"):
            write_labels(tmp_path / "labels", labels, suffix)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("dtype", ["i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3)])
def test_arrays_are_as_numpy_writes_them(tmp_path, shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    write_array(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_flushing_fails_on_a_full_disk(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"), output_folder(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_not_blamed_on_the_output(tmp_path):
    with pytest.raises(TimeoutError), output_folder(tmp_path / "out"):
        raise TimeoutError("reading timed out")


@pytest.mark.parametrize("name", ["[a]*?", "ünï cödé", "-dash", "labels.npy"])
def test_odd_names(tmp_path, name):
    for _ in range(2):
        with output_folder(tmp_path / name, force=True):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_labels_formats(tmp_path):
    labels = np.arange(5, dtype=np.int32)
    write_labels(tmp_path / "a", labels, ".npy")
    assert np.array_equal(np.load(tmp_path / "a"), labels)
    parquet = pytest.importorskip("pyarrow.parquet")
    write_labels(tmp_path / "b", labels, ".parquet")
    table = parquet.read_table(tmp_path / "b")
    assert table.column_names == ["label"]
    assert np.array_equal(table["label"].to_numpy(), labels)
    assert table["label"].type == "int32"


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
