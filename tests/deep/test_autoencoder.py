"""Autoencoder: what its methods give, of any kind of input, and what is refused or said."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from threading import Lock

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from gpuclust import Autoencoder, KMeans
from gpuclust.deep import library
from gpuclust.errors import (
    DataError,
    DeviceError,
    FallbackWarning,
    GpuclustWarning,
    MissingDependencyError,
    ParameterError,
    ResourceError,
    TrainingError,
)
from gpuclust.sources import as_source
from tests.deep.helpers import blobs

SMALL = {"n_components": 2, "architecture": {"widths": (8,)}, "epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X = load_digits().data
    return X, Autoencoder(5, epochs=20, batch_size=64, random_state=0).fit(X)


def test_digits_are_learned_as_they_come(digits):
    """Grey values of 0 to 16, not scaled by the caller: decoded in the same units, much better than their mean."""
    X, model = digits
    decoded = model.inverse_transform(model.transform(X))
    error = np.square(decoded - X).mean()
    assert error < 0.5 * X.var(0).mean()
    assert model.reconstruction_error(X).mean() == pytest.approx(error / 16**2, rel=1e-4)
    assert model.score(X) == pytest.approx(-error / 16**2, rel=1e-4)
    assert model.n_iter_ == len(model.history_) == 20
    assert model.get_feature_names_out().tolist() == [f"autoencoder{i}" for i in range(5)]


def test_rows_that_do_not_belong_have_a_larger_error(digits):
    X, model = digits
    noise = np.random.default_rng(0).permuted(X[:200], axis=1)
    assert np.median(model.reconstruction_error(noise)) > 2 * np.median(model.reconstruction_error(X[:200]))


def test_samples_are_like_the_rows(digits):
    X, model = digits
    drawn = model.sample(500)
    assert drawn.shape == (500, 64)
    np.testing.assert_array_equal(drawn, model.sample(500))
    assert np.abs(drawn.mean(0) - X.mean(0)).mean() < 0.15 * X.std()
    assert drawn.std(0).mean() > 0.5 * X.std(0).mean()
    codes = model.transform(X).astype(np.float64)
    np.testing.assert_allclose(model.code_mean_, codes.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.code_covariance_, np.cov(codes.T), rtol=1e-6, atol=1e-6)
    back = model.transform(drawn)
    assert np.abs(back.mean(0) - model.code_mean_).max() < 3 * np.sqrt(np.diag(model.code_covariance_)).max()


def test_a_row_has_the_same_code_whatever_is_beside_it(digits):
    X, model = digits
    codes = model.transform(X)
    for rows in ([0], [5, 1796], range(100, 700)):
        np.testing.assert_array_equal(model.transform(X[list(rows)]), codes[list(rows)])


def test_any_kind_of_input(tmp_path):
    X = blobs()
    np.save(tmp_path / "X.npy", X)
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    expected = Autoencoder(**SMALL).fit(X).transform(X)
    assert expected.dtype == np.float32
    for rows in (torch.from_numpy(X), tmp_path / "X.npy", as_source(X, chunk_rows=9), X.tolist(), np.asfortranarray(X)):
        codes = Autoencoder(**SMALL).fit(rows).transform(rows)
        assert isinstance(codes, torch.Tensor if isinstance(rows, torch.Tensor) else np.ndarray)
        np.testing.assert_array_equal(codes, expected)
    named = Autoencoder(**SMALL).fit(frame)
    assert named.feature_names_in_.tolist() == list(frame.columns)
    np.testing.assert_array_equal(named.transform(frame), expected)


def test_streamed_rows_are_learned_too():
    X = blobs(2000)
    model = Autoencoder(**{**SMALL, "epochs": 15, "learning_rate": 1e-2}, max_memory=20_000).fit(X)
    assert model.rows(X).x is None
    resident = Autoencoder(**{**SMALL, "epochs": 15, "learning_rate": 1e-2}).fit(X)
    assert model.history_.losses[-1] < 2 * resident.history_.losses[-1] < resident.history_.losses[0] / 5
    np.testing.assert_array_equal(model.transform(X), model.set_params(max_memory=None).transform(X))


def test_codes_reach_the_clustering_engine_without_a_copy(digits, monkeypatch):
    X, model = digits
    codes = model.codes(X)
    assert isinstance(codes, torch.Tensor)
    assert not codes.requires_grad
    assert codes.is_contiguous()
    source = as_source(codes)
    assert next(iter(source.chunks())).rows.__array_interface__["data"][0] == codes.data_ptr()
    labels = KMeans(10, random_state=0).fit_predict(codes)
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels, KMeans(10, random_state=0).fit_predict(model.transform(X)))
    rows = model.rows(X)
    assert torch.equal(model.codes(rows), codes)


def test_neighbours_are_a_term_of_the_loss():
    model = Autoencoder(**SMALL, neighbors=100).fit(blobs())  # more than there are
    assert list(model.history_.epochs[-1].terms) == ["reconstruction", "attraction", "repulsion"]


@pytest.mark.slow
def test_neighbours_make_clusters_of_digits():
    """What the option is for, as measured: the clusters of the codes are 5 to 15 points nearer to the digits."""
    X, y = load_digits(return_X_y=True)
    found = []
    for neighbors in (None, 15):
        codes = Autoencoder(neighbors=neighbors, random_state=0).fit(X).codes(X)
        found.append(adjusted_rand_score(y, KMeans(10, n_init=4, random_state=0).fit(codes).labels_))
    assert found[1] > max(found[0] + 0.05, 0.7)


def test_noise_and_ties_reach_the_network():
    X = blobs()
    plain = Autoencoder(**SMALL).fit(X)
    noisy = Autoencoder(**SMALL, noise=0.5).fit(X)
    assert noisy.history_.losses[0] != plain.history_.losses[0]
    tied = Autoencoder(**{**SMALL, "architecture": {"widths": (8,), "tied": True}}).fit(X)
    count = [sum(weight.numel() for weight in model.model_.parameters()) for model in (plain, tied)]
    assert count[0] - count[1] == 6 * 8 + 8 * 2


def test_the_standard_scaling_is_undone():
    X = blobs() * [1, 10, 100, 1000, 1e4, 0] + [0, 0, 1e6, 0, 0, 7]
    model = Autoencoder(2, scaling="standard", epochs=100, batch_size=16, learning_rate=1e-2, random_state=0).fit(X)
    decoded = model.inverse_transform(model.transform(X))
    assert (np.abs(decoded - X).mean(0)[:5] < 0.3 * X.std(0)[:5]).all()
    assert np.abs(decoded[:, 5] - 7).max() < 1  # a constant column


def test_a_fitted_estimator_is_copied():
    X = blobs()
    model = Autoencoder(**{**SMALL, "architecture": {"widths": (8,), "dropout": 0.2}}).fit(X)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_divergence_leaves_a_model():
    model = Autoencoder(**{**SMALL, "epochs": 50, "learning_rate": 1e12})
    with pytest.raises(TrainingError, match="Lower learning_rate"):
        model.fit(blobs())
    assert np.isfinite(model.transform(blobs())).all()


@pytest.mark.parametrize(
    ("params", "X", "error", "message"),
    [
        ({"n_components": 0}, blobs(), ParameterError, "n_components"),
        ({"architecture": "huge"}, blobs(), ParameterError, "architecture='huge'"),
        ({"patience": 3}, blobs(), ParameterError, "patience=3"),
        (
            {"architecture": {"kind": "conv", "shape": (2, 4)}},
            blobs(),
            DataError,
            r"shape=\(2, 4\) does not fit rows of 6",
        ),
        ({"likelihood": "poisson"}, blobs(), DataError, "for counts"),
        ({"likelihood": "bernoulli", "scaling": None}, blobs(), DataError, r"values in \[0, 1\]"),
        ({"neighbors": 3}, blobs(1), DataError, "n_samples=1 should be >= 2"),
        ({"neighbors": 3, "max_memory": 1000}, blobs(), ResourceError, "needs all rows in memory"),
        ({"device": "cuda:0,1"}, blobs(), ParameterError, "names several GPUs"),
        ({"modalities": {}}, blobs(), ParameterError, "should name at least one"),
    ],
)
def test_what_is_refused(params, X, error, message):
    with pytest.raises(error, match=message):
        Autoencoder(**{**SMALL, **params}).fit(X)


def test_codes_of_another_length_are_refused():
    model = Autoencoder(**SMALL).fit(blobs())
    with pytest.raises(DataError, match="X has 3 features, but codes of Autoencoder have n_components=2"):
        model.inverse_transform(np.zeros((1, 3)))
    with pytest.raises(ParameterError, match="n_samples=0"):
        model.sample(0)


def test_what_is_said():
    with pytest.warns(GpuclustWarning, match="wider than rows"):
        Autoencoder(**{**SMALL, "n_components": 7}).fit(blobs())
    with pytest.warns(GpuclustWarning, match="All rows of X are equal"):
        Autoencoder(**SMALL).fit(np.ones((5, 3)))


def test_progress_is_printed_and_called(capsys):
    seen = []
    Autoencoder(**SMALL, verbose=1, callback=seen.append).fit(blobs())
    assert capsys.readouterr().out.count("rows/s") == len(seen) == 2


class _Engine:
    name = "cuda"


def _as_if_there_were_a_gpu(monkeypatch):
    monkeypatch.setattr(library, "get_engine", lambda *args, **options: _Engine())
    monkeypatch.setattr(library, "choose", lambda *args, **options: library.Choice("cuda:0", "it is there"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_gpu_that_torch_cannot_use_is_refused_or_said(monkeypatch):
    _as_if_there_were_a_gpu(monkeypatch)
    for options in ({"device": "cuda"}, {"device": "auto", "data_device": "cuda:0"}):
        with pytest.raises(DeviceError, match="cuda:0 cannot be used by torch"):
            library.torch_device(**options)
    monkeypatch.setattr(library, "_unsaid", Lock())
    with pytest.warns(FallbackWarning, match="trained on the CPU: torch"):
        assert library.torch_device("auto").type == "cpu"


def test_without_torch_the_extra_is_named():
    code = "import sys; sys.modules['torch'] = None\nimport gpuclust\ngpuclust.Autoencoder"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert MissingDependencyError.__name__ in done.stderr
    assert "pip install 'gpuclust[deep]'" in done.stderr


def test_neighbours_of_images_are_those_of_images():
    """Only the neighbourhoods know of the shape: without them, images are rows like others."""
    images = np.random.default_rng(5).normal(size=(30, 5, 5)).astype(np.float32)
    for options, same in (({}, True), ({"neighbors": 3}, False)):
        model = Autoencoder(2, epochs=2, random_state=0, **options)
        assert np.array_equal(clone(model).fit_transform(images), model.fit_transform(images.reshape(30, -1))) == same
