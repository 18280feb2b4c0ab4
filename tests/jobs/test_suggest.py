"""The suggest job: what it leaves, what it tells, and what it does where something is not installed."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from gpuclust import suggest_eps, suggest_k
from gpuclust.errors import DataError, ParameterError
from gpuclust.jobs.suggest import SuggestJob, run_suggest

pytest.importorskip("faiss")


@pytest.fixture
def job(points, tmp_path):
    """Return a maker of jobs over the points; few numbers of clusters are tried."""

    def make(**options):
        return SuggestJob(**{"input": str(points), "output": str(tmp_path / "out"), "k": (2, 4), **options})

    return make


def test_it_is_what_the_functions_say(job, rows, tmp_path, log):
    pytest.importorskip("matplotlib")
    found = run_suggest(job(), log)
    assert found.k.to_dict() == suggest_k(rows, k=(2, 4), random_state=0).to_dict()
    assert found.eps.to_dict() == suggest_eps(rows).to_dict()
    assert found.k.value == 3
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"suggestion.json", "k.png", "eps.png", "manifest.json"}
    assert json.loads((out / "suggestion.json").read_text()) == {"k": found.k.to_dict(), "eps": found.eps.to_dict()}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["command"] == "suggest"
    assert manifest["results"]["k"] == {"n_clusters": 3, "reason": found.k.reason}
    assert manifest["results"]["eps"]["min_samples"] == 8
    assert set(manifest["outputs"]) == {"suggestion.json", "k.png", "eps.png"}
    assert manifest["input"]["n_rows"] == 600
    events = [event for event, _ in log.events]
    assert (events[0], events[-1]) == ("start", "done")
    assert {fields["stage"] for event, fields in log.events if event == "stage"} >= {
        "fits",
        "stability",
        "gap",
        "search",
    }
    assert log.events[-1][1]["k"]["n_clusters"] == 3
    assert f"{found.k.to_text()}\n\n{found.eps.to_text()}" == found.to_text()


def test_without_a_folder_nothing_is_written(job, tmp_path):
    run_suggest(job(output=None, k=(2, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["points.npy"]


def test_haversine_has_no_k(job, tmp_path):
    np.save(tmp_path / "places.npy", np.random.default_rng(0).uniform(-1, 1, (100, 2)))
    found = run_suggest(job(input=str(tmp_path / "places.npy"), metric="haversine"))
    assert found.k is None
    assert found.eps.metric == "haversine"
    assert found.to_dict()["k"] is None
    assert not (tmp_path / "out" / "k.png").exists()


def test_what_is_not_installed_is_said(job, tmp_path, log, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "faiss"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("matplotlib", "faiss"):
        monkeypatch.setitem(sys.modules, name, None)
    found = run_suggest(job(k=(2, 3)), log)
    assert found.eps is None
    said = [fields["message"] for event, fields in log.events if event == "warning"]
    assert [message.split(":")[0] for message in said] == ["no eps is suggested", "no plots are drawn"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["warnings"] == said
    assert set(manifest["outputs"]) == {"suggestion.json"}


def test_errors_leave_nothing(job, tmp_path):
    for options, error in (({"k": (2, 600)}, ParameterError), ({"min_samples": 600}, DataError)):
        with pytest.raises(error):
            run_suggest(job(**{"k": (2, 2), **options}))
    assert [path.name for path in tmp_path.iterdir()] == ["points.npy"]
