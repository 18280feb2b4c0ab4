"""The DBSCAN job as a function: results and events, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gpuclust.errors import FileFormatError
from gpuclust.jobs.dbscan import DBSCANJob
from gpuclust.jobs.fit import run_fit

# 0, 1, 2 are close together, 10 and 11 too, 5 is alone; with min_samples=3 only 1 is a core row.
POINTS = np.array([[11.0], [0.0], [1.0], [5.0], [2.0], [10.0]])


@pytest.fixture
def job(tmp_path):
    """Return a function that makes the job of clustering `POINTS` with given options."""
    np.save(tmp_path / "x.npy", POINTS)
    return lambda **options: DBSCANJob(
        **{"input": str(tmp_path / "x.npy"), "output": str(tmp_path / "out"), "eps": 1.0, **options}
    )


def test_results_by_hand(job, log, tmp_path):
    results = run_fit(job(min_samples=2), log)
    assert np.load(tmp_path / "out" / "labels.npy").tolist() == [0, 1, 1, -1, 1, 0]
    assert np.load(tmp_path / "out" / "core_sample_indices.npy").tolist() == [0, 1, 2, 4, 5]
    expected = {
        "n_clusters": 2,
        "n_core": 5,
        "n_noise": 1,
        "cluster_sizes": {"min": 2, "median": 2.5, "max": 3, "n_empty": 0},
    }
    assert {name: results[name] for name in expected} == expected
    events = [event for event, _ in log.events]
    assert (events[0], events[-1]) == ("start", "done")
    assert set(events[1:-1]) == {"stage"}
    start, done = log.events[0][1], log.events[-1][1]
    assert (start["eps"], start["min_samples"], start["metric"]) == (1.0, 2, "euclidean")
    assert {name: done[name] for name in expected} == expected


def test_weights_count(job, tmp_path):
    np.save(tmp_path / "w.npy", np.array([1, 1, 1, 3, 1, 1]))
    results = run_fit(job(min_samples=3, weights=str(tmp_path / "w.npy")))
    assert np.load(tmp_path / "out" / "labels.npy").tolist() == [-1, 0, 0, 1, 0, -1]
    assert (results["n_clusters"], results["n_core"], results["n_noise"]) == (2, 2, 2)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["weights"]["path"].endswith("w.npy")


def test_nothing_but_noise(job, tmp_path):
    results = run_fit(job(min_samples=7))
    assert (results["n_clusters"], results["n_core"], results["n_noise"]) == (0, 0, 6)
    assert results["cluster_sizes"]["max"] == 0
    assert np.load(tmp_path / "out" / "core_sample_indices.npy").shape == (0,)


def test_precomputed_distances(job, tmp_path):
    np.save(tmp_path / "d.npy", np.abs(POINTS - POINTS.T))
    run_fit(job(input=str(tmp_path / "d.npy"), min_samples=2, metric="precomputed"))
    assert np.load(tmp_path / "out" / "labels.npy").tolist() == [0, 1, 1, -1, 1, 0]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"labels.npy", "core_sample_indices.npy", "manifest.json"}


def test_an_input_that_changes_during_the_job(job, tmp_path):
    def meddle(event, **_fields):
        if event == "stage":
            np.save(tmp_path / "x.npy", POINTS[:3])

    with pytest.raises(FileFormatError, match="changed"):
        run_fit(job(), meddle)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
