"""``gpuclust suggest``, ``kmeans -k auto`` and ``dbscan --eps auto`` on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust.cli.app import app
from gpuclust.jobs.model import load_model
from tests.cli.terminal import on_a_terminal


def run(*arguments, code=0):
    """Run the command line in this process; it must end with ``code``."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def few(tmp_path, rows):
    """Return the path of every tenth row: quick to choose for."""
    np.save(tmp_path / "few.npy", rows[::10])
    return tmp_path / "few.npy"


def test_tables(few, tmp_path):
    result = run("suggest", few, "--k", "2:4", "--min-samples", 5, "-o", tmp_path / "out")
    assert "> 3" in result.stdout
    assert "k=3, of 2 to 4: " in result.stdout
    assert "with min_samples=5: the knee" in result.stdout
    assert (tmp_path / "out" / "suggestion.json").exists()
    assert '"event"' not in result.stdout


def test_one_json_object(few):
    found = json.loads(run("suggest", few, "--k", "3", "--json").stdout)
    assert found["k"]["n_clusters"] == 3
    assert found["k"]["table"]["k"] == [3]
    assert found["eps"]["min_samples"] == 6


def test_quiet(few, tmp_path):
    assert run("suggest", few, "--k", "3", "-q", "-o", tmp_path / "out").stdout == ""
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--k", "3-5"), 2, "LOW:HIGH"),
        (("--k", "1:5"), 2, "within 2 to n_samples - 1 = 59"),
        (("--k", "5:3"), 2, "low <= high"),
        (("--max-time", "0"), 2, "max_time=0"),
        (("--k", "2", "--min-samples", "60"), 3, "n_samples=60 should be > min_samples=60"),
    ],
)
def test_bad_input(few, options, code, words):
    assert words in run("suggest", few, *options, code=code).stderr


def test_an_existing_result_needs_force(few, tmp_path):
    (tmp_path / "out").mkdir()
    assert "--force" in run("suggest", few, "-o", tmp_path / "out", code=2).stderr
    run("suggest", few, "--k", "3", "-o", tmp_path / "out", "--force")


def test_progress_on_a_terminal(few):
    text = on_a_terminal("suggest", few, "--k", "2:5")
    assert "halving the rows" in text
    assert "k=3, of 2 to 5: " in text
    assert '"event"' not in text


def test_kmeans_that_chooses(few, tmp_path):
    events = [json.loads(line) for line in run("kmeans", few, "-k", "auto", "-o", tmp_path / "out").stdout.splitlines()]
    start, done = events[0], events[-1]
    assert start["n_clusters"] == "auto"
    assert (done["n_clusters"], done["selection"]["value"]) == (3, 3)
    assert done["selection"]["reason"].startswith("k=3, of 2 to 8: ")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["parameters"]["n_clusters"] == "auto"
    assert manifest["results"]["selection"] == done["selection"]
    assert load_model(tmp_path / "out").n_clusters_ == 3


def test_dbscan_that_chooses(few, tmp_path):
    result = run("dbscan", few, "--eps", "auto", "-o", tmp_path / "out")
    done = json.loads(result.stdout.splitlines()[-1])
    assert done["eps"] == done["selection"]["value"] == load_model(tmp_path / "out").eps_
    assert "the knee of the curve" in done["selection"]["reason"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["parameters"]["eps"] == "auto"
    assert manifest["results"]["eps"] == done["eps"]


@pytest.mark.parametrize("options", [("kmeans", "-k", "many"), ("kmeans", "-k", "2.5"), ("dbscan", "--eps", "wide")])
def test_neither_a_number_nor_auto(few, tmp_path, options):
    command, option, value = options
    assert f"'{value}' is neither" in run(command, few, option, value, "-o", tmp_path / "out", code=2).stderr
