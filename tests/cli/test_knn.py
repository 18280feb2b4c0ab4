"""``gpuclust knn``: what it leaves behind, what it tells while it runs, and how it refuses."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors as Reference
from typer.testing import CliRunner

from gpuclust.cli.app import app
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


def refused(*arguments):
    """Run the command line, which must fail; return exit code and line on stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.stderr.startswith("gpuclust: ")
    assert result.stderr.count("\n") == 1
    return result.exit_code, result.stderr


def _reference(rows, k, queries=None, metric="euclidean"):
    fitted = Reference(n_neighbors=k, metric=metric, algorithm="brute").fit(rows.astype(np.float64))
    return fitted.kneighbors(queries)


def test_outputs(points, rows, out):
    run("knn", points, "-k", 4, "-o", out)
    assert {path.name for path in out.iterdir()} == {"indices.npy", "distances.npy", "manifest.json"}
    indices, distances = np.load(out / "indices.npy"), np.load(out / "distances.npy")
    assert (indices.dtype, distances.dtype) == (np.int64, np.float64)
    expected = _reference(rows, 4)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "chebyshev"])
def test_queries_from_a_file(points, rows, out, tmp_path, metric):
    queries = rows[::50] + np.float32(0.25)
    np.save(tmp_path / "q.npy", queries)
    run("knn", points, "-k", 3, "-o", out, "--queries", tmp_path / "q.npy", "--metric", metric)
    expected = _reference(rows, 3, queries.astype(np.float64), metric)
    np.testing.assert_array_equal(np.load(out / "indices.npy"), expected[1])
    facts = json.loads((out / "manifest.json").read_text())["queries"]
    assert (facts["n_rows"], facts["sha256"]) == (12, hashlib.sha256((tmp_path / "q.npy").read_bytes()).hexdigest())


def test_manifest(points, out):
    run(
        "knn",
        points,
        "-k",
        4,
        "-o",
        out,
        "--index",
        "ivf_flat",
        "--index-param",
        "nlist=6",
        "--index-param",
        "nprobe=6",
    )
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["command"], manifest["queries"]) == ("knn", None)
    assert manifest["index_params"] == {"nlist": 6, "nprobe": 6}
    assert (manifest["job"]["n_neighbors"], manifest["job"]["index"]) == (4, "ivf_flat")
    source = manifest["input"]
    assert (source["n_rows"], source["n_features"], source["dtype"]) == (600, 4, "float32")
    assert source["sha256"] == hashlib.sha256(points.read_bytes()).hexdigest()
    results = manifest["results"]
    assert (results["n_queries"], results["recall"]) == (600, 1.0)
    assert set(results["timings"]) == {"open", "fit", "search", "write", "checksum"}
    assert set(manifest["outputs"]) == {"indices.npy", "distances.npy"}
    for name, facts in manifest["outputs"].items():
        assert facts["sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()


def test_events(points, out):
    start, *stages, done = run("knn", points, "-k", 4, "-o", out)
    assert (start["event"], start["command"], start["n_neighbors"], start["index"]) == ("start", "knn", 4, "flat")
    assert (start["queries"], start["metric"]) == (None, "euclidean")
    assert {event["stage"] for event in stages} == {"search"}
    assert stages[-1]["done"] == stages[-1]["total"]
    assert (done["event"], done["n_queries"], done["recall"], done["output"]) == ("done", 600, 1.0, str(out))


def test_quiet_and_json(points, out, tmp_path):
    assert run("knn", points, "-k", 4, "-o", out, "--quiet") == []
    assert run("knn", points, "-k", 4, "-o", tmp_path / "b", "--json")[-1]["event"] == "done"


def test_chunks_and_memory_do_not_change_a_bit(points, tmp_path):
    contents = set()
    for number, options in enumerate([[], ["--chunk-rows", 37], ["--max-memory", "100KB"]]):
        run("knn", points, "-k", 5, "-o", tmp_path / str(number), *options)
        contents.add(tuple((tmp_path / str(number) / name).read_bytes() for name in ("indices.npy", "distances.npy")))
    assert len(contents) == 1


def test_existing_results(points, out):
    run("knn", points, "-k", 2, "-o", out)
    assert refused("knn", points, "-k", 3, "-o", out)[0] == 2
    run("knn", points, "-k", 3, "-o", out, "--force")
    assert np.load(out / "indices.npy").shape == (600, 3)


def test_what_is_refused_leaves_nothing_behind(points, out, tmp_path):
    np.save(tmp_path / "narrow.npy", np.ones((5, 3)))
    np.save(tmp_path / "nan.npy", np.full((5, 4), np.nan))
    before = sorted(tmp_path.rglob("*"))
    for arguments, code, message in (
        ((points, "-k", 600), 2, "Expected n_neighbors < n_samples_fit, but n_neighbors = 600, n_samples_fit = 600"),
        ((points, "-k", 601, "--queries", points), 2, "Expected n_neighbors <= n_samples_fit"),
        ((points, "-k", 0), 2, "n_neighbors"),
        ((points, "-k", 2, "--queries", tmp_path / "narrow.npy"), 3, "X has 3 features, but NearestNeighbors"),
        ((points, "-k", 2, "--queries", tmp_path / "nan.npy"), 3, "NaN"),
        ((tmp_path / "nan.npy", "-k", 2), 3, "NaN"),
        ((tmp_path / "missing.npy", "-k", 2), 3, "missing.npy"),
        ((points, "-k", 2, "--index-param", "nlist"), 2, "--index-param 'nlist' should be NAME=INT"),
        ((points, "-k", 2, "--index", "hnsw", "--index-param", "nlist=4"), 2, "index='hnsw' does not take"),
        ((points, "-k", 2, "--device", "cuda:0,1"), 2, "several GPUs"),
    ):
        found = refused("knn", *arguments, "-o", out)
        assert found[0] == code, found
        assert message in found[1]
    assert sorted(tmp_path.rglob("*")) == before


def test_progress_on_a_terminal(points, out):
    text = on_a_terminal("knn", points, "-k", 4, "-o", out)
    assert "searching neighbours" in text
    assert "neighbours of 600 rows, recall 1" in text
    assert '"event"' not in text
