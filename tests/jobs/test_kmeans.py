"""The k-means job as a function: results, and an input that changes under it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from gpuclust.errors import FileFormatError, ParameterError
from gpuclust.jobs.fit import run_fit
from gpuclust.jobs.kmeans import KMeansJob


def test_results(points, tmp_path, log):
    results = run_fit(KMeansJob(input=str(points), output=str(tmp_path / "out"), n_clusters=2), log)
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
        run_fit(KMeansJob(input=str(points), output=str(tmp_path / "out"), n_clusters=2), meddle)
    assert [path.name for path in tmp_path.iterdir()] == ["points.npy"]


def test_a_parameter_of_another_estimator(points, tmp_path):
    job = KMeansJob(input=str(points), output=str(tmp_path / "out"), n_clusters=2, batch_size=10)
    with pytest.raises(ParameterError, match="batch_size=10 cannot be used with KMeans"):
        run_fit(job)
