"""Networks on disk: what is read is what was written, bit for bit, or a ModelError."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering

from gpuclust import (
    DBSCAN,
    Autoencoder,
    GaussianMixture,
    VariationalAutoencoder,
    load_model,
    save_model,
)
from gpuclust._container import pack, unpack
from gpuclust.deep import Architecture, DeepClustering, Modality
from gpuclust.errors import DeviceError, GpuclustError, ModelError, ParameterError
from tests.deep.helpers import blobs

X = blobs(60)
NEW = blobs(40, seed=1)
TINY = {"n_components": 2, "architecture": {"widths": (4,)}, "epochs": 2, "random_state": 0}
NETWORKS = {
    "dense": Autoencoder(**TINY),
    "standard": Autoencoder(**TINY, scaling="standard", neighbors=3, validation=0.2, patience=1),
    "tied": Autoencoder(
        **{**TINY, "architecture": Architecture(widths=(4,), activation="elu", tied=True, dropout=0.1)}
    ),
    "named": Autoencoder(2, epochs=1, random_state=0, likelihood="bernoulli", scaling="minmax"),
    "conv": Autoencoder(**{**TINY, "architecture": {"kind": "conv", "widths": [2], "shape": [2, 3]}}),
    "gru": Autoencoder(**{**TINY, "architecture": {"kind": "gru", "widths": (3,), "shape": (3, 2)}}),
    "variational": VariationalAutoencoder(**TINY, beta=0.5),
}
METHODS = {
    "ae": DeepClustering(3, method="ae", autoencoder=Autoencoder(**TINY), n_init=2, random_state=0),
    "dbscan": DeepClustering(
        method="ae", autoencoder=VariationalAutoencoder(**TINY), n_clusters=2, clusterer=DBSCAN(0.3), random_state=0
    ),
    "manifold": DeepClustering(
        3, autoencoder=Autoencoder(**TINY), manifold={"n_neighbors": 5, "n_epochs": 10}, random_state=0
    ),
    "idec": DeepClustering(3, method="idec", autoencoder=Autoencoder(**TINY), epochs=1, random_state=0),
    "vade": DeepClustering(
        3,
        method="vade",
        autoencoder=VariationalAutoencoder(**TINY),
        clusterer=GaussianMixture(covariance_type="diag", means_init=None),
        epochs=1,
        random_state=0,
    ),
}


@pytest.fixture
def stored(tmp_path):
    """Return a function that saves an estimator and returns the file."""

    def save(estimator, name="model.safetensors"):
        save_model(estimator, tmp_path / name)
        return tmp_path / name

    return save


def same(before, after, methods, rows):
    """Whether two estimators say the same, to the last bit, in the same kind of array."""
    for method in methods:
        expected, found = (getattr(estimator, method)(rows) for estimator in (before, after))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=method)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_to_the_last_bit(name, stored):
    rows = (X - X.min()) / np.ptp(X) if name == "named" else X
    before = NETWORKS[name].fit(rows)
    after = load_model(stored(before))
    assert type(after) is type(before)
    assert after.get_params() == before.get_params()
    assert repr(after) == repr(before)
    assert vars(after).keys() == vars(before).keys()
    assert (after.history_, after.n_iter_, after.n_features_in_) == (before.history_, before.n_iter_, 6)
    same(before, after, ["transform", "reconstruction_error"], rows)
    same(before, after, ["inverse_transform"], before.transform(rows))
    same(before, after, ["sample"], 5)
    assert after.score(rows) == before.score(rows)
    assert stored(after, "again").read_bytes() == stored(before).read_bytes()


def test_what_is_loaded_can_be_fitted_again(stored):
    before = NETWORKS["tied"].fit(X)
    again = load_model(stored(before)).fit(NEW)
    np.testing.assert_array_equal(again.transform(NEW), before.fit(NEW).transform(NEW))


@pytest.mark.parametrize("name", METHODS)
def test_a_clustering_comes_back_to_the_last_bit(name, stored):
    before = METHODS[name].fit(X)
    after = load_model(stored(before))
    assert repr(after) == repr(before)
    # Estimators among the parameters are others, with the same parameters; `clone` gave the clusterer none of its own.
    assert {key: repr(value) for key, value in after.get_params().items()} == {
        key: repr(value) for key, value in before.get_params().items()
    }
    assert vars(before).keys() - vars(after).keys() == {"labels_"}
    assert (after.n_clusters_, after.restarts_, after.history_) == (
        before.n_clusters_,
        before.restarts_,
        before.history_,
    )
    for attribute in ("cluster_centers_", "decoded_centers_"):
        np.testing.assert_array_equal(getattr(after, attribute), getattr(before, attribute))
    for rows in (X, NEW):
        same(before, after, ["transform", "predict", "predict_proba"], rows)
    same(before, after, ["inverse_transform"], before.cluster_centers_)
    assert after.score(NEW) == before.score(NEW)
    assert stored(after, "again").read_bytes() == stored(before).read_bytes()


def test_a_manifold_is_read_without_umap(stored, monkeypatch):
    before = METHODS["manifold"].fit(X)
    file = stored(before)
    monkeypatch.setitem(sys.modules, "umap", None)
    np.testing.assert_array_equal(load_model(file).predict(NEW), before.predict(NEW))


def test_modalities_and_what_is_missing_of_them(stored):
    counts = np.random.default_rng(0).poisson(3, (60, 4)).astype(np.float32)
    counts[:5] = np.nan
    rows = {"place": X, "counts": counts}
    modalities = {
        "place": {"architecture": {"widths": (4,)}, "weight": 0.3},
        "counts": Modality("negative_binomial", Architecture(widths=(3,))),
    }
    network = Autoencoder(2, modalities=modalities, epochs=1, random_state=0)
    for before in (network.fit(rows), DeepClustering(3, method="ae", autoencoder=network, random_state=0).fit(rows)):
        after = load_model(stored(before))
        assert repr(after) == repr(before)
        np.testing.assert_array_equal(after.transform(rows), before.transform(rows))
        decoded = [one.inverse_transform(before.transform(rows)) for one in (before, after)]
        for name in rows:
            np.testing.assert_array_equal(decoded[1][name], decoded[0][name])
    assert after.decoded_centers_.keys() == {"place", "counts"}


def test_names_of_features(stored):
    frame = pd.DataFrame(X, columns=[f"größe {i}" for i in range(6)])
    for before in (NETWORKS["dense"].fit(frame), METHODS["ae"].fit(frame)):
        after = load_model(stored(before))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            after.transform(frame)
        assert after.feature_names_in_.tolist() == list(frame.columns)
        with pytest.raises(GpuclustError, match="feature names"):
            after.transform(frame.rename(columns={"größe 1": "z"}))


def test_what_would_take_pickle_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"random_state=.* cannot be saved"):
        save_model(Autoencoder(**{**TINY, "random_state": np.random.RandomState(0)}).fit(X), tmp_path / "m")
    before = DeepClustering(
        3, method="ae", autoencoder=Autoencoder(**TINY), clusterer=AgglomerativeClustering(), random_state=0
    ).fit(X)
    with pytest.raises(ParameterError, match=r"clusterer=Agglomerative.* cannot be saved with a model"):
        save_model(before, tmp_path / "m")
    before.clusterer = None  # it still is what labels the codes
    with pytest.raises(ModelError, match=r"Agglomerative.* cannot be saved without pickle.*'GaussianMixture'"):
        save_model(before, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_settings_of_the_process_are_not_those_of_the_model(stored, tmp_path):
    settings = {"verbose": 1, "callback": lambda epoch: None, "checkpoint": tmp_path / "c"}
    after = load_model(stored(Autoencoder(**TINY, **settings).fit(X)))
    assert after.get_params() == Autoencoder(**TINY).get_params()


def test_numbers_of_numpy_come_back_as_python_s(stored):
    numbers = {"epochs": np.int64(2), "noise": np.float32(0.5), "n_components": np.uint8(2), "compile": np.bool_(False)}
    before = Autoencoder(**{**TINY, **numbers}).fit(X)
    after = load_model(stored(before))
    assert after.get_params() == before.get_params()
    assert {type(after.get_params()[name]) for name in numbers} == {int, float, bool}


def test_a_cpu_loads_what_a_gpu_trained(stored):
    """What a GPU leaves in the file is its name in a parameter; another device takes its place."""
    before = METHODS["idec"].fit(X)
    for part in (before, before.autoencoder_):
        part.set_params(device="cuda")
    try:
        file = stored(before)
        if not torch.cuda.is_available():
            with pytest.raises(DeviceError):
                load_model(file).predict(X)
        after = load_model(file, device="cpu")
        for part in (before, before.autoencoder_):
            part.set_params(device=None)
        same(before, after, ["transform", "predict", "predict_proba"], NEW)
    finally:
        METHODS["idec"].set_params(device=None)


@pytest.mark.gpu
def test_a_gpu_s_network_on_a_cpu(stored):
    before = DeepClustering(3, method="idec", autoencoder=Autoencoder(**TINY), epochs=1, device="cuda", random_state=0)
    before.fit(torch.from_numpy(X).cuda())
    after = load_model(stored(before), device="cpu")
    assert next(after.autoencoder_.model_.parameters()).device.type == "cpu"
    np.testing.assert_allclose(after.transform(NEW), before.transform(NEW), atol=1e-2)
    np.testing.assert_array_equal(after.cluster_centers_, before.cluster_centers_)
    np.testing.assert_array_equal(after.decoded_centers_, before.decoded_centers_)


# -- files that are not right --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """Return a small fitted clustering."""
    return DeepClustering(
        3, method="dec", autoencoder=Autoencoder(**{**TINY, "architecture": {"widths": (2,)}}), epochs=1, random_state=0
    ).fit(X)


def test_damage_anywhere_is_noticed(fitted, stored, tmp_path):
    content = stored(fitted).read_bytes()
    random, header = np.random.default_rng(0), 8 + int.from_bytes(content[:8], "little")
    places = {*random.integers(0, header, 100).tolist(), *random.integers(header, len(content), 100).tolist()}
    accepted = 0
    for place in sorted(places):
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        (tmp_path / "m").write_bytes(changed)
        try:
            found = load_model(tmp_path / "m")
        except ModelError:
            continue
        accepted += 1
        assert stored(found, "again").read_bytes() == content
    assert accepted <= 2  # white space in the header
    for length in [0, 7, 8, 9, header, *random.integers(0, len(content), 20).tolist(), len(content) - 1]:
        (tmp_path / "m").write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_model(tmp_path / "m")


def _changed(contents, path, value):
    """A copy of nested contents with another value at a path."""
    contents = json.loads(json.dumps(contents))
    *outer, last = path
    place = contents
    for key in outer:
        place = place[key]
    place[last] = value
    return contents


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], 2, "has format version 2; this gpuclust reads version 1"),
        (["format"], None, "has format version None"),
        (["estimator"], "Autoencoder", "inconsistent|holds"),
        (["estimator"], "os.system", "holds estimator='os.system', which should be one of .*'DeepClustering'"),
        (["autoencoder", "estimator"], "DeepClustering", "holds estimator='DeepClustering', which should be"),
        (["autoencoder", "estimator"], "VariationalAutoencoder", "has another network than its parameters say"),
        (["autoencoder", "params", "n_components"], 3, "has another network than its parameters say"),
        (["autoencoder", "params", "evil"], 3, "inconsistent .*evil"),
        (["autoencoder", "params", "noise"], 7, "inconsistent .*noise"),
        (["autoencoder", "params", "noise"], {"pickle": 7}, "holds a parameter that is not one"),
        (["autoencoder", "network", "variational"], True, "inconsistent|another network"),
        (["autoencoder", "network", "latent"], 3, "another network"),
        (["autoencoder", "network", "widths", "X"], 7, "inconsistent .*size mismatch"),
        (["autoencoder", "network", "modalities"], {}, "inconsistent"),
        (["autoencoder", "feature_names"], ["a"], "has 1 feature names for 6 features"),
        (["autoencoder", "history"], {"epochs": [{}]}, "inconsistent"),
        (["autoencoder"], None, "inconsistent"),
        (["params", "method"], "evil", "inconsistent .*method"),
        (["params", "n_clusters"], 0, "inconsistent .*n_clusters"),
        (["params", "clusterer"], {"estimator": "os.system", "params": {}}, "holds estimator='os.system'"),
        (["head", "name"], "evil", "inconsistent .*evil"),
        (["head"], None, "inconsistent"),
        (["restarts"], 3, "inconsistent"),
    ],
)
def test_descriptions_that_make_no_sense(fitted, stored, path, value, message):
    file = stored(fitted)
    contents, tensors = unpack(file.read_bytes())
    file.write_bytes(pack(_changed(contents, path, value), tensors))
    with pytest.raises(ModelError, match=message):
        load_model(file)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("autoencoder.network.parts.0.encoder.0.weight", lambda a: a * np.nan, "that is not finite"),
        ("autoencoder.network.parts.0.encoder.0.weight", lambda a: a[:, :-1], "inconsistent .*size mismatch"),
        ("autoencoder.network.parts.0.encoder.0.weight", None, "inconsistent .*Missing key"),
        ("autoencoder.network.extra", lambda a: np.zeros(1), "inconsistent .*Unexpected key"),
        ("autoencoder.scaling.shift", lambda a: a[:-1], "has a scaling that is not one of 6 features"),
        ("autoencoder.scaling.factor", lambda a: a * 0, "has a scaling that is not one of 6 features"),
        ("autoencoder.scaling.factor", None, "inconsistent"),
        ("autoencoder.code_mean_", lambda a: a[:-1], "has code_mean_ of shape"),
        ("autoencoder.code_covariance_", None, "inconsistent .*code_covariance_"),
        ("head.centers", lambda a: a[:, :1], "has centres of 1 numbers for codes of 2"),
        ("head.centers", lambda a: a[0], "inconsistent"),
        ("head.centers", lambda a: a[:2], "has decoded centres that are not those of its centres"),
        ("decoded_centers.", lambda a: a[:, :3], "has decoded centres that are not those of its centres"),
    ],
)
def test_tensors_that_make_no_sense(fitted, stored, name, change, message):
    file = stored(fitted)
    contents, tensors = unpack(file.read_bytes())
    tensors = dict(tensors)
    value = tensors.pop(name, np.zeros(1))
    if change is not None:
        tensors[name] = np.ascontiguousarray(change(value))
    file.write_bytes(pack(contents, tensors))
    with pytest.raises(ModelError, match=message):
        load_model(file)


def test_without_torch_the_extra_is_named(fitted, stored):
    code = f"import sys; sys.modules['torch'] = None\nimport gpuclust\ngpuclust.load_model({str(stored(fitted))!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingDependencyError" in done.stderr
    assert "pip install 'gpuclust[deep]'" in done.stderr
