"""explain: what is told of each cluster, of any estimator and any kind of rows, and what is refused."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import silhouette_samples

from gpuclust import DBSCAN, Autoencoder, DeepClustering, GaussianMixture, KMeans, explain
from gpuclust.errors import DataError, ParameterError
from gpuclust.report.sample import draw_sample

NAMES = ["height", "weight", "age", "noise"]
SMALL = {"architecture": {"widths": (32,)}, "epochs": 40, "batch_size": 16, "learning_rate": 1e-2}


def people(n=90, d=4):
    """Three groups: the first is high in "height", the second low in "weight", the third old."""
    random = np.random.default_rng(0)
    X = 0.3 * random.normal(size=(n, d))
    X[: n // 3, 0] += 4
    X[n // 3 : 2 * n // 3, 1] -= 4
    X[2 * n // 3 :, 2] += 4
    return X


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame(people(), columns=NAMES)


@pytest.fixture(scope="module")
def deep(table):
    return DeepClustering(3, method="ae", autoencoder=Autoencoder(3, **SMALL), random_state=0).fit(table)


def groups(explanation):
    """The clusters, in order of the groups of `people`."""
    return sorted(explanation.clusters, key=lambda cluster: min(cluster.examples))


@pytest.mark.parametrize("method", ["gradient", "permutation"])
def test_what_is_told_of_each_cluster(table, deep, method):
    explanation = explain(deep, table, method=method, n_features=2, n_examples=3)
    assert (explanation.method, explanation.n_rows, explanation.n_sampled, explanation.n_noise) == (method, 90, 90, 0)
    assert explanation.names == NAMES
    assert explanation.attributions.shape == (3, 4)
    assert [cluster.label for cluster in explanation.clusters] == [0, 1, 2]
    for group, cluster in enumerate(groups(explanation)):
        members = np.arange(30 * group, 30 * group + 30)
        assert (cluster.size, cluster.share) == (30, 1 / 3)
        found = explanation.attributions[cluster.label]
        assert np.abs(found).argmin() == 3 or found[3] == 0  # noise
        first, second = cluster.features
        assert [first.index, second.index] == np.argsort(-np.abs(found))[:2].tolist()
        assert (first.name, first.attribution) == (NAMES[first.index], found[first.index])
        assert first.attribution >= second.attribution > 0
        assert first.mean == pytest.approx(table.iloc[members, first.index].mean())
        assert first.overall == pytest.approx(table.iloc[:, first.index].mean())
        assert first.sign == ("high" if first.mean > first.overall else "low")
        if method == "gradient":
            assert (first.index, first.sign) == (group, "low" if group == 1 else "high")
        codes, center = deep.transform(table), deep.cluster_centers_[cluster.label]
        nearest = members[np.argsort(np.linalg.norm(codes[members] - center, axis=1))]
        assert cluster.examples == nearest[:3].tolist()
        np.testing.assert_array_equal(cluster.center, deep.decoded_centers_[cluster.label])
        assert cluster.silhouette > 0.8


def test_silhouettes_are_simplified_ones_of_the_codes(table, deep):
    """With two rows a cluster and its centre half-way, they are to be had from scikit-learn's of rows and centres."""
    explanation = explain(deep, table)
    codes = deep.transform(table).astype(np.float64)
    means = np.stack([codes[deep.labels_ == label].mean(0) for label in range(3)])
    distances = np.sort(np.linalg.norm(codes[:, None] - means, axis=2), axis=1)
    expected = 1 - distances[:, 0] / distances[:, 1]
    for cluster in explanation.clusters:
        assert cluster.silhouette == pytest.approx(expected[deep.labels_ == cluster.label].mean(), rel=1e-5)
    assert abs(cluster.silhouette - silhouette_samples(codes, deep.labels_).mean()) < 0.2


def test_in_words_and_as_json(table, deep):
    explanation = explain(deep, table, n_features=1)
    text = str(explanation)
    assert text.startswith("3 clusters of 90 rows; attribution: gradient x input")
    assert all(f"cluster {label}: 30 rows (33.3%), silhouette 0." in text for label in range(3))
    for cluster in explanation.clusters:
        line = next(line for line in text.splitlines() if line.strip().startswith(cluster.features[0].name))
        assert line.split()[-2:] == [cluster.features[0].sign, f"{cluster.features[0].attribution:+.3g}"]
    found = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert found["features"] == NAMES
    assert [cluster["size"] for cluster in found["clusters"]] == [30, 30, 30]
    np.testing.assert_array_equal([one["attributions"] for one in found["clusters"]], explanation.attributions)


@pytest.mark.parametrize(
    "estimator",
    [
        KMeans(3, random_state=0),
        GaussianMixture(3, random_state=0),
        SklearnKMeans(3, random_state=0, n_init=3),
        DBSCAN(eps=1.5),
    ],
    ids=["KMeans", "GaussianMixture", "scikit-learn", "DBSCAN"],
)
def test_clusterers_of_rows_by_permutation(table, estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # about the names of sampled rows, for one
        explanation = explain(estimator.fit(table), table, n_repeats=2)
    assert explanation.method == "permutation"
    for group, cluster in enumerate(groups(explanation)):
        assert cluster.features[-1].name == "noise"
        np.testing.assert_allclose(cluster.center, table[30 * group : 30 * group + 30].mean(), rtol=1e-6)


def test_an_autoencoder_with_labels(table):
    autoencoder = Autoencoder(3, random_state=0, **SMALL).fit(table)
    labels = np.repeat([1, 2, 0], 30)
    labels[65:] = -1
    explanation = explain(autoencoder, table, labels=labels)
    assert explanation.n_noise == 25
    assert [cluster.size for cluster in explanation.clusters] == [5, 30, 30]
    assert [cluster.features[0].name for cluster in explanation.clusters] == ["age", "height", "weight"]
    centers = np.stack([autoencoder.transform(table)[labels == label].mean(0) for label in range(3)])
    decoded = autoencoder.inverse_transform(centers)
    np.testing.assert_allclose([one.center for one in explanation.clusters], decoded, rtol=1e-4, atol=1e-4)
    assert "25 rows of none" in str(explanation)
    assert set(explanation.clusters[0].examples) == set(range(60, 65))


def test_a_sample_of_many_rows(table, deep):
    explanation = explain(deep, table, sample_size=40)
    assert explanation.n_sampled == 40
    assert [(cluster.size, cluster.share) for cluster in explanation.clusters] == [(30, 1 / 3)] * 3
    assert "all but sizes from a sample of 40 rows" in str(explanation)
    again = explain(deep, table, sample_size=40)
    np.testing.assert_array_equal(again.attributions, explanation.attributions)
    assert explain(deep, table, sample_size=40, random_state=1).to_dict() != explanation.to_dict()
    for group, cluster in enumerate(groups(explanation)):  # numbers of rows, not places in the sample
        assert set(cluster.examples) <= set(range(30 * group, 30 * group + 30))


def test_rows_of_any_kind(tmp_path, table, deep):
    np.save(tmp_path / "rows.npy", table.to_numpy())
    table.to_parquet(tmp_path / "rows.parquet")
    expected = explain(deep, table).to_dict()
    for X in (tmp_path / "rows.npy", tmp_path / "rows.parquet"):
        assert explain(deep, X).to_dict() == expected
    unnamed = explain(KMeans(3, random_state=0).fit(table.to_numpy()), table.to_numpy())
    assert unnamed.names == ["x0", "x1", "x2", "x3"]


def test_modalities():
    X = people()
    given = {"body": pd.DataFrame(X[:, :2], columns=NAMES[:2]), "life": X[:, 2:].copy()}
    given["life"][:5] = np.nan
    modalities = {name: {"architecture": {"widths": (32,)}} for name in given}
    autoencoder = Autoencoder(3, modalities=modalities, epochs=40, batch_size=16, learning_rate=1e-2)
    deep = DeepClustering(3, method="ae", autoencoder=autoencoder, random_state=0).fit(given)
    for method in ("gradient", "permutation"):
        explanation = explain(deep, given, method=method)
        assert explanation.names == ["body: height", "body: weight", "life: x0", "life: x1"]
        assert np.isfinite(explanation.attributions).all()
        assert all(cluster.center.shape == (4,) for cluster in explanation.clusters)
    old = np.nanmean(X[60:, 2])
    cluster = explanation.clusters[np.bincount(deep.labels_[60:]).argmax()]
    assert next(one for one in cluster.features if one.index == 2).mean == pytest.approx(old, abs=1)
    with pytest.raises(DataError, match="modalities"):
        explain(deep, {"body": X[:, :2]})


def test_one_cluster_has_no_silhouette(table):
    explanation = explain(KMeans(1, random_state=0).fit(table), table)
    assert explanation.clusters[0].silhouette is None
    assert "silhouette" not in str(explanation)
    json.dumps(explanation.to_dict(), allow_nan=False)


def test_a_cluster_that_the_sample_has_not(table):
    """Its size is told, and nothing that would need its rows; it takes nothing from the others."""
    labels = np.arange(90) % 2
    labels[labels == 1] = 2
    alone = draw_sample(None, table, 89, 0)
    (left_out,) = set(range(90)) - set(alone.numbers.tolist())
    labels[left_out] = 1
    for estimator in (KMeans(3, random_state=0), Autoencoder(2, epochs=2, random_state=0)):
        explanation = explain(estimator.fit(table), table, sample_size=89, labels=labels)
        first, second, third = explanation.clusters
        assert (second.size, second.features, second.examples, second.silhouette) == (1, [], [], None)
        assert len(first.features) == len(third.features) == 4
        assert np.isnan(explanation.attributions).all(1).tolist() == [False, True, False]
        json.dumps(explanation.to_dict(), allow_nan=False)
        assert "cluster 1: 1 rows" in str(explanation)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"method": "shap"}, ParameterError, "method='shap'"),
        ({"method": "gradient"}, ParameterError, "method='gradient' needs codes, which KMeans has not"),
        ({"steps": 0}, ParameterError, "steps=0"),
        ({"n_repeats": 0}, ParameterError, "n_repeats=0"),
        ({"n_features": -1}, ParameterError, "n_features=-1"),
        ({"n_examples": 0}, ParameterError, "n_examples=0"),
        ({"sample_size": 1.5}, ParameterError, "sample_size=1.5"),
        ({"labels": np.zeros(3, int)}, DataError, "one for each of the 90 rows"),
        ({"labels": np.zeros(90)}, DataError, "float64 should be integers"),
        ({"labels": np.full(90, 3)}, DataError, "labels reach 3, but the KMeans has 3 clusters"),
    ],
)
def test_what_is_refused(table, options, error, match):
    kmeans = KMeans(3, random_state=0).fit(table)
    with pytest.raises(error, match=match):
        explain(kmeans, table, **options)


def test_estimators_that_do_not_fit(table):
    with pytest.raises(NotFittedError):
        explain(KMeans(3), table)
    merged = AgglomerativeClustering(3).fit(table)
    for labels in (None, merged.labels_):
        with pytest.raises(ParameterError, match="needs predict, which AgglomerativeClustering has not"):
            explain(merged, table, labels=labels)
    autoencoder = Autoencoder(2, epochs=1, random_state=0).fit(table)
    with pytest.raises(ParameterError, match="Autoencoder has no predict: pass labels="):
        explain(autoencoder, table)
    with pytest.raises(DataError, match="3 features"):
        explain(KMeans(3, random_state=0).fit(table.to_numpy()), table.to_numpy()[:, :3])
