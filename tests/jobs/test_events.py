"""Events: which calls of a callback become one, and what JSON can hold of them; the summary of cluster sizes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from gpuclust.jobs.events import batch_callback, finite, iteration_callback, reported_warnings, stage_callback
from gpuclust.jobs.manifest import cluster_sizes


@pytest.mark.parametrize("first", [0, 1])
def test_runs_and_iterations_are_counted_from_one(first, log):
    callback = iteration_callback(log)
    for iteration in (first, first + 1, first, first):
        callback(iteration, 5, 0.5)
    assert [(fields["run"], fields["iteration"]) for _, fields in log.events] == [(1, 1), (1, 2), (2, 1), (3, 1)]


def test_batches_are_not_all_reported(log):
    callback = batch_callback(log)
    for step in range(10_000):
        callback(step, 1.0, math.inf)
    assert log.events[0][1]["step"] == 1
    assert log.events[0][1]["center_shift"] is None
    assert len(log.events) < 1000


def test_first_and_last_call_of_each_stage_are_reported(log):
    callback = stage_callback(log)
    for stage in ("count", "link"):
        for done in range(10_001):
            callback(stage, done, 10_000)
    stages = [(fields["stage"], fields["done"], fields["total"]) for _, fields in log.events]
    assert {("count", 0, 10_000), ("count", 10_000, 10_000), ("link", 0, 10_000)} < set(stages)
    assert stages[-1] == ("link", 10_000, 10_000)
    assert len(stages) < 1000


def test_warnings_become_events(log):
    with reported_warnings(log) as messages:
        warnings.warn("look", UserWarning, stacklevel=1)
    assert messages == ["look"]
    assert log.events == [("warning", {"message": "look"})]


def test_summary_of_sizes():
    labels = np.array([0, 0, 0, 2, 2], dtype=np.int32)
    assert cluster_sizes(labels, 4) == {"min": 0, "median": 1.0, "max": 3, "n_empty": 2}


def test_summary_of_sizes_with_noise():
    labels = np.array([1, -1, -1, -1, 0, 1], dtype=np.int32)
    assert cluster_sizes(labels, 2) == {"min": 1, "median": 1.5, "max": 2, "n_empty": 0}
    assert cluster_sizes(labels[1:4], 0) == {"min": 0, "median": 0.0, "max": 0, "n_empty": 0}


def test_json_has_no_infinity():
    assert [finite(value) for value in (1, math.inf, -math.inf, math.nan)] == [1.0, None, None, None]
