"""Bad input of every kind, at the command line: the right exit code, one plain line, nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import KMeans, errors
from gpuclust.cli import exits
from gpuclust.cli.app import app
from gpuclust.jobs import fit as job


@pytest.fixture
def refused(tmp_path):
    """Return a function that runs the command line, which must fail, and returns exit code and line on stderr."""

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code != 0
        assert sorted(tmp_path.rglob("*")) == before, "something was left behind"
        assert "Traceback" not in result.output
        if result.stdout:
            event = json.loads(result.stdout.splitlines()[-1])
            assert (event["event"], event["exit_code"]) == ("error", result.exit_code)
            assert result.stderr.strip() == f"gpuclust: {event['message']}"
            assert result.stderr.count("\n") == 1
        return result.exit_code, result.stderr

    return run


def _with(value, *, at=(17, 3)):
    X = np.ones((40, 5))
    X[at] = value
    return X


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_with(np.nan), "row 17, column 3"),
        (_with(np.inf), "row 17, column 3"),
        (_with(-np.inf).astype(np.float32), "row 17, column 3"),
        (np.zeros((0, 5)), "0 sample"),
        (np.zeros((5, 0)), "0 feature"),
        (np.zeros(5), "Expected 2D array, got 1D array"),
        (np.float64(1), "Expected 2D array"),
        (np.zeros((2, 3, 4)), "3"),
        (np.zeros((5, 2), complex), "omplex"),
        (np.array([["a", "b"]] * 5), "dtype"),
        (np.zeros((5, 2), "M8[s]"), "dtype"),
        (np.zeros((5, 2), [("x", float)]), "dtype"),
        (np.array([[1, 2], [3]], dtype=object), "object"),  # ragged: stored as pickled objects
        (np.array([[1.0, None]] * 5, dtype=object), "object"),
    ],
    ids=lambda value: getattr(value, "dtype", value),
)
def test_rows_that_cannot_be_clustered(tmp_path, refused, content, message):
    np.save(tmp_path / "x.npy", content, allow_pickle=True)
    code, line = refused("kmeans", tmp_path / "x.npy", "-k", 2, "-o", tmp_path / "out")
    assert code == 3
    assert message in line


def test_sparse_matrices_are_not_a_file_format(tmp_path, refused):
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "x.npz", sparse.eye(5).tocsr())
    code, line = refused("kmeans", tmp_path / "x.npz", "-k", 2, "-o", tmp_path / "out")
    assert code == 3
    assert ".npz" in line


def _truncated(content):
    return content[:-10]


def _lengthened(content):
    return content + b"\0" * 8


def _wrong_header(content):
    return content.replace(b"(600, 4)", b"(999, 4)")


def _no_header(content):
    return b"\x00\x01" + content[2:]


@pytest.mark.parametrize(
    "damage", [_truncated, _lengthened, _wrong_header, _no_header, lambda _: b"", lambda _: b"\x93"]
)
def test_damaged_files(points, tmp_path, refused, damage):
    points.write_bytes(damage(points.read_bytes()))
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out")
    assert code == 3
    assert "points.npy" in line


@pytest.mark.parametrize("suffix", ["fbin", "fvecs", "parquet", "csv", ""])
def test_files_that_are_not_what_their_suffix_says(tmp_path, refused, suffix):
    path = tmp_path / (f"x.{suffix}" if suffix else "x")
    path.write_bytes(b"\x10\x00\x00\x00\x04\x00\x00\x00" + b"\0" * 99)
    assert refused("kmeans", path, "-k", 2, "-o", tmp_path / "out")[0] == 3


def test_missing_input_and_folder_as_input(tmp_path, refused):
    code, line = refused("kmeans", tmp_path / "no.npy", "-k", 2, "-o", tmp_path / "out")
    assert code == 3
    assert "no.npy" in line
    assert refused("kmeans", tmp_path, "-k", 2, "-o", tmp_path / "out")[0] == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_input_without_permission(points, tmp_path, refused):
    points.chmod(0)
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out")
    assert code == 3
    assert "Permission denied" in line


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["-k", 0], 2, "n_clusters"),
        (["-k", -3], 2, "n_clusters"),
        (["-k", 601], 3, "n_samples=600 should be >= n_clusters=601"),
        (["-k", "two"], 2, "-k"),
        (["-k", 2.5], 2, "-k"),
        ([], 2, "-k"),
        (["-k", 2, "--n-init", 0], 2, "n_init"),
        (["-k", 2, "--max-iter", 0], 2, "max_iter"),
        (["-k", 2, "--tol", -1], 2, "tol"),
        (["-k", 2, "--tol", "nan"], 2, "tol"),
        (["-k", 2, "--init", "best"], 2, "init"),
        (["-k", 2, "--metric", "manhattan"], 2, "metric"),
        (["-k", 2, "--precision", "low"], 2, "precision"),
        (["-k", 2, "--seed", -1], 2, "random_state"),
        (["-k", 2, "--seed", 2**40], 2, "random_state"),
        (["-k", 2, "--device", "tpu"], 2, "device='tpu'"),
        (["-k", 2, "--device", "cuda:7"], 4, "device='cuda:7'"),
        (["-k", 2, "--max-memory", "lots"], 2, "max_memory"),
        (["-k", 2, "--chunk-rows", 0], 2, "chunk-rows"),
        (["-k", 2, "--batch-size", 100], 2, "batch_size=100"),
        (["-k", 2, "--minibatch", "--batch-size", 0], 2, "batch_size"),
        (["-k", 2, "--labels-format", "csv"], 2, "labels-format"),
        (["-k", 2, "--unknown"], 2, "--unknown"),
    ],
    ids=str,
)
def test_options_that_break_their_rule(points, tmp_path, refused, options, code, message):
    found, line = refused("kmeans", points, "-o", tmp_path / "out", *options)
    assert (found, message in line) == (code, True), line


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--eps", 0], 2, "eps"),
        (["--eps", -1], 2, "eps"),
        (["--eps", "nan"], 2, "eps"),
        (["--eps", "inf"], 2, "eps"),
        (["--eps", "wide"], 2, "--eps"),
        ([], 2, "--eps"),
        (["--eps", 1, "--min-samples", 0], 2, "min_samples"),
        (["--eps", 1, "--min-samples", 2.5], 2, "--min-samples"),
        (["--eps", 1, "--metric", "jaccard"], 2, "metric"),
        (["--eps", 1, "--metric", "haversine"], 3, "haversine"),
        (["--eps", 1, "--metric", "precomputed"], 3, "square"),
        (["--eps", 1, "--device", "cuda:7"], 4, "device='cuda:7'"),
        (["--eps", 1, "--max-memory", "lots"], 2, "max_memory"),
        (["--eps", 1, "--labels-format", "csv"], 2, "labels-format"),
    ],
    ids=str,
)
def test_options_of_dbscan_that_break_their_rule(points, tmp_path, refused, options, code, message):
    found, line = refused("dbscan", points, "-o", tmp_path / "out", *options)
    assert (found, message in line) == (code, True), line


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        ([[0, 1], [2, 0]], "ymmetric"),
        ([[0, -1], [-1, 0]], "egative"),
        ([[0, np.nan], [np.nan, 0]], "NaN"),
    ],
)
def test_distances_that_are_none(tmp_path, refused, distances, message):
    np.save(tmp_path / "d.npy", np.array(distances, float))
    code, line = refused("dbscan", tmp_path / "d.npy", "--eps", 1, "-o", tmp_path / "out", "--metric", "precomputed")
    assert (code, message in line) == (3, True), line


@pytest.mark.parametrize("content", [_with(np.nan), np.zeros((0, 5)), np.zeros(5), np.zeros((5, 2), complex)])
def test_rows_that_dbscan_cannot_cluster(tmp_path, refused, content):
    np.save(tmp_path / "x.npy", content)
    assert refused("dbscan", tmp_path / "x.npy", "--eps", 1, "-o", tmp_path / "out")[0] == 3


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(600), "weight"),
        (np.zeros(600), "weight"),
        (np.full(600, np.nan), "weight"),
        (np.ones(599), "weight"),
        (np.ones((600, 1)), "weights"),
        (np.array(["a"] * 600), "weight"),
        (np.array([None] * 600), "weights"),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_bad_weights(points, tmp_path, refused, weights, message):
    np.save(tmp_path / "w.npy", weights, allow_pickle=True)
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out", "--weights", tmp_path / "w.npy")
    assert (code, message in line) == (3, True), line


@pytest.mark.parametrize("content", [b"", b"not an array"])
def test_bad_files_of_weights_and_initial_centres(points, tmp_path, refused, content):
    (tmp_path / "w.npy").write_bytes(content)
    for option in ("weights", "init"):
        code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out", f"--{option}", tmp_path / "w.npy")
        assert code == 3
        assert f"{option}=" in line


def test_initial_centres_of_the_wrong_shape(points, rows, tmp_path, refused):
    np.save(tmp_path / "init.npy", rows[:3])
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out", "--init", tmp_path / "init.npy")
    assert code == 2
    assert "(3, 4)" in line


def test_existing_output(points, tmp_path, refused):
    (tmp_path / "out").mkdir()
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out")
    assert code == 2
    assert "--force" in line
    (tmp_path / "out" / "thesis.tex").write_text("")
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out", "--force")
    assert code == 2
    assert "thesis.tex" in line


@pytest.mark.parametrize("output", ["/proc/out", "no/such/out", "points.npy/out"])
def test_output_that_cannot_be_written(points, tmp_path, refused, output):
    code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / output)
    assert code == 4
    assert "cannot be written" in line


def test_disk_full(points, tmp_path, refused):
    """A limit on the size of files stands for a full disk: the same errors from the same calls."""
    KMeans(2, random_state=0).fit(points)  # compiled kernels are kept in files too, which is not what is tested here
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        code, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 4
    assert "labels.npy" in line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError("Unable to allocate 9 TiB"), 4),
        (errors.ResourceError("threads"), 4),
        (errors.MissingDependencyError("pip install 'gpuclust[io]'"), 4),
        (OSError(5, "Input/output error"), 4),
        (RuntimeError("a bug"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_while_running(points, tmp_path, refused, monkeypatch, error, code):
    def failing(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(job, "save_model", failing)
    found, line = refused("kmeans", points, "-k", 2, "-o", tmp_path / "out")
    assert found == code
    assert str(error) in line


def test_every_error_class_has_its_exit_code():
    codes = {
        errors.ParameterError: 2,
        errors.DataError: 3,
        errors.DataTypeError: 3,
        errors.FileFormatError: 3,
        errors.OutputError: 4,
        errors.ResourceError: 4,
        errors.DeviceError: 4,
        errors.MissingDependencyError: 4,
        errors.ModelError: 5,
    }
    for kind, code in codes.items():
        assert exits.exit_code(kind("a\nb")) == code
        assert exits.one_line(kind("a\nb")) == "a b"


@pytest.mark.parametrize(("variable", "traceback"), [("", False), ("1", True)])
def test_a_real_process(points, tmp_path, variable, traceback):
    arguments = [sys.executable, "-m", "gpuclust.cli", "kmeans", points, "-k", "0", "-o", tmp_path / "out", "-q"]
    environment = os.environ | {"GPUCLUST_TRACEBACK": variable}
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert ("Traceback" in result.stderr) == traceback
    assert result.stderr.splitlines()[-1].startswith("gpuclust: ")
