"""suggest_eps: the curve against scikit-learn's, the rule by hand, units, samples and bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.datasets import make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from gpuclust import DBSCAN
from gpuclust.errors import DataError, MissingDependencyError, ParameterError
from gpuclust.select import suggest_eps
from gpuclust.select.knee import knee

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def moons():
    return make_moons(600, noise=0.05, random_state=0)


def test_by_hand():
    """Forty rows in pairs 1 apart, pairs 10 apart but for the last rows, which are further and further away."""
    X = np.concatenate([np.arange(36) // 2 * 10 + np.arange(36) % 2, [1000, 2000, 4000, 8000]])[:, None].astype(float)
    found = suggest_eps(X)
    # One feature: min_samples is 2, raised to 5; that and log2(40) are lowered to 40 / 10 = 4, the row itself counted:
    # the third other, 10 away in the middle, 11 at the first and the last pair.
    assert found.min_samples == 4
    np.testing.assert_array_equal(found.table["distance"], [10] * 34 + [11, 11, 839, 1830, 3829, 7000])
    assert found.value == 11
    assert (found.n_rows, found.n_sampled) == (40, 40)


def test_the_curve_is_scikit_learns(moons):
    X, _ = moons
    found = suggest_eps(X)
    # log2(600) rounded up is 10, itself counted.
    expected = np.sort(NearestNeighbors(n_neighbors=10).fit(X).kneighbors(X)[0][:, -1])
    np.testing.assert_allclose(found.table["distance"], expected, rtol=1e-12)
    np.testing.assert_allclose(found.table["rank"], np.linspace(0, 1, 600))
    assert found.value == found.table["distance"][found.knee]
    assert found.knee == knee(np.linspace(0, 1, 600), np.log(expected))
    assert found.values == {"eps": found.value, "min_samples": 5}


@pytest.mark.parametrize("make", [make_moons, make_circles])
def test_shapes(make):
    X, truth = make(800, noise=0.05, random_state=3, **({"factor": 0.5} if make is make_circles else {}))
    labels = DBSCAN(**suggest_eps(X).values).fit(X).labels_
    assert adjusted_rand_score(truth, labels) > 0.95


def test_min_samples_follow_the_features_within_bounds():
    rng = np.random.default_rng(0)
    for (n, d), expected in {(400, 1): 5, (400, 5): 10, (400, 30): 40, (1000, 50): 64, (20, 5): 3}.items():
        assert suggest_eps(rng.normal(size=(n, d))).min_samples == expected
    assert suggest_eps(rng.normal(size=(400, 5)), min_samples=25).min_samples == 25


def test_units_of_the_metrics():
    """Places on the equator: angles, one minus their cosines, and chords are of the same rows."""
    longitude = np.sort(np.random.default_rng(0).normal(0, 0.1, 100))
    places = np.stack([np.zeros(100), longitude], axis=1)
    points = np.stack([np.cos(longitude), np.sin(longitude)], axis=1)
    angle = suggest_eps(places, metric="haversine")
    cosine = suggest_eps(points * 7, metric="cosine")
    chord = suggest_eps(points)
    assert angle.min_samples == cosine.min_samples == chord.min_samples
    assert cosine.value == pytest.approx(chord.value**2 / 2)
    gaps = np.sort(np.abs(longitude[:, None] - longitude), axis=1)[:, 6]
    np.testing.assert_allclose(angle.table["distance"], np.sort(gaps), rtol=1e-9)


def test_repeated_rows_have_no_say(moons):
    X, _ = moons
    found = suggest_eps(np.concatenate([X, np.tile(X[:1], (50, 1))]))
    assert (found.table["distance"] > 0).all()
    assert len(found.table["distance"]) == 600 - 1
    assert found.table["rank"][0] == 51 / 649
    with pytest.raises(DataError, match="Every row of X is repeated"):
        suggest_eps(np.repeat(np.eye(3), 40, axis=0))


def test_samples_are_said(moons):
    X, _ = moons
    found = suggest_eps(X, sample_size=200)
    assert (found.n_rows, found.n_sampled) == (600, 200)
    assert found.reason.endswith("The curve is that of 200 of 600 rows.")
    whole = suggest_eps(X)
    assert set(found.table["distance"]) <= set(whole.table["distance"])
    assert found.value == pytest.approx(whole.value, rel=0.3)
    assert suggest_eps(X, sample_size=200, random_state=1).value != found.value


def test_streamed_is_the_same(tmp_path, moons):
    np.save(tmp_path / "x.npy", moons[0])
    assert suggest_eps(tmp_path / "x.npy", max_memory="64KB").to_dict() == suggest_eps(moons[0]).to_dict()


def test_text_and_json(moons):
    found = suggest_eps(moons[0])
    text = found.to_text()
    assert text.count("*") == 1
    assert f"{found.value:.4g}*" in text
    assert text.endswith(found.reason)
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (stored["eps"], stored["min_samples"], stored["metric"]) == (found.value, 5, "euclidean")
    assert len(stored["table"]["rank"]) == len(stored["table"]["distance"]) == 101


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "manhattan"}, "metric='manhattan': eps can be suggested for 'euclidean'"),
        ({"metric": "precomputed"}, "metric='precomputed'"),
        ({"min_samples": 0}, "min_samples=0"),
        ({"sample_size": -1}, "sample_size=-1"),
    ],
)
def test_wrong_parameters(moons, options, words):
    with pytest.raises(ParameterError, match=words):
        suggest_eps(moons[0], **options)


def test_too_few_rows():
    with pytest.raises(DataError, match="n_samples=3 should be >= 4"):
        suggest_eps(np.eye(3))
    with pytest.raises(DataError, match="n_samples=9 should be > min_samples=9"):
        suggest_eps(np.arange(9.0)[:, None], min_samples=9)
    assert math.isfinite(suggest_eps([[0.0], [1.0], [2.0], [4.0]]).value)


def test_without_faiss(monkeypatch, moons):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match="gpuclust"):
        suggest_eps(moons[0])
