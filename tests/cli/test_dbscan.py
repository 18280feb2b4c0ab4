"""``gpuclust dbscan``: what it leaves behind, and what it tells while it runs."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from sklearn.cluster import DBSCAN as Reference
from typer.testing import CliRunner

from gpuclust.cli.app import app
from gpuclust.jobs.model import load_model
from tests.cli.terminal import on_a_terminal

OPTIONS = ("--eps", 1.5, "--min-samples", 4)


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
    run("dbscan", points, *OPTIONS, "-o", out)
    names = {"labels.npy", "core_sample_indices.npy", "model.safetensors", "manifest.json"}
    assert {path.name for path in out.iterdir()} == names
    expected = Reference(eps=1.5, min_samples=4).fit(rows)
    labels, cores = np.load(out / "labels.npy"), np.load(out / "core_sample_indices.npy")
    assert (labels.dtype, cores.dtype) == (np.int32, np.int64)
    assert np.array_equal(labels, expected.labels_)
    assert np.array_equal(cores, expected.core_sample_indices_)
    assert set(labels) == {-1, 0, 1, 2}
    model = load_model(out)
    assert np.array_equal(model.components_, rows[cores])
    assert np.array_equal(model.predict(rows)[cores], labels[cores])


def test_manifest(points, out):
    run("dbscan", points, *OPTIONS, "-o", out, "--metric", "manhattan", "--max-memory", "64MB")
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["command"], manifest["estimator"]) == ("dbscan", "DBSCAN")
    parameters = manifest["parameters"]
    assert (parameters["eps"], parameters["min_samples"], parameters["metric"]) == (1.5, 4, "manhattan")
    assert "callback" not in parameters
    assert manifest["job"]["max_memory"] == "64MB"
    source = manifest["input"]
    assert (source["n_rows"], source["n_features"], source["dtype"]) == (600, 4, "float32")
    assert source["sha256"] == hashlib.sha256(points.read_bytes()).hexdigest()
    assert manifest["engine"]["name"] == "cpu"
    results, labels = manifest["results"], np.load(out / "labels.npy")
    assert set(results) == {"n_clusters", "n_core", "n_noise", "cluster_sizes", "timings"}
    assert set(results["timings"]) == {"open", "fit", "write", "checksum"}
    sizes = np.bincount(labels[labels >= 0])
    assert results["n_clusters"] == len(sizes)
    assert results["n_noise"] == (labels == -1).sum()
    assert (results["cluster_sizes"]["min"], results["cluster_sizes"]["max"]) == (sizes.min(), sizes.max())
    assert set(manifest["outputs"]) == {"labels.npy", "core_sample_indices.npy", "model.safetensors"}
    for name, facts in manifest["outputs"].items():
        assert facts["sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()


def test_events(points, out):
    events = run("dbscan", points, *OPTIONS, "-o", out)
    start, *stages, done = events
    assert (start["event"], start["estimator"], start["eps"], start["min_samples"]) == ("start", "DBSCAN", 1.5, 4)
    assert {event["event"] for event in stages} == {"stage"}
    assert {event["stage"] for event in stages} <= {"count", "link", "claim"}
    assert all(0 <= event["done"] <= event["total"] for event in stages)
    assert {"elapsed"} <= set(stages[0])
    assert (done["event"], done["n_clusters"], done["output"]) == ("done", 3, str(out))
    assert done["n_noise"] > 0


def test_quiet(points, out):
    assert run("dbscan", points, *OPTIONS, "-o", out, "--quiet") == []


@pytest.mark.parametrize(
    ("metric", "eps"),
    [("euclidean", 0.02), ("manhattan", 0.02), ("chebyshev", 0.02), ("haversine", 0.02), ("cosine", 1e-5)],
)
def test_metrics(tmp_path, rows, out, metric, eps):
    X = rows[:, :2].astype(np.float64) / 20
    np.save(tmp_path / "x.npy", X)
    run("dbscan", tmp_path / "x.npy", "--eps", eps, "-o", out, "--metric", metric)
    expected = Reference(eps=eps, metric=metric).fit(X)
    assert np.array_equal(np.load(out / "labels.npy"), expected.labels_)
    assert len(set(expected.labels_)) > 2


def test_precomputed_distances_leave_no_model(tmp_path, rows, out):
    distances = np.linalg.norm(rows[:, None].astype(np.float64) - rows, axis=2)
    np.save(tmp_path / "d.npy", distances)
    run("dbscan", tmp_path / "d.npy", *OPTIONS, "-o", out, "--metric", "precomputed")
    assert np.array_equal(np.load(out / "labels.npy"), Reference(eps=1.5, min_samples=4).fit(rows).labels_)
    assert not (out / "model.safetensors").exists()
    refused = CliRunner().invoke(app, ["predict", str(out), str(tmp_path / "d.npy"), "-o", str(tmp_path / "l.npy")])
    assert refused.exit_code == 5
    assert "precomputed distances leave none" in refused.stderr


def test_chunks_and_memory_do_not_change_a_bit(points, tmp_path):
    contents = set()
    for number, options in enumerate([[], ["--chunk-rows", 7], ["--chunk-rows", 1000], ["--max-memory", "1MB"]]):
        run("dbscan", points, *OPTIONS, "-o", tmp_path / str(number), *options)
        files = ("labels.npy", "core_sample_indices.npy")
        contents.add(tuple((tmp_path / str(number) / name).read_bytes() for name in files))
    assert len(contents) == 1


def test_weights_from_a_file(points, rows, out, tmp_path):
    weights = np.linspace(0, 3, 600)
    np.save(tmp_path / "w.npy", weights)
    run("dbscan", points, *OPTIONS, "-o", out, "--weights", tmp_path / "w.npy")
    expected = Reference(eps=1.5, min_samples=4).fit(rows, sample_weight=weights)
    assert np.array_equal(np.load(out / "labels.npy"), expected.labels_)
    assert not np.array_equal(expected.labels_, Reference(eps=1.5, min_samples=4).fit(rows).labels_)


def test_labels_as_parquet(points, out):
    parquet = pytest.importorskip("pyarrow.parquet")
    run("dbscan", points, *OPTIONS, "-o", out, "--labels-format", "parquet")
    assert parquet.read_table(out / "labels.parquet")["label"].to_numpy().min() == -1


def test_force_replaces_the_result_of_another_command(points, out):
    run("kmeans", points, "-k", 3, "-o", out)
    run("dbscan", points, *OPTIONS, "-o", out, "--force")
    assert not (out / "centers.npy").exists()
    assert (out / "core_sample_indices.npy").exists()


def test_progress_on_a_terminal(points, out):
    text = on_a_terminal("dbscan", points, "--eps", "1.5", "-o", out)
    assert "claiming border rows" in text
    assert "3 clusters, " in text
    assert " core rows, " in text
    assert " noise, cluster sizes " in text
    assert '"event"' not in text
