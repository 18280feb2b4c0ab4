"""``gpuclust kmeans``: what it leaves behind, and what it tells while it runs."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import KMeans
from gpuclust.cli.app import app
from gpuclust.jobs.model import load_model
from tests.cli.terminal import on_a_terminal


@pytest.fixture
def out(tmp_path):
    """Return the path of a folder that does not exist."""
    return tmp_path / "out"


def run(*arguments):
    """Run the command line in this process; it must succeed. Return its events."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_outputs(points, rows, out):
    run("kmeans", points, "-k", 3, "-o", out)
    assert {path.name for path in out.iterdir()} == {"labels.npy", "centers.npy", "model.safetensors", "manifest.json"}
    expected = KMeans(n_clusters=3, random_state=0).fit(rows)
    labels, centers = np.load(out / "labels.npy"), np.load(out / "centers.npy")
    assert labels.dtype == np.int32
    assert np.array_equal(labels, expected.labels_)
    assert centers.tobytes() == expected.cluster_centers_.tobytes()
    assert np.bincount(labels).tolist() == [200, 200, 200]
    assert np.array_equal(load_model(out).predict(rows), labels)


def test_manifest(points, out):
    run("kmeans", points, "-k", 3, "-o", out, "--seed", 7, "--tol", "1e-3", "--max-memory", "64MB")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["command"] == "kmeans"
    assert (manifest["parameters"]["random_state"], manifest["parameters"]["tol"]) == (7, 1e-3)
    assert manifest["job"]["max_memory"] == "64MB"
    source = manifest["input"]
    assert source["path"] == str(points)
    assert (source["n_rows"], source["n_features"], source["dtype"]) == (600, 4, "float32")
    assert source["bytes"] == points.stat().st_size
    assert source["sha256"] == hashlib.sha256(points.read_bytes()).hexdigest()
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["engine"]["name"] == "cpu"
    results = manifest["results"]
    assert set(results["timings"]) == {"open", "fit", "write", "checksum"}
    assert results["cluster_sizes"] == {"min": 200, "median": 200.0, "max": 200, "n_empty": 0}
    assert results["n_iter"] >= 1
    assert results["inertia"] > 0
    assert set(manifest["outputs"]) == {"labels.npy", "centers.npy", "model.safetensors"}
    for name, facts in manifest["outputs"].items():
        assert facts["sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert facts["bytes"] == (out / name).stat().st_size


def test_events(points, out):
    events = run("kmeans", points, "-k", 3, "-o", out, "--n-init", 2)
    assert [event["event"] for event in events[:2]] == ["start", "iteration"]
    assert events[-1]["event"] == "done"
    start, done, iterations = events[0], events[-1], events[1:-1]
    assert (start["n_rows"], start["n_features"], start["n_clusters"]) == (600, 4, 3)
    assert {event["run"] for event in iterations} == {1, 2}
    first_run = [event["iteration"] for event in iterations if event["run"] == 1]
    assert first_run == list(range(1, len(first_run) + 1))
    assert {"n_changed", "center_shift", "elapsed"} <= set(iterations[0])
    assert done["cluster_sizes"]["max"] == 200
    assert done["output"] == str(out)


def test_quiet(points, out):
    assert run("kmeans", points, "-k", 3, "-o", out, "--quiet") == []


@pytest.mark.parametrize(
    "options",
    [
        ["--init", "random"],
        ["--init", "k-means||"],
        ["--n-init", 3],
        ["--max-iter", 2],
        ["--metric", "cosine"],
        ["--precision", "fast"],
        ["--device", "cpu"],
        ["--minibatch"],
        ["--minibatch", "--batch-size", 100, "--metric", "cosine"],
    ],
)
def test_options(points, out, options):
    run("kmeans", points, "-k", 3, "-o", out, *options)
    assert np.load(out / "labels.npy").shape == (600,)
    assert load_model(out).n_clusters == 3


def test_chunks_and_memory_do_not_change_a_bit(points, tmp_path):
    contents = set()
    for number, options in enumerate([[], ["--chunk-rows", 7], ["--chunk-rows", 1000], ["--max-memory", "1MB"]]):
        run("kmeans", points, "-k", 5, "-o", tmp_path / str(number), *options)
        contents.add(tuple((tmp_path / str(number) / name).read_bytes() for name in ("labels.npy", "centers.npy")))
    assert len(contents) == 1


def test_weights_and_initial_centres_from_files(points, rows, out, tmp_path):
    weights = np.linspace(0, 1, 600)
    np.save(tmp_path / "w.npy", weights)
    np.save(tmp_path / "init.npy", rows[[0, 1]])
    run("kmeans", points, "-k", 2, "-o", out, "--weights", tmp_path / "w.npy", "--init", tmp_path / "init.npy")
    expected = KMeans(n_clusters=2, init=rows[[0, 1]]).fit(rows, sample_weight=weights)
    assert np.array_equal(np.load(out / "labels.npy"), expected.labels_)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["job"]["init"].endswith("init.npy")
    assert manifest["weights"]["sha256"] == hashlib.sha256((tmp_path / "w.npy").read_bytes()).hexdigest()


def test_labels_as_parquet(points, out):
    parquet = pytest.importorskip("pyarrow.parquet")
    run("kmeans", points, "-k", 3, "-o", out, "--labels-format", "parquet")
    assert not (out / "labels.npy").exists()
    assert parquet.read_table(out / "labels.parquet")["label"].to_numpy().shape == (600,)


def test_force_replaces_an_old_result(points, out, tmp_path):
    run("kmeans", points, "-k", 3, "-o", out, "--labels-format", "npy")
    run("kmeans", points, "-k", 2, "-o", out, "--force")
    assert len(np.load(out / "centers.npy")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out", "points.npy"}


def test_more_clusters_than_distinct_rows_is_a_warning(tmp_path, out):
    np.save(tmp_path / "x.npy", np.repeat(np.eye(2), 5, axis=0))
    events = run("kmeans", tmp_path / "x.npy", "-k", 3, "-o", out)
    [warning] = [event for event in events if event["event"] == "warning"]
    assert "distinct clusters (2) found smaller than n_clusters (3)" in warning["message"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["warnings"] == [warning["message"]]
    assert manifest["results"]["cluster_sizes"]["n_empty"] == 1
    result = CliRunner().invoke(app, ["kmeans", str(tmp_path / "x.npy"), "-k3", "-o", str(out), "--force", "--quiet"])
    assert result.stdout == ""
    assert result.stderr.startswith("gpuclust: warning: Number of distinct clusters (2)")


def test_progress_on_a_terminal(points, out):
    text = on_a_terminal("kmeans", points, "-k", 3, "-o", out)
    assert "rows changed, shift" in text
    assert "cluster sizes 200 to 200" in text
    assert '"event"' not in text
