"""The job of `gpuclust evaluate`: every score is that of the library, and what is not defined is said."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from gpuclust import metrics
from gpuclust.errors import DataError, ParameterError
from gpuclust.jobs import evaluate
from gpuclust.jobs.evaluate import EvaluateJob, run_evaluate
from gpuclust.metrics.external import EXTERNAL


@pytest.fixture
def labels(tmp_path, rows):
    """Return the path of labels of the rows, some of them wrong."""
    found = np.repeat([0, 1, 2], 200).astype(np.int32)
    found[::20] = 1
    np.save(tmp_path / "labels.npy", found)
    return tmp_path / "labels.npy"


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "truth.parquet"
    pl.DataFrame({"label": np.repeat(["a", "b", "c"], 200)}).write_parquet(path)
    return path


def _run(points, labels, **options):
    return run_evaluate(EvaluateJob(input=str(points), labels=str(labels), **options))


def test_scores_are_the_library_s(points, rows, labels, truth):
    found = _run(points, labels, truth=str(truth))
    assert list(found["scores"]) == ["inertia", "calinski_harabasz", "davies_bouldin", "silhouette", *EXTERNAL]
    assert found["scores"]["silhouette"] == metrics.silhouette_score(rows, labels)
    assert found["scores"]["davies_bouldin"] == metrics.davies_bouldin_score(rows, labels)
    assert found["scores"]["calinski_harabasz"] == metrics.calinski_harabasz_score(rows, labels)
    assert found["scores"]["inertia"] == metrics.inertia(rows, labels)
    assert found["scores"]["adjusted_rand"] == metrics.adjusted_rand_score(truth, labels)
    assert found["scores"]["accuracy"] == metrics.clustering_accuracy(truth, labels) == 580 / 600
    assert (found["n_rows"], found["n_clusters"], found["n_noise"]) == (600, 3, 0)
    assert found["silhouette"] == {"form": "exact"}
    assert found["warnings"] == []


def test_chosen_scores_and_cosine(points, rows, labels):
    found = _run(points, labels, metrics=("dbcv", "silhouette"), metric="cosine", chunk_rows=70)
    assert set(found["scores"]) == {"dbcv", "silhouette"}
    assert found["scores"]["silhouette"] == metrics.silhouette_score(rows, labels, metric="cosine")
    assert found["scores"]["dbcv"] == metrics.dbcv_score(rows, labels, metric="cosine")


def test_large_data_is_sampled_and_said_so(points, rows, labels, monkeypatch):
    monkeypatch.setattr(evaluate, "EXACT_ROWS", 100)
    monkeypatch.setattr(evaluate, "SAMPLE", 50)
    found = _run(points, labels, seed=3)
    assert found["silhouette"] == {"form": "sampled", "sample_size": 50, "seed": 3}
    expected = metrics.silhouette_score(rows, labels, form="sampled", sample_size=50, random_state=3)
    assert found["scores"]["silhouette"] == expected
    exact = _run(points, labels, sample_size=0)
    assert exact["silhouette"] == {"form": "exact"}
    assert exact["scores"]["silhouette"] == metrics.silhouette_score(rows, labels)


def test_noise(points, rows, tmp_path):
    labels = np.repeat([0, 1, 2], 200).astype(np.int32)
    labels[:30] = -1
    np.save(tmp_path / "labels.npy", labels)
    found = _run(points, tmp_path / "labels.npy", metrics=("silhouette", "dbcv"))
    assert (found["n_clusters"], found["n_noise"]) == (4, 30)
    assert found["scores"]["silhouette"] == metrics.silhouette_score(rows, labels)
    assert "30 rows have label -1" in found["warnings"][0]
    ignoring = _run(points, tmp_path / "labels.npy", metrics=("silhouette", "dbcv"), noise="ignore")
    assert (ignoring["n_clusters"], ignoring["n_noise"]) == (3, 30)
    assert ignoring["scores"]["silhouette"] == metrics.silhouette_score(rows, labels, noise="ignore")
    assert ignoring["warnings"] == []
    for one in (found, ignoring):  # to DBCV, -1 is noise always
        assert one["scores"]["dbcv"] == metrics.dbcv_score(rows, labels)


def test_what_is_not_defined(points, tmp_path, truth):
    np.save(tmp_path / "one.npy", np.zeros(600, np.int32))
    found = _run(points, tmp_path / "one.npy", truth=str(truth))
    assert found["scores"]["silhouette"] is None
    assert found["scores"]["adjusted_rand"] == 0.0
    assert any("silhouette is not defined: " in message for message in found["warnings"])
    with pytest.raises(DataError, match="the number of clusters is 1"):
        _run(points, tmp_path / "one.npy", metrics=("silhouette",))


def test_output(points, labels, tmp_path, log):
    job = EvaluateJob(input=str(points), labels=str(labels), output=str(tmp_path / "scores.json"))
    found = run_evaluate(job, log)
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["scores"] == found["scores"]
    assert content["job"]["input"] == str(points)
    assert [event for event, _ in log.events] == ["start", "done"]
    assert log.events[-1][1]["scores"] == found["scores"]
    with pytest.raises(ParameterError, match="exists already"):
        run_evaluate(job)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"metrics": ("silhouete",)}, ParameterError, "metrics='silhouete' should be one of inertia"),
        ({"metrics": ("purity",)}, ParameterError, "--truth"),
        ({"output": "scores.txt"}, ParameterError, "should end in .json"),
        ({"metric": "manhattan"}, ParameterError, "euclidean or cosine"),
        ({"noise": "drop"}, ParameterError, "noise='drop'"),
    ],
)
def test_parameters_are_checked(points, labels, options, error, says):
    with pytest.raises(error, match=says):
        _run(points, labels, **options)


def test_other_lengths(points, tmp_path, labels):
    np.save(tmp_path / "short.npy", np.zeros(5, np.int32))
    with pytest.raises(DataError, match="5 labels, but X has 600 rows"):
        _run(points, tmp_path / "short.npy")
    with pytest.raises(DataError, match="labels_true has 5 labels"):
        _run(points, labels, truth=str(tmp_path / "short.npy"))
    with pytest.raises(DataError, match=r"without labels\.npy"):
        _run(points, tmp_path / "..")
