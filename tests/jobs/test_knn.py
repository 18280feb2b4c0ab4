"""`run_knn`: the job without the command line."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from gpuclust import NearestNeighbors
from gpuclust.errors import FileFormatError, MissingDependencyError
from gpuclust.jobs.knn import KNNJob, run_knn


def test_results(points, rows, tmp_path, log):
    found = run_knn(KNNJob(input=str(points), output=str(tmp_path / "out"), n_neighbors=3), log)
    assert (found["n_queries"], found["recall"]) == (600, 1.0)
    assert log.events[0][0] == "start"
    assert log.events[-1][0] == "done"
    expected = NearestNeighbors(3).fit(rows).kneighbors()
    for name, wanted in zip(("distances", "indices"), expected, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{name}.npy"), wanted)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["results"] == found


def test_without_faiss(points, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"gpuclust\[cpu\]") as raised:
        run_knn(KNNJob(input=str(points), output=str(tmp_path / "out"), n_neighbors=3))
    assert raised.value.exit_code == 4
    assert not (tmp_path / "out").exists()


def test_a_file_that_changes_in_the_meantime(points, tmp_path, log):
    def change(event, **fields):
        if event == "stage":
            np.save(points, np.ones((600, 4)))

    with pytest.raises(FileFormatError, match="changed"):
        run_knn(KNNJob(input=str(points), output=str(tmp_path / "out"), n_neighbors=3), change)
    assert not (tmp_path / "out").exists()
