"""The side-by-side benchmark's plumbing, on small cases: no figure is worth anything here, but every part runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from bench import __main__ as bench
from bench import readme, report
from bench.catalog import CASES, KINDS
from bench.data import EMBEDDINGS_VARIABLE, Unavailable
from bench.dbscan import knee, renumbered
from bench.kmeans import inertia
from bench.timing import Measurement


@pytest.fixture(autouse=True)
def embeddings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something to stand in for embeddings."""
    path = tmp_path_factory.mktemp("data") / "embeddings.npy"
    np.save(path, np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float16))
    monkeypatch.setenv(EMBEDDINGS_VARIABLE, str(path))


@pytest.mark.parametrize("name", CASES)
def test_cases_are_the_same_each_time(name: str) -> None:
    case = CASES[name].scaled(0.001)
    rows = case.rows()
    assert (rows.dtype, rows.flags.c_contiguous, np.isfinite(rows).all()) == (np.float32, True, True)
    assert rows.tobytes() == pickle.loads(pickle.dumps(case)).rows().tobytes(), "workers get it pickled"
    assert set(case.contenders) <= set(case.peers)
    arguments = case.arguments(rows)
    json.dumps(case.setting(arguments))
    few, *_ = case.warm_up(rows, arguments)
    assert 0 < len(few) <= len(rows)


def test_scaled_rows_keep_their_number_of_neighbours() -> None:
    case = CASES["dbscan-2d"]
    assert case.scaled(0.25).eps == pytest.approx(2 * case.eps)
    counts = []
    for scale in (0.05, 0.02):
        small = case.scaled(scale)
        rows = small.rows()
        near = np.linalg.norm(rows[:, None] - rows[:200], axis=2) <= small.eps
        counts.append(near.sum(axis=0).mean())
    assert counts[0] == pytest.approx(counts[1], rel=0.2)


def test_embeddings_that_are_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(EMBEDDINGS_VARIABLE)
    with pytest.raises(Unavailable, match=EMBEDDINGS_VARIABLE):
        CASES["embeddings"].rows()
    assert bench.main(["--case", "dbscan-embeddings", "--rounds", "1"]) == 0
    assert f"SKIPPED: set {EMBEDDINGS_VARIABLE}" in capsys.readouterr().out


def test_the_knee_by_hand() -> None:
    """Nine rows 1 apart, then one far away. To the nearest other row it is 1, but for the last; to the next one 2."""
    rows = np.array([*range(9), 20], np.float32)[:, None]
    assert knee(rows, 2) == 1.0
    assert knee(rows, 3) == 2.0  # at both ends of the chain; in its middle it is 1
    # Three rows at one place, the others 10 apart: distances to the nearest other row are 0 three times, then 10.
    assert knee(np.array([0, 0, 0, *range(10, 80, 10)], np.float32)[:, None], 2) == 10.0


def test_renumbering_by_hand() -> None:
    labels, cores = np.array([-1, 2, 0, 0, 1, 2]), np.array([5, 3, 4])
    assert renumbered(labels, cores).tolist() == [-1, 2, 0, 0, 1, 2]
    assert renumbered(np.array([1, 1, -1, 0]), np.array([0, 3])).tolist() == [0, 0, -1, 1]
    assert renumbered(np.array([-1, -1]), np.array([], int)).tolist() == [-1, -1]


def test_inertia_by_hand() -> None:
    rows = np.array([[0, 0], [0, 2], [5, 0]], np.float32)
    assert inertia(rows, np.array([[0.0, 1.0], [4.0, 0.0]])) == 3.0


def test_labels_are_compared_with_scikit_learn() -> None:
    case = CASES["dbscan-3d"].scaled(0.002)
    rows = case.rows()
    model = DBSCAN(eps=case.eps, min_samples=case.min_samples).fit(rows)
    labels, cores = model.labels_, model.core_sample_indices_
    turned = np.where(labels < 0, -1, labels.max() - labels)
    wrong = labels.copy()
    wrong[:3] = 7777
    outcomes = {"gpuclust": (wrong, cores), "sklearn": (labels, cores), "dbscan": (turned, cores)}
    found = case.judged(rows, outcomes)
    assert [found[name]["labels_unlike_sklearn"] for name in outcomes] == [3, 0, 0]
    assert (found["sklearn"]["n_clusters"], found["sklearn"]["n_core"]) == (labels.max() + 1, len(cores))
    assert case.judged(rows, {"gpuclust": (turned, cores)})["gpuclust"]["labels_unlike_sklearn"] is None
    outcomes["gpuclust"] = labels, cores[2:]
    assert case.judged(rows, outcomes)["gpuclust"]["labels_unlike_sklearn"] == 2


def test_records_and_tables() -> None:
    case = CASES["dbscan-2d"]
    found = {"n_clusters": 5, "n_core": 1000, "n_noise": 20, "labels_unlike_sklearn": 0}
    ours = Measurement("gpuclust", [0.2, 0.1, 0.4], [0.1] * 3, 10**7, found)
    theirs = Measurement("sklearn", [2.0, 1.0, 3.0], [0.1] * 3, 10**9, found)
    refused = Measurement("dbscan", refusal="ImportError: no")
    result = report.record(case, (1_000_000, 2), (0.14, 10), [ours, theirs, refused])
    result = json.loads(json.dumps(result))
    assert result["contenders"]["sklearn"]["ratio"] == 10
    assert (result["eps"], result["min_samples"], result["kind"]) == (0.14, 10, "dbscan")
    assert {"scikit-learn", "dbscan", "faiss-cpu"} <= set(result["environment"]["versions"])
    text = report.table(result)
    assert "1,000,000 x 2, eps=0.14, min_samples=10, float32; median of 3 rounds" in text
    assert "| sklearn | 2.000 (1.000 to 3.000) | 10.00 | 0.100 | 1000 | 5 | 1,000 | 20 | 0 |" in text
    assert "| dbscan | ImportError: no | | | | | | | |" in text
    assert not bench._wrong(result)
    result["contenders"]["gpuclust"]["labels_unlike_sklearn"] = 1
    assert bench._wrong(result)
    assert "1 |" in report.table(result)


def test_records_of_old_are_k_means() -> None:
    folders = [path for path in report.RESULTS.iterdir() if path.is_dir()]
    records = [json.loads(path.read_text()) for folder in folders for path in folder.glob("*.json")]
    tables = [report.table(record) for record in records if "contenders" in record and "gpu" not in record]
    assert any("| faiss-superkmeans * |" in table for table in tables)


def test_figures_in_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["dbscan-3d"]
    found = {"n_clusters": 5, "n_core": 1000, "n_noise": 20, "labels_unlike_sklearn": 0}
    ours = Measurement("gpuclust", [0.25], [0.1], 40 * 10**6, found)
    theirs = Measurement("sklearn", [2.0], [0.1], 4 * 10**9, found)
    refused = Measurement("dbscan", refusal="ImportError: no")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.write(case.name, report.record(case, (10**6, 3), (0.32, 10), [ours, theirs, refused]))
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    before, after = f"# Title\n\n{readme.BEGIN}\n", f"\n{readme.END}\n\nWords.\n"
    readme.README.write_text(f"{before}Nothing yet.{after}")
    for _ in range(2):  # again changes nothing
        assert bench.main(["--readme"]) == 0
        text = readme.README.read_text()
        assert text.startswith(before)
        assert text.endswith(after)
        assert "| clumps 1M x 3 | 0.32 | 0.25 s | 8.0x | – | 40 / 4,000 / – | scikit-learn's |" in text
        assert text.count("\n| ") == 2
        assert "Nothing yet" not in text


def test_listing_and_wrong_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in [*CASES, *KINDS, "scikit-learn", "dbscan; numbers clusters"])
    assert bench.main(["--case", "no-such-case"]) == 2
    assert bench.main(["--only", "no-such-peer"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dbscan-2d", "16d"])
def test_side_by_side_in_processes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    only = ["--only=gpuclust", "--only=sklearn", "--only=sklearn-lloyd"]
    assert bench.main(["--case", name, "--scale", "0.003", "--rounds", "1", *only]) == 0
    text = capsys.readouterr().out
    assert text.count("\n| ") == 3
    assert "1 rounds" in text
