"""``gpuclust predict``: labels for new rows from a saved model."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from typer.testing import CliRunner

from gpuclust import DBSCAN, KMeans
from gpuclust.cli.app import app
from gpuclust.jobs.model import load_model


def run(*arguments):
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(params=["euclidean", "cosine"])
def model(request, points, tmp_path):
    """Return the folder of a fitted model, of each metric."""
    assert run("kmeans", points, "-k", 3, "-o", tmp_path / "out", "--metric", request.param).exit_code == 0
    return tmp_path / "out"


def test_labels(model, points, rows, tmp_path):
    expected = load_model(model).predict(rows)
    assert np.array_equal(expected, np.load(model / "labels.npy"))
    for number, (place, options) in enumerate(
        [(model, []), (model / "model.safetensors", ["--chunk-rows", 7]), (model, ["--max-memory", "1MB"])]
    ):
        file = tmp_path / f"{number}.npy"
        assert run("predict", place, points, "-o", file, *options).exit_code == 0
        labels = np.load(file)
        assert labels.dtype == np.int32
        assert np.array_equal(labels, expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "chebyshev"])
def test_labels_of_dbscan(points, rows, tmp_path, metric):
    """Rows get the label of the nearest core row within eps; core rows their own."""
    eps = 0.05 if metric == "cosine" else 1.5
    assert run("dbscan", points, "--eps", eps, "-o", tmp_path / "out", "--metric", metric).exit_code == 0
    cores, labels = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("core_sample_indices", "labels"))
    new = np.concatenate([rows[::2] + np.float32(0.3), np.float32([[90, -90, 90, -90]])])
    np.save(tmp_path / "new.npy", new)
    distances = pairwise_distances(new.astype(np.float64), rows[cores].astype(np.float64), metric=metric)
    expected = np.where(distances.min(1) <= eps, labels[cores][distances.argmin(1)], -1)
    assert (set(expected) >= {-1, 0}, expected[-1]) == (True, -1)
    for number, options in enumerate([[], ["--chunk-rows", 7], ["--max-memory", "1MB"]]):
        file = tmp_path / f"{number}.npy"
        assert run("predict", tmp_path / "out", tmp_path / "new.npy", "-o", file, *options).exit_code == 0
        found = np.load(file)
        assert found.dtype == np.int32
        assert np.array_equal(found, expected)


def test_device_and_memory_are_those_of_the_prediction(points, tmp_path, monkeypatch):
    assert run("dbscan", points, "--eps", 1.5, "-o", tmp_path / "out", "--max-memory", "64MB").exit_code == 0
    seen = []
    monkeypatch.setattr(DBSCAN, "predict", lambda self, X: seen.append(self) or np.zeros(X.n_rows, np.int32))
    options = ["--device", "cpu", "--max-memory", "32MB"]
    assert run("predict", tmp_path / "out", points, "-o", tmp_path / "l.npy", *options).exit_code == 0
    assert (seen[0].device, seen[0].max_memory) == ("cpu", "32MB")


def test_parquet(model, points, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("predict", model, points, "-o", tmp_path / "l.parquet").exit_code == 0
    labels = parquet.read_table(tmp_path / "l.parquet")["label"].to_numpy()
    assert np.array_equal(labels, np.load(model / "labels.npy"))


def test_columns_by_name(tmp_path, rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=list("abcd"))
    frame.to_parquet(tmp_path / "x.parquet")
    frame.rename(columns={"a": "z"}).to_parquet(tmp_path / "y.parquet")
    assert run("kmeans", tmp_path / "x.parquet", "-k", 2, "-o", tmp_path / "out").exit_code == 0
    assert run("predict", tmp_path / "out", tmp_path / "x.parquet", "-o", tmp_path / "l.npy").exit_code == 0
    result = run("predict", tmp_path / "out", tmp_path / "y.parquet", "-o", tmp_path / "m.npy")
    assert result.exit_code == 3
    assert "feature names" in result.stderr
    assert np.array_equal(np.load(tmp_path / "l.npy"), KMeans(2, random_state=0).fit(rows).labels_)


def test_wrong_feature_count(model, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, 3)))
    before = sorted(tmp_path.rglob("*"))
    result = run("predict", model, tmp_path / "x.npy", "-o", tmp_path / "l.npy")
    assert result.exit_code == 3
    assert "X has 3 features, but KMeans is expecting 4 features" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_nan(model, tmp_path):
    np.save(tmp_path / "x.npy", np.full((5, 4), np.nan))
    assert run("predict", model, tmp_path / "x.npy", "-o", tmp_path / "l.npy").exit_code == 3
    assert not (tmp_path / "l.npy").exists()


def test_output(model, points, tmp_path):
    assert run("predict", model, points, "-o", tmp_path / "l.csv").exit_code == 2
    assert run("predict", model, points, "-o", tmp_path / "no" / "l.npy").exit_code == 4
    (tmp_path / "l.npy").write_text("precious")
    assert run("predict", model, points, "-o", tmp_path / "l.npy").exit_code == 2
    assert (tmp_path / "l.npy").read_text() == "precious"
    assert run("predict", model, points, "-o", tmp_path / "l.npy", "--force").exit_code == 0


def test_a_corrupt_model(model, points, tmp_path):
    file = model / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    result = run("predict", model, points, "-o", tmp_path / "l.npy")
    assert result.exit_code == 5
    assert "do not match their SHA-256" in result.stderr
    assert run("predict", points, points, "-o", tmp_path / "l.npy").exit_code == 5
    assert run("predict", tmp_path / "none", points, "-o", tmp_path / "l.npy").exit_code == 5
    assert not (tmp_path / "l.npy").exists()
