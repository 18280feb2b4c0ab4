"""The k-means job as a function: events, and an input that changes under it."""

from __future__ import annotations

import math
import os
import warnings

import numpy as np
import pytest

from gpuclust.errors import FileFormatError, ParameterError
from gpuclust.jobs.events import batch_callback, finite, iteration_callback, reported_warnings
from gpuclust.jobs.kmeans import KMeansJob, run_kmeans
from gpuclust.jobs.manifest import cluster_sizes


class Log:
    """Keeps the events."""

    def __init__(self):
        self.events = []

    def __call__(self, event, **fields):
        self.events.append((event, fields))


def test_results(points, tmp_path):
    log = Log()
    results = run_kmeans(KMeansJob(input=str(points), output=str(tmp_path / "out"), n_clusters=2), log)
    assert log.events[0][0] == "start"
    assert log.events[-1][0] == "done"
    assert log.events[-1][1]["inertia"] == results["inertia"]


@pytest.mark.parametrize("change", ["content", "length"])
def test_an_input_that_changes_during_the_job(points, rows, tmp_path, change):
    def meddle(event, **_fields):
        if event == "iteration":
            if change == "content":
                points.write_bytes(points.read_bytes())
                os.utime(points, ns=(0, 0))
            else:
                np.save(points, rows[:300])

    with pytest.raises(FileFormatError, match="changed"):
        run_kmeans(KMeansJob(input=str(points), output=str(tmp_path / "out"), n_clusters=2), meddle)
    assert [path.name for path in tmp_path.iterdir()] == ["points.npy"]


def test_a_parameter_of_another_estimator(points, tmp_path):
    job = KMeansJob(input=str(points), output=str(tmp_path / "out"), n_clusters=2, batch_size=10)
    with pytest.raises(ParameterError, match="batch_size=10 cannot be used with KMeans"):
        run_kmeans(job)


@pytest.mark.parametrize("first", [0, 1])
def test_runs_and_iterations_are_counted_from_one(first):
    log = Log()
    callback = iteration_callback(log)
    for iteration in (first, first + 1, first, first):
        callback(iteration, 5, 0.5)
    assert [(fields["run"], fields["iteration"]) for _, fields in log.events] == [(1, 1), (1, 2), (2, 1), (3, 1)]


def test_batches_are_not_all_reported():
    log = Log()
    callback = batch_callback(log)
    for step in range(10_000):
        callback(step, 1.0, math.inf)
    assert log.events[0][1]["step"] == 1
    assert log.events[0][1]["center_shift"] is None
    assert len(log.events) < 1000


def test_warnings_become_events():
    log = Log()
    with reported_warnings(log) as messages:
        warnings.warn("look", UserWarning, stacklevel=1)
    assert messages == ["look"]
    assert log.events == [("warning", {"message": "look"})]


def test_summary_of_sizes():
    labels = np.array([0, 0, 0, 2, 2], dtype=np.int32)
    assert cluster_sizes(labels, 4) == {"min": 0, "median": 1.0, "max": 3, "n_empty": 2}


def test_json_has_no_infinity():
    assert [finite(value) for value in (1, math.inf, -math.inf, math.nan)] == [1.0, None, None, None]
