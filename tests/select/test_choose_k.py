"""suggest_k: the figures against scikit-learn's, the choice, its limits, and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import load_iris, make_blobs

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError
from gpuclust.select import choose_k as module
from gpuclust.select import suggest_k
from gpuclust.select.choose_k import candidates, choose_k
from gpuclust.select.criteria import CRITERIA
from gpuclust.select.fits import fits
from gpuclust.select.progress import Progress
from gpuclust.sources import as_source

CHEAP = ("inertia", "calinski_harabasz")


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(240, 5, centers=4, cluster_std=0.7, random_state=0)[0]


def test_figures_are_scikit_learns(blobs):
    found = suggest_k(blobs, k=(2, 5), criteria=CRITERIA[:4], random_state=0)
    seed = int(np.random.RandomState(0).randint(0, 2**63 - 1, dtype=np.int64))
    data = Dataset(get_engine("cpu"), as_source(blobs))
    for at, (k, fit) in enumerate(zip(range(2, 6), fits(data, range(2, 6), seed), strict=True)):
        row = {name: column[at] for name, column in found.table.items()}
        assert row["k"] == k
        assert row["inertia"] == fit.inertia
        for name in ("silhouette", "calinski_harabasz", "davies_bouldin"):
            assert row[name] == pytest.approx(getattr(metrics, f"{name}_score")(blobs, fit.labels), rel=1e-9)
    assert found.value == 4
    assert found.choices == {"inertia": 4, "silhouette": 4, "calinski_harabasz": 4, "davies_bouldin": 4}


def test_everything_there_is(blobs):
    stages = []
    found = suggest_k(blobs, k=(2, 5), random_state=0, callback=lambda *event: stages.append(event))
    assert list(found.table) == ["k", *CRITERIA[:4], "stability", "stability_error", "gap", "gap_error"]
    assert all(np.isfinite(column).all() and len(column) == 4 for column in found.table.values())
    assert (found.value, found.complete, found.n_rows, found.n_sampled) == (4, True, 240, 240)
    assert [stage for stage, done, total in stages if done == total] == ["fits", "stability", "gap"]
    assert stages[0] == ("fits", 0, 4)
    lines = found.to_text().splitlines()
    heading = "k inertia silhouette calinski harabasz davies bouldin stability +- gap +-"
    assert " ".join(lines[0].split()) == heading
    assert lines[3].split()[:2] == [">", "4"]
    assert lines[-1] == found.reason
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert stored["n_clusters"] == 4
    assert stored["table"]["k"] == [2, 3, 4, 5]
    assert stored["choices"] == found.choices


def test_iris():
    assert suggest_k(load_iris().data, k=(2, 6), criteria=("calinski_harabasz", "stability"), random_state=0).value == 3


def test_one_answer(engine, monkeypatch):
    monkeypatch.setattr("gpuclust.select.stability.n_halvings", lambda n_rows: 2)
    monkeypatch.setattr("gpuclust.select.gap.N_REFERENCES", 2)
    X = make_blobs(36, 3, centers=3, random_state=1)[0].astype(np.float32)

    def choose(engine, chunk_rows):
        data = Dataset(engine, as_source(X, chunk_rows=chunk_rows))
        return choose_k(data, [2, 3, 4], 5, CRITERIA, Progress(), sample_size=30).to_dict()

    expected = choose(get_engine("cpu"), None)
    assert expected["n_sampled"] == 30
    for chunk_rows in (None, 7):
        assert choose(engine, chunk_rows) == expected


def test_samples_are_said(blobs):
    found = suggest_k(blobs, k=(3, 5), criteria=("inertia", "silhouette"), sample_size=100, random_state=0)
    assert (found.n_rows, found.n_sampled) == (240, 100)
    assert "look at 100 of 240 rows" in found.reason
    again = suggest_k(blobs, k=(3, 5), criteria=("inertia", "silhouette"), random_state=0)
    np.testing.assert_array_equal(again.table["inertia"], found.table["inertia"])
    assert (again.table["silhouette"] != found.table["silhouette"]).all()
    np.testing.assert_allclose(again.table["silhouette"], found.table["silhouette"], atol=0.1)
    assert "look at" not in again.reason


def test_the_default_range():
    assert candidates(None, 3) == [2]
    assert candidates(None, 100) == list(range(2, 11))
    assert candidates(None, 101) == list(range(2, 12))
    assert candidates(None, 10**9) == list(range(2, 65))


def test_ranges():
    assert candidates((2, 5), 100) == [2, 3, 4, 5]
    assert candidates(range(2, 5), 100) == [2, 3, 4]
    assert candidates([7, 3, 3], 100) == [3, 7]
    assert candidates(np.array([4, 2]), 100) == [2, 4]


@pytest.mark.parametrize("k", [(1, 5), (2, 100), [0], range(3, 101), (5, 2), [], "2:5", 5, [2.5], [True], (2.0, 5.0)])
def test_wrong_ranges(k):
    with pytest.raises(ParameterError, match="k="):
        candidates(k, 100)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"criteria": "elbow"}, "criteria='elbow'"),
        ({"max_time": 0}, "max_time=0"),
        ({"max_time": float("nan")}, "max_time=nan"),
        ({"max_time": "1"}, "max_time='1'"),
        ({"sample_size": 0}, "sample_size=0"),
        ({"metric": "manhattan"}, "metric='manhattan'"),
        ({"k": (2, 240)}, r"within 2 to n_samples - 1 = 239"),
    ],
)
def test_wrong_parameters(blobs, options, words):
    with pytest.raises(ParameterError, match=words):
        suggest_k(blobs, **options)


def test_nothing_to_choose():
    with pytest.raises(DataError, match="n_samples=2 should be >= 3"):
        suggest_k([[1.0], [2.0]])
    with pytest.raises(DataError, match="All 50 rows of X are equal"):
        suggest_k(np.full((50, 3), 0.1))
    with pytest.raises(DataError, match="row 1, column 0"):
        suggest_k([[1.0], [np.nan], [3.0], [4.0]])


def test_repeated_rows_are_as_many_clusters():
    """Three places, many times each: no more clusters than places are tried, and three are right."""
    found = suggest_k(np.repeat([[0.0, 0], [1, 5], [7, 1]], 20, axis=0), random_state=0)
    np.testing.assert_array_equal(found.table["k"], [2, 3])
    assert found.table["inertia"][1] == 0
    assert found.value == 3
    assert found.complete
    assert found.to_dict()["table"]["calinski_harabasz"][1] is None


def test_time_is_over_after_the_first(blobs, monkeypatch):
    monkeypatch.setattr(Progress, "over", lambda self, share=1.0: True)
    found = suggest_k(blobs, max_time=1e-9, random_state=0)
    np.testing.assert_array_equal(found.table["k"], [2])
    assert (found.value, found.complete) == (2, False)
    assert found.reason.endswith("max_time left no time for more than 2 clusters, stability, gap.")


def test_max_time_is_kept():
    found = suggest_k(np.random.default_rng(0).normal(size=(2000, 8)), max_time=0.1)
    assert not found.complete
    assert suggest_k(np.arange(30.0)[:, None], k=(2, 3), criteria=CHEAP, max_time=1000).complete


def test_the_largest_is_pointed_out(blobs):
    found = suggest_k(blobs, k=(2, 4), criteria=CHEAP, random_state=0)
    assert found.value == 4
    assert found.reason.endswith("a wider range may hold a better one.")


def test_cosine_takes_directions():
    """Lengths that make two clusters of one direction."""
    rng = np.random.default_rng(0)
    directions = rng.normal(np.repeat(np.eye(3), 40, axis=0), 0.03)
    X = directions * np.where(rng.random(120) < 0.5, 1, 100)[:, None]
    found = suggest_k(X, k=(2, 6), criteria=(*CHEAP, "stability"), metric="cosine", random_state=0)
    assert found.value == 3
    assert found.table["inertia"].max() < 120


def test_callbacks_may_stop(blobs):
    def stop(stage, done, total):
        if stage == "stability":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        suggest_k(blobs, k=(2, 3), callback=stop)


def test_few_rows_of_a_cluster_in_the_sample():
    """A sample that shows one cluster only has no silhouette."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(400, 2)), [[1e6, 1e6]]])
    found = suggest_k(X, k=(2, 2), criteria=("silhouette", "inertia"), sample_size=20, random_state=1)
    assert np.isnan(found.table["silhouette"][0])
    assert found.value == 2
    assert "silhouette" not in found.choices


def test_automatic_criteria_hold_all_that_the_rule_asks():
    assert {"calinski_harabasz", "stability"} <= set(module.AUTOMATIC) <= set(CRITERIA)
