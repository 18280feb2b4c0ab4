"""DeepClustering: every method from rows to clusters, interrupted anywhere, and what is refused."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
import sklearn.cluster
import torch
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from gpuclust import DBSCAN, Autoencoder, DeepClustering, GaussianMixture, KMeans, VariationalAutoencoder
from gpuclust.algorithms.dataset import Dataset
from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep.clustering import fitting
from gpuclust.deep.clustering.manifold import Manifold
from gpuclust.deep.clustering.methods import METHODS, epochs_for
from gpuclust.errors import DataError, DataTypeError, GpuclustWarning, ModelError, ParameterError
from tests.deep.helpers import bits, same_bits

SMALL = {"architecture": {"widths": (16,)}, "batch_size": 32, "learning_rate": 1e-2}
JOINT = ["dec", "idec", "dcn", "vade"]


class Stop(Exception):
    pass


def groups(n=150, d=8, k=3, seed=0):
    """Rows of k groups far apart, float32, and their groups."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % k
    return (6 * random.normal(size=(k, d))[true] + random.normal(size=(n, d))).astype(np.float32), true


def estimator(method="idec", *, epochs=8, refinement=4, n_clusters=3, network=None, **options):
    """A small one; networks with two numbers in a code."""
    kind = VariationalAutoencoder if method == "vade" else Autoencoder
    weak = {"beta": 0.01} if method == "vade" else {}
    settings = {**SMALL, **weak, "epochs": epochs, **(network or {})}
    return DeepClustering(
        n_clusters, method=method, autoencoder=kind(2, **settings), epochs=refinement, random_state=0, **options
    )


@pytest.mark.parametrize("method", [name for name in METHODS if name != "manifold"])
def test_groups_are_found(method):
    X, true = groups()
    model = estimator(method, epochs=20, refinement=10, network={"neighbors": 10}).fit(X)
    assert model.labels_.dtype == np.int32
    assert adjusted_rand_score(true, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_array_equal(model.predict(X[7:9]), model.labels_[7:9])
    shares = model.predict_proba(X)
    np.testing.assert_array_equal(shares.argmax(1), model.labels_)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert model.n_clusters_ == 3
    assert len(model.history_) == (10 if method in JOINT else 0)
    assert len(model.autoencoder_.history_) == 20
    codes = model.transform(X)
    if method != "vade":  # what `sample` draws from is of the codes as they are now
        np.testing.assert_allclose(model.autoencoder_.code_mean_, codes.mean(0), atol=1e-4)
    assert codes.dtype == model.cluster_centers_.dtype == np.float32
    near = ((codes[:, None] - model.cluster_centers_) ** 2).sum(2).argmin(1)
    assert adjusted_rand_score(near, model.labels_) > 0.95
    if method != "dec":  # whose decoder is left behind
        means = np.array([X[model.labels_ == k].mean(0) for k in range(3)])
        assert np.abs(model.decoded_centers_ - means).mean() < 0.35 * X.std()
    np.testing.assert_array_equal(model.inverse_transform(model.cluster_centers_), model.decoded_centers_)


@pytest.mark.parametrize("method", JOINT)
def test_labels_are_those_after_all_training(method):
    """Of rows without groups, many change their cluster meanwhile."""
    X = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)
    before, after = (estimator(kind, n_clusters=5, learning_rate=1e-2).fit(X) for kind in ("ae", method))
    np.testing.assert_array_equal(after.predict(X), after.labels_)
    assert adjusted_rand_score(before.labels_, after.labels_) < 0.95


def test_groups_are_found_on_a_manifold():
    pytest.importorskip("umap")
    X, true = groups()
    model = estimator("manifold", epochs=20, manifold={"n_epochs": 50}).fit(X)
    assert adjusted_rand_score(true, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert adjusted_rand_score(np.arange(60) % 3, model.predict(groups(60)[0] + 0.01)) > 0.9
    assert model.predict_proba(X).shape == (150, 3)
    again = clone(model).fit(X)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    density = estimator("manifold", epochs=20, clusterer=DBSCAN(eps=1.0), manifold={"n_epochs": 50}).fit(X)
    assert adjusted_rand_score(true, density.labels_) > 0.95


@pytest.mark.parametrize("method", JOINT)
def test_interrupted_at_every_epoch_of_both_trainings(method, tmp_path):
    """In one chain of stops; the same bits as without one, and without checkpoints."""
    X = groups()[0]
    model = estimator(method, epochs=3, refinement=3, n_init=2)
    expected = clone(model).fit(X)
    path = tmp_path / "fit"

    def stop(epoch):
        raise Stop

    for _ in range(2 * (3 + 3)):
        with pytest.raises(Stop):
            clone(model).set_params(checkpoint=path, callback=stop).fit(X)
    found = clone(model).set_params(checkpoint=path, callback=stop).fit(X)
    assert same_bits(bits(found.autoencoder_.model_), bits(expected.autoencoder_.model_))
    for attribute in ("labels_", "cluster_centers_", "decoded_centers_", "restarts_"):
        np.testing.assert_array_equal(getattr(found, attribute), getattr(expected, attribute))
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    assert found.history_.losses == expected.history_.losses
    assert found.autoencoder_.history_.losses == expected.autoencoder_.history_.losses
    names = {f"fit.{number}.{stage}" for number in (0, 1) for stage in ("pretraining", "refinement")}
    assert {file.name for file in tmp_path.iterdir()} == names
    with pytest.raises(ModelError, match="of another training"):
        model.set_params(checkpoint=path, autoencoder__learning_rate=1e-3).fit(X)


@pytest.fixture
def lent_and_read(monkeypatch):
    """The codes that the network gives away, and the rows that engines compute on."""
    lent, read = [], []
    give, parts = BaseAutoencoder.codes, Dataset.parts

    def giving(self, X):
        lent.append(give(self, X))
        return lent[-1]

    def reading(self, **options):
        for part in parts(self, **options):
            read.append(part.rows)
            yield part

    monkeypatch.setattr(BaseAutoencoder, "codes", giving)
    monkeypatch.setattr(Dataset, "parts", reading)
    return lent, read


@pytest.mark.parametrize("clusterer", [KMeans(3), GaussianMixture(3)], ids=lambda clusterer: type(clusterer).__name__)
def test_codes_reach_the_engine_where_they_lie(clusterer, lent_and_read):
    """The memory that the network's codes are in is the memory of the rows that the engine computes on."""
    estimator("ae", epochs=1, clusterer=clusterer).fit(groups()[0])
    lent, read = lent_and_read
    assert {rows.ctypes.data for rows in read} == {lent[0].data_ptr()}
    assert read[0].shape == (150, 2)


@pytest.mark.gpu
def test_codes_reach_the_engine_where_they_lie_on_a_gpu(lent_and_read):
    import cupy

    model = estimator("ae", epochs=1, device="cuda").fit(groups()[0])
    lent, read = lent_and_read
    assert lent[0].is_cuda
    assert {cupy.asarray(rows).data.ptr for rows in read} == {lent[0].data_ptr()}
    assert model.codes(groups()[0]).is_cuda


def test_a_manifold_is_told_the_rows_where_there_are_distances_between_them(monkeypatch):
    told = []

    def fit(codes, *, views, seed, **options):
        told.append((views, options))
        return Manifold(codes, codes.numpy().copy(), 5)

    monkeypatch.setattr(Manifold, "fit", fit)
    X, true = groups()
    model = estimator("manifold", epochs=20, manifold={"n_neighbors": 7}).fit(X)
    assert adjusted_rand_score(true, model.labels_) > 0.95
    (_, plain), options = told[0]
    assert torch.equal(plain.points, model.autoencoder_.rows(X).x)
    assert options == {"n_neighbors": 7}
    halves = {"left": X[:, :4].copy(), "right": X[:, 4:]}
    halves["left"][3] = np.nan
    estimator("manifold", epochs=1, network={"modalities": {name: {} for name in halves}}).fit(halves)
    assert len(told[1][0]) == 1


def test_images_are_compared_by_tangents():
    """Strokes at two angles, each somewhere on the image: pixels tell little, tangents all."""
    pytest.importorskip("umap")
    random = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    true = np.arange(160) % 2
    across, down = random.uniform(2.0, 9.0, (2, 160, 1, 1))
    turned = np.where(true == 1, 0.4, -0.4)[:, None, None]
    images = np.exp(-np.square((x - across) + turned * (y - down)) / 2 - np.square(y - down) / 14).astype(np.float32)
    options = {"method": "manifold", "random_state": 0, "manifold": {"n_epochs": 60}}
    pictures = DeepClustering(2, **options).fit(images)
    numbers = DeepClustering(2, **options).fit(images.reshape(160, -1))
    assert adjusted_rand_score(true, pictures.labels_) > 0.9
    assert adjusted_rand_score(true, numbers.labels_) < 0.5
    assert (pictures.predict(images) == pictures.labels_).all()
    assert (pictures.predict(images.reshape(160, -1)) == pictures.labels_).all()
    assert (pictures.predict(torch.from_numpy(images[..., None])).numpy() == pictures.labels_).all()
    assert pictures.decoded_centers_.shape == (2, 144)


def test_a_number_of_clusters_is_suggested_by_the_codes(monkeypatch):
    X, true = groups(d=4)
    asked, suggested = [], fitting.suggested
    monkeypatch.setattr(fitting, "suggested", lambda codes, seed: asked.append(seed) or suggested(codes, seed))
    model = estimator("ae", n_clusters="auto", epochs=20, n_init=2).fit(X)
    assert model.n_clusters_ == model.suggestion_.value == 3
    assert asked == [model.restarts_[0]["seed"]]  # by those of the first network, for all
    assert "stab" in model.suggestion_.reason.lower()
    assert adjusted_rand_score(true, model.labels_) > 0.95
    assert not hasattr(estimator("ae", epochs=1).fit(X), "suggestion_")
    with (
        pytest.warns(GpuclustWarning, match="All rows of X are equal"),
        pytest.raises(DataError, match="n_clusters='auto': all 20 rows have the same code"),
    ):
        estimator("ae", n_clusters="auto", epochs=1).fit(np.ones((20, 3)))


def test_both_trainings_are_told_apart():
    seen, text = [], io.StringIO()
    with redirect_stdout(text):
        estimator(epochs=2, refinement=1, n_init=2, verbose=1, callback=seen.append).fit(groups()[0])
    found = [(epoch.stage, epoch.number, epoch.epochs, sorted(epoch.terms)) for epoch in seen]
    once = [("pretraining", 0, 2, ["reconstruction"]), ("pretraining", 1, 2, ["reconstruction"])]
    once += [("refinement", 0, 1, ["clustering", "reconstruction"])]
    assert found == once + [(f"restart 2, {stage}", *rest) for stage, *rest in once]
    assert text.getvalue().splitlines()[2].startswith("refinement, epoch 1/1: reconstruction")


def test_every_restart_has_its_own_order_of_rows(monkeypatch):
    seeds = []
    train = fitting.train

    def training(*rows, seed, **options):
        seeds.append(seed)
        return train(*rows, seed=seed, **options)

    monkeypatch.setattr(fitting, "train", training)
    estimator(epochs=1, refinement=1, n_init=3).fit(groups()[0])
    assert len(set(seeds)) == 3


def test_a_clusterer_does_not_change_the_threads_of_training():
    """On which the bits depend; numba, when it starts its own, sets torch's."""
    found = []

    class Starting(KMeans):
        def fit_predict(self, X, y=None):
            torch.set_num_threads(2)
            return super().fit_predict(X)

    model = estimator(epochs=1, refinement=1, clusterer=Starting(3))
    model.set_params(callback=lambda epoch: found.append(torch.get_num_threads())).fit(groups()[0])
    assert found == [1, 1]


def test_kinds_of_rows(tmp_path):
    X = groups()[0]
    expected = estimator(epochs=2, refinement=1).fit(X)
    wanted = {name: getattr(expected, name)(X) for name in ("predict", "predict_proba", "transform")}
    wanted["fit_predict"] = expected.labels_
    table = pd.DataFrame(X, columns=[f"f{column}" for column in range(8)])
    np.save(tmp_path / "rows.npy", X)
    for rows in (torch.from_numpy(X), table, tmp_path / "rows.npy", X.tolist()):
        model = estimator(epochs=2, refinement=1).fit(rows)
        np.testing.assert_array_equal(model.labels_, expected.labels_)
        for method in wanted:
            found = getattr(model, method)(rows)
            np.testing.assert_array_equal(np.asarray(found), wanted[method])
            assert isinstance(found, torch.Tensor) == isinstance(rows, torch.Tensor)
    named = estimator(epochs=2, refinement=1).fit(table)
    assert list(named.feature_names_in_) == list(table)
    assert list(named.set_output(transform="pandas").transform(table)) == ["deepclustering0", "deepclustering1"]
    with pytest.raises(DataError, match="feature names should match"):
        named.predict(table.rename(columns={"f0": "other"}))


def test_rows_that_do_not_fit_are_streamed():
    X, true = groups(300)
    model = estimator(epochs=20, max_memory=6000).fit(X)
    assert adjusted_rand_score(true, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_modalities_some_of_them_missing():
    X, true = groups()
    rows = {"left": X[:, :5].copy(), "right": X[:, 5:].copy()}
    rows["right"][:30] = np.nan
    modalities = {name: {"architecture": {"widths": (8,)}} for name in rows}
    options = {"epochs": 20, "network": {"modalities": modalities}}
    model = estimator("idec", n_init=2, **options).fit(rows)
    assert adjusted_rand_score(true, model.labels_) > 0.8
    assert {name: values.shape for name, values in model.decoded_centers_.items()} == {"left": (3, 5), "right": (3, 3)}
    np.testing.assert_array_equal(model.predict(rows), model.labels_)
    assert model.n_features_in_ == 8
    with pytest.raises(DataTypeError, match="should be a mapping"):
        estimator("ae", **options).fit(X)
    with pytest.raises(DataError, match="their numbers differ"):
        estimator("ae", **options).fit({**rows, "right": X[:100, 5:]})


def test_noise_and_no_cluster_at_all():
    X = groups()[0]
    X[0] = 100
    model = estimator("ae", epochs=20, clusterer=DBSCAN(eps=0.3)).fit(X)
    assert model.labels_[0] == model.predict(X[:1])[0] == -1
    assert model.n_clusters_ == len(model.cluster_centers_) == model.labels_.max() + 1
    auto = estimator("ae", n_clusters="auto", epochs=20, clusterer=DBSCAN(eps=0.3)).fit(X)
    np.testing.assert_array_equal(auto.labels_, model.labels_)
    assert not hasattr(auto, "suggestion_")
    nothing = estimator("ae", epochs=2, clusterer=DBSCAN(eps=1e-9)).fit(X)
    assert set(nothing.labels_) == {-1}
    assert nothing.n_clusters_ == 0
    assert nothing.decoded_centers_.shape == (0, 8)
    assert nothing.predict_proba(X).shape == (150, 0)
    with pytest.raises(DataError, match=r"DBSCAN.* found no cluster in the codes, so that there is nothing to refine"):
        estimator("idec", epochs=2, clusterer=DBSCAN(eps=1e-9)).fit(X)


def test_defaults():
    """Without an autoencoder, the method's."""
    X, true = groups(100, d=12)
    model = DeepClustering(3, method="vade", random_state=0).fit(X)
    assert isinstance(model.autoencoder_, VariationalAutoencoder)
    assert model.autoencoder_.neighbors == 15
    assert adjusted_rand_score(true, model.labels_) > 0.95
    assert list(model.history_.epochs[-1].terms) == ["reconstruction", "divergence", "assignment"]


def test_many_rows_take_fewer_epochs():
    """By default: 3,200 steps, at least ten epochs, at most what is said."""
    found = [epochs_for(100, n, 256) for n in (10, 1797, 10_992, 60_000, 10**6)]
    assert found == [100, 100, 75, 14, 10]
    assert epochs_for(50, 10_992, 256) == 50


def test_weights():
    """Of the terms about clusters; the autoencoder's own where it has one."""
    X = groups()[0]
    plain, heavy = (estimator(epochs=1, refinement=1, cluster_weight=weight).fit(X) for weight in (None, 0.2))
    first, second = (model.history_.epochs[0].terms["clustering"] for model in (plain, heavy))
    assert second == pytest.approx(2 * first, rel=0.1)
    given, same, other = (
        estimator("vade", epochs=1, refinement=1, cluster_weight=weight, network={"beta": beta}).fit(X)
        for weight, beta in ((0.05, 0.05), (None, 0.05), (0.01, 0.05))
    )
    assert given.history_.losses == same.history_.losses != other.history_.losses


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dbscan"}, "The 'method' parameter of DeepClustering must be a str among"),
        ({"n_clusters": 0}, "The 'n_clusters' parameter"),
        ({"clusterer": KMeans}, "clusterer=.* should be an estimator with fit_predict"),
        ({"method": "vade", "autoencoder": Autoencoder()}, "should be a VariationalAutoencoder with method='vade'"),
        ({"method": "idec", "autoencoder": VariationalAutoencoder()}, "should be an Autoencoder with method='idec'"),
        ({"autoencoder": KMeans(3)}, "The 'autoencoder' parameter"),
        ({"method": "dec", "cluster_weight": 0.1}, "cluster_weight=0.1 should be None with method='dec'"),
        ({"method": "ae", "cluster_weight": 0.1}, "cluster_weight=0.1 should be None with method='ae'"),
    ],
)
def test_parameters_that_break_their_rule(options, said):
    with pytest.raises(ParameterError, match=said):
        DeepClustering(**{"n_clusters": 3, **options}).fit(groups()[0])


def test_a_fit_that_fails_leaves_nothing_fitted():
    def stop(epoch):
        if epoch.stage == "restart 2, refinement":
            raise Stop

    model = estimator(epochs=1, refinement=1, n_init=2, callback=stop)
    with pytest.raises(Stop):
        model.fit(groups()[0])
    assert {name for name in vars(model) if name.endswith("_")} == {"n_features_in_"}


def test_vade_needs_a_mixture_to_begin_with():
    with pytest.raises(ParameterError, match=r"clusterer=KMeans.* should be a gpuclust.GaussianMixture of .*'diag'"):
        estimator("vade", clusterer=KMeans(3), callback=pytest.fail).fit(groups()[0])
    with pytest.raises(ParameterError, match="'diag' with method='vade'"):
        estimator("vade", clusterer=GaussianMixture(3), callback=pytest.fail).fit(groups()[0])


@pytest.mark.parametrize("method", METHODS)
def test_fewer_rows_than_clusters(method):
    called = []
    with pytest.raises(DataError, match="n_samples=2 should be >= n_clusters=3"):
        estimator(method, callback=called.append).fit(groups(2)[0])
    assert not called
    with pytest.raises(DataError, match="n_samples=2 should be >= 3"):
        estimator(method, n_clusters="auto").fit(groups(2)[0])


def test_a_clusterer_without_predict():
    X, true = groups()
    model = estimator("ae", epochs=20, clusterer=sklearn.cluster.AgglomerativeClustering(linkage="single"))
    assert adjusted_rand_score(true, model.fit_predict(X)) > 0.95
    assert model.predict_proba(X).shape == (150, 3)
    with pytest.raises(ParameterError, match="has no predict"):
        model.predict(X)
