"""``gpuclust predict``: labels for new rows from a saved model."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import KMeans
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
