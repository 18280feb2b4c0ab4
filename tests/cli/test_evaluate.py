"""``gpuclust evaluate``: scores of a fit's folder, as a table or as JSON, with the exit codes of all commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gpuclust import metrics
from gpuclust.cli.app import app
from gpuclust.cli.evaluate import table
from tests.cli.terminal import on_a_terminal


def run(*arguments):
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def fit(points, tmp_path):
    """Return the folder of a fit."""
    assert run("kmeans", points, "-k", 3, "-o", tmp_path / "fit", "--labels-format", "parquet").exit_code == 0
    return tmp_path / "fit"


def test_json(points, rows, fit, tmp_path):
    truth = np.repeat([0, 1, 2], 200)
    np.save(tmp_path / "truth.npy", truth)
    result = run("evaluate", points, fit, "--truth", tmp_path / "truth.npy", "-o", tmp_path / "scores.json")
    assert result.exit_code == 0
    start, done = (json.loads(line) for line in result.stdout.splitlines())
    assert (start["command"], start["n_rows"]) == ("evaluate", 600)
    assert done["scores"]["adjusted_rand"] == done["scores"]["accuracy"] == 1.0
    assert done["scores"]["silhouette"] == metrics.silhouette_score(rows, truth)
    assert json.loads((tmp_path / "scores.json").read_text())["scores"] == done["scores"]
    again = run("evaluate", points, fit, "-o", tmp_path / "scores.json")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    assert (
        run("evaluate", points, fit, "-o", tmp_path / "scores.json", "--force", "--metrics", "inertia").exit_code == 0
    )


def test_a_table_on_a_terminal(points, fit):
    screen = on_a_terminal("evaluate", points, fit, "--metrics", "silhouette, inertia", "--sample-size", "100")
    assert "600 rows, 4 features, 3 clusters" in screen
    line = next(line for line in screen.splitlines() if line.startswith("silhouette"))
    assert line.split()[1].startswith("0.")
    assert line.rstrip().endswith("of 100 random rows")


def test_table():
    found = {
        "n_rows": 12345,
        "n_features": 2,
        "n_clusters": 3,
        "n_noise": 7,
        "silhouette": {"form": "exact"},
        "scores": {"silhouette": 0.123456789, "dbcv": None},
    }
    assert table(found).splitlines() == [
        "12,345 rows, 2 features, 3 clusters, 7 rows of noise",
        "silhouette                    0.123457  exact",
        "dbcv                       not defined",
    ]


def test_quiet_says_only_what_is_doubtful(points, tmp_path):
    np.save(tmp_path / "labels.npy", np.repeat([-1, 1, 2], 200))
    result = run("evaluate", points, tmp_path / "labels.npy", "--quiet")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "200 rows have label -1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--metrics", "nothing"], 2, "metrics='nothing'"),
        (["--metrics", "purity"], 2, "--truth"),
        (["--truth", "nowhere.npy"], 3, "nowhere.npy"),
        (["--noise", "drop"], 2, ""),
        (["--device", "tpu"], 2, "tpu"),
        (["-o", "nowhere/scores.json"], 4, "not a folder"),
    ],
)
def test_exit_codes(points, fit, arguments, code, says):
    result = run("evaluate", points, fit, *arguments)
    assert result.exit_code == code
    assert says in result.stderr


def test_bad_labels(points, tmp_path):
    for name, content in (("short", np.zeros(3, int)), ("missing", np.full(600, np.nan)), ("half", np.full(600, 0.5))):
        np.save(tmp_path / f"{name}.npy", content)
        assert run("evaluate", points, tmp_path / f"{name}.npy").exit_code == 3
