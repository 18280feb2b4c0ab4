"""Models on disk: what is read is what was written, bit for bit, or a ModelError."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save
from sklearn.exceptions import NotFittedError

from gpuclust._container import pack
from gpuclust.cluster import DBSCAN, GaussianMixture, KMeans, MiniBatchKMeans
from gpuclust.errors import ModelError, ParameterError
from gpuclust.jobs import model as module
from gpuclust.jobs.model import load_model, save_model


@pytest.fixture
def fitted(rows):
    """Return a fitted KMeans with two centres in float32."""
    return KMeans(n_clusters=2, random_state=0).fit(rows)


@pytest.fixture
def stored(fitted, tmp_path):
    """Return the path of `fitted` on disk."""
    save_model(fitted, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def stored_dbscan(rows, tmp_path):
    """Return the path of a fitted DBSCAN on disk: 3 clusters, some noise."""
    fitted = DBSCAN(1.8, min_samples=3).fit(rows[::15])
    assert 0 < len(fitted.components_) < 40
    assert set(fitted.labels_) == {-1, 0, 1, 2}
    save_model(fitted, tmp_path / "dbscan.safetensors")
    return tmp_path / "dbscan.safetensors"


def _parts(path):
    """Return the stored JSON object and tensors."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    from safetensors.numpy import load

    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["gpuclust"]), load(content)


def _forge(path, stored, tensors):
    """Write contents that pass the checksum, whatever they say."""
    path.write_bytes(pack(stored, tensors))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
def test_round_trip(tmp_path, rows, kind, dtype, metric):
    X = rows.astype(dtype)
    before = kind(n_clusters=np.int64(3), random_state=0, metric=metric, tol=1e-3).fit(X)
    save_model(before, tmp_path / "m")
    after = load_model(tmp_path / "m")
    assert type(after) is kind
    assert after.get_params() == before.get_params()
    assert after.cluster_centers_.dtype == dtype
    assert after.cluster_centers_.tobytes() == before.cluster_centers_.tobytes()
    assert (after.inertia_, after.n_iter_, after.n_features_in_) == (before.inertia_, before.n_iter_, 4)
    assert np.array_equal(after.predict(X), before.predict(X))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "cosine", "haversine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip_of_dbscan(tmp_path, rows, dtype, metric):
    X = (rows[:, :2] / 50).astype(dtype)
    eps = np.float64(1e-5 if metric == "cosine" else 0.02)
    before = DBSCAN(eps, min_samples=np.int64(4), metric=metric, leaf_size=7).fit(X)
    assert len(before.components_)
    save_model(before, tmp_path / "m")
    after = load_model(tmp_path / "m")
    assert type(after) is DBSCAN
    assert after.get_params() == before.get_params()
    assert after.components_.dtype == dtype
    assert after.components_.tobytes() == before.components_.tobytes()
    assert after.n_features_in_ == 2
    near = X + dtype(0.01)
    labels = after.predict(near)
    assert len(set(labels.tolist())) > 1
    assert np.array_equal(labels, before.predict(near))


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_round_trip_of_a_mixture(tmp_path, rows, covariance_type):
    before = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(rows)
    save_model(before, tmp_path / "m")
    after = load_model(tmp_path / "m")
    assert after.get_params() == before.get_params()
    assert (after.converged_, after.n_iter_, after.lower_bound_) == (
        before.converged_,
        before.n_iter_,
        before.lower_bound_,
    )
    for method in ("predict", "predict_proba", "score_samples"):
        np.testing.assert_array_equal(getattr(after, method)(rows), getattr(before, method)(rows))
    np.testing.assert_array_equal(after.sample(5)[0], before.sample(5)[0])
    assert after.bic(rows) == before.bic(rows)
    contents, tensors = _parts(tmp_path / "m")
    for values in (tensors["covariances_"].T[:-1], tensors["covariances_"] * np.nan):
        _forge(tmp_path / "m", contents, tensors | {"covariances_": np.ascontiguousarray(values)})
        with pytest.raises(ModelError, match="has covariances_ that are not finite float64 numbers of shape"):
            load_model(tmp_path / "m")


def test_a_dbscan_of_nothing_but_noise(tmp_path, rows):
    save_model(DBSCAN(1e-6, min_samples=2).fit(rows), tmp_path / "m")
    after = load_model(tmp_path / "m")
    assert after.components_.shape == (0, 4)
    assert after.predict(rows).tolist() == [-1] * len(rows)


def test_precomputed_distances_are_no_model(tmp_path):
    with pytest.raises(ParameterError, match="metric='precomputed' cannot be saved"):
        save_model(DBSCAN(metric="precomputed").fit(np.zeros((6, 6))), tmp_path / "m")
    with pytest.raises(ModelError, match="is a folder without model"):
        load_model(tmp_path)


def test_feature_names(tmp_path, rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=["a", "b", "c", "größe"])
    save_model(KMeans(n_clusters=2, random_state=0).fit(frame), tmp_path / "m")
    after = load_model(tmp_path / "m")
    assert list(after.feature_names_in_) == ["a", "b", "c", "größe"]
    after.predict(frame)


def test_an_array_init_is_stored_and_a_callable_is_refused(tmp_path, rows):
    save_model(KMeans(n_clusters=2, init=rows[[0, -1]]).fit(rows), tmp_path / "m")
    assert np.array_equal(load_model(tmp_path / "m").init, rows[[0, -1]])
    with pytest.raises(ParameterError, match=r"init=.* cannot be saved"):
        save_model(KMeans(n_clusters=2, init=lambda X, k, random_state: X[:k]).fit(rows), tmp_path / "m")
    with pytest.raises(ParameterError, match=r"random_state=.* cannot be saved"):
        save_model(KMeans(n_clusters=2, random_state=np.random.RandomState(0)).fit(rows), tmp_path / "m")


def test_a_minibatch_model_goes_on_learning(tmp_path, rows):
    before = MiniBatchKMeans(n_clusters=3, random_state=0).fit(rows)
    save_model(before, tmp_path / "m")
    after = load_model(tmp_path / "m")
    assert np.array_equal(after.partial_fit(rows[:50]).cluster_centers_, before.partial_fit(rows[:50]).cluster_centers_)


def test_only_fitted_estimators_of_ours_are_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_model(KMeans(), tmp_path / "m")
    with pytest.raises(ParameterError, match="estimator='dict' cannot be saved"):
        save_model({}, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["stored", "stored_dbscan"])
def test_every_single_byte_matters(request, model):
    """Each byte of the file, changed in several ways: a ModelError or the identical model, never anything else."""
    content = bytearray(request.getfixturevalue(model).read_bytes())
    refused = 0
    for position in range(len(content)):
        for flip in (1 << position % 8, 0xFF, 0x20):
            changed = content.copy()
            changed[position] ^= flip
            try:
                found = module._decode(bytes(changed))
            except ModelError:
                refused += 1
                continue
            assert module._encode(found) == content
    assert refused > 2.9 * len(content)  # what is accepted is white space in the header


def test_every_truncation_is_noticed(stored):
    content = stored.read_bytes()
    for length in range(len(content)):
        with pytest.raises(ModelError):
            module._decode(content[:length])
    with pytest.raises(ModelError):
        module._decode(content + b"\0")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 64,
        (1 << 40).to_bytes(8, "little") + b"{" * 100,  # a header that claims a terabyte
        (100_000).to_bytes(8, "little") + b"[" * 100_000,  # nested deeper than any parser goes
        pickle.dumps({"cluster_centers_": np.zeros((2, 2))}),
        save({"cluster_centers_": np.zeros((2, 2))}),
        save({"cluster_centers_": np.zeros((2, 2))}, {"gpuclust": "{}", "sha256": "0"}),
    ],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelError, match="m' is "):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format version 2"),
        ({"format": None}, "has format version None"),
        ({"estimator": "os.system"}, "holds estimator='os.system'"),
        ({"estimator": ["KMeans"]}, "inconsistent"),
        ({"n_features": 5}, "has cluster_centers_ of shape"),
        ({"dtype": "float64"}, "has cluster_centers_ of shape"),
        ({"feature_names": ["a"]}, "has 1 feature names for 4 features"),
        ({"params": {"n_clusters": 0}}, "has 2 cluster_centers_ for n_clusters=0"),
        ({"params": {"n_clusters": 3}}, "has 2 cluster_centers_ for n_clusters=3"),
        ({"params": {"n_clusters": 2, "evil": 1}}, "inconsistent"),
        ({"params": {"n_clusters": 2, "metric": "manhattan"}}, "inconsistent .*metric"),
        ({"params": None}, "inconsistent"),
        ({"attributes": {}}, "inconsistent"),
    ],
)
def test_contents_that_make_no_sense(stored, change, message):
    contents, tensors = _parts(stored)
    _forge(stored, contents | change, tensors)
    with pytest.raises(ModelError, match=message):
        load_model(stored)


@pytest.mark.parametrize(
    "centers",
    [
        np.zeros(4, np.float32),
        np.zeros((2, 3), np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros((2, 4), np.int32),
        np.full((2, 4), np.nan, np.float32),
    ],
)
def test_centres_that_make_no_sense(stored, centers):
    contents, _ = _parts(stored)
    _forge(stored, contents | {"dtype": str(centers.dtype)}, {"cluster_centers_": centers})
    with pytest.raises(ModelError, match="has"):
        load_model(stored)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"components_": np.full((3, 4), np.inf, np.float32)}, "has components_ that are not finite"),
        ({"components_": np.zeros((3, 4), np.float64)}, "has components_ of shape"),
        ({"components_": np.zeros((3, 0), np.float32)}, "has components_ of shape"),
        ({"_component_labels": np.zeros(2, np.int32)}, "_component_labels that are not 3 int32"),
        ({"_component_labels": np.zeros((3, 1), np.int32)}, "_component_labels that are not 3 int32"),
        ({"_component_labels": np.zeros(3, np.int64)}, "_component_labels that are not 3 int32"),
        ({"_component_labels": np.array([0, -1, 0], np.int32)}, "_component_labels that are not 3 int32 numbers >= 0"),
        ({"_component_labels": None}, "inconsistent"),
        ({"eps": 0.0}, "inconsistent .*eps"),
        ({"eps": None}, "inconsistent .*eps"),
        ({"min_samples": 0}, "inconsistent .*min_samples"),
        ({"metric": "braycurtis"}, "inconsistent .*metric"),
    ],
)
def test_a_dbscan_that_makes_no_sense(stored_dbscan, change, message):
    contents, _ = _parts(stored_dbscan)
    tensors = {"components_": np.zeros((3, 4), np.float32), "_component_labels": np.zeros(3, np.int32)}
    _forge(stored_dbscan, contents, tensors)
    assert len(load_model(stored_dbscan).components_) == 3
    arrays = {name: value for name, value in (tensors | change).items() if name in tensors and value is not None}
    params = {name: value for name, value in change.items() if name not in tensors}
    _forge(stored_dbscan, contents | {"params": contents["params"] | params}, arrays)
    with pytest.raises(ModelError, match=message):
        load_model(stored_dbscan)


def test_missing_file_and_folder(tmp_path, stored):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load_model(tmp_path / "nothing")
    assert load_model(tmp_path).n_clusters == 2  # the folder that holds model.safetensors


def test_saving_replaces_by_one_rename(stored, fitted, monkeypatch):
    before = hashlib.sha256(stored.read_bytes()).hexdigest()

    def full(_path, _content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(fitted, stored)
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == before
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]
