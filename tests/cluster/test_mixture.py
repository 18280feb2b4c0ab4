"""GaussianMixture: scikit-learn's results from the same start, its protocol, and typed errors for what it refuses."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from gpuclust import GaussianMixture, errors
from gpuclust.algorithms.covariances import KINDS
from gpuclust.algorithms.mixture import INITIALIZATIONS
from tests.exactness.test_instruction_sets import ROOT, TARGETS

ATTRIBUTES = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def _blobs(n=600, d=4, k=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    centers, roots, labels = 6 * rng.normal(size=(k, d)), rng.normal(size=(k, d, d)), rng.integers(0, k, n)
    return (centers[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n, d)))).astype(dtype)


def _start(X, kind, k=3):
    d = X.shape[1]
    precisions = {
        "full": np.stack([np.eye(d)] * k),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }
    chosen = X[np.random.default_rng(5).choice(len(X), k, replace=False)]
    return {"weights_init": np.full(k, 1 / k), "means_init": chosen, "precisions_init": precisions[kind]}


def _assert_equal(a, b):
    for name in (*ATTRIBUTES, "n_iter_", "lower_bound_", "lower_bounds_", "converged_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.fixture
def X():
    return _blobs()


# -- as scikit-learn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_from_the_same_start(X, kind):
    options = {"covariance_type": kind, "max_iter": 40, "tol": 1e-6, **_start(X, kind)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SklearnConvergenceWarning)
        ours, theirs = (Estimator(3, **options).fit(X) for Estimator in (GaussianMixture, SklearnGaussianMixture))
    assert ours.n_iter_ == theirs.n_iter_
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-7, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    for method in ("score", "bic", "aic"):
        assert getattr(ours, method)(X) == pytest.approx(getattr(theirs, method)(X), rel=1e-10)
    assert ours.predict(X).dtype == np.int32


@pytest.mark.parametrize("init", INITIALIZATIONS)
def test_every_start_finds_what_scikit_learn_finds(init):
    X = _blobs(300, d=2, k=2, seed=1)
    options = {"init_params": init, "n_init": 3, "max_iter": 300, "tol": 1e-5, "random_state": 0}
    found = [Estimator(2, **options).fit(X).lower_bound_ for Estimator in (GaussianMixture, SklearnGaussianMixture)]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_bic_chooses_the_number_of_components():
    X = _blobs(3000, d=2, k=4, seed=3)
    fits = [GaussianMixture(k, n_init=2, random_state=0).fit(X) for k in range(1, 7)]
    assert np.argmin([fit.bic(X) for fit in fits]) == 3
    assert fits[3].aic(X) < fits[3].bic(X)


# -- one answer --------------------------------------------------------------------------------------------------------


def test_labels_are_those_of_the_fitted_parameters(X):
    mixture = GaussianMixture(3, max_iter=2, tol=0, random_state=0)
    with pytest.warns(errors.ConvergenceWarning):
        labels = mixture.fit_predict(X)
    np.testing.assert_array_equal(labels, mixture.predict(X))
    np.testing.assert_array_equal(labels, mixture.predict_proba(X).argmax(axis=1))
    assert mixture.score(X) == pytest.approx(mixture.score_samples(X).mean(), rel=1e-14)


def test_files_and_memory_limits_change_nothing(X, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    expected = GaussianMixture(3, random_state=0).fit(X)
    for rows in (path, str(path), np.load(path, mmap_mode="r")):
        _assert_equal(GaussianMixture(3, random_state=0, max_memory="4KiB").fit(rows), expected)
    np.testing.assert_array_equal(expected.predict(path), expected.predict(X))


def test_kinds_of_rows(X):
    expected = GaussianMixture(3, random_state=0).fit(X)
    pandas, polars, torch = map(pytest.importorskip, ("pandas", "polars", "torch"))
    frame = pandas.DataFrame(X, columns=list("abcd"))
    fitted = GaussianMixture(3, random_state=0).fit(frame)
    _assert_equal(fitted, expected)
    np.testing.assert_array_equal(fitted.feature_names_in_, list("abcd"))
    with pytest.raises(errors.DataError, match="feature names should match"):
        fitted.predict(frame[list("bacd")])
    _assert_equal(GaussianMixture(3, random_state=0).fit(polars.DataFrame(X)), expected)
    tensor = torch.from_numpy(X)
    _assert_equal(GaussianMixture(3, random_state=0).fit(tensor), expected)
    for method in ("predict", "predict_proba", "score_samples"):
        found = getattr(expected, method)(tensor)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), getattr(expected, method)(X))
    assert isinstance(GaussianMixture(3).fit_predict(tensor), torch.Tensor)


def test_float32_rows_are_the_same_rows():
    X = _blobs(dtype=np.float32)
    narrow, wide = (GaussianMixture(3, **_start(X, "full")).fit(X.astype(dtype)) for dtype in (np.float32, np.float64))
    _assert_equal(narrow, wide)
    assert all(getattr(narrow, name).dtype == np.float64 for name in ATTRIBUTES)


def test_pickle_and_clone(X):
    fitted = GaussianMixture(3, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(fitted))
    _assert_equal(again, fitted)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    _assert_equal(clone(fitted).fit(X), fitted)


_FIT = """
import hashlib, json
import numpy as np
from gpuclust import GaussianMixture
random, found = np.random.default_rng(4), {}
for d in (2, 9):
    rows = 4 * random.standard_normal((5, d))[random.integers(0, 5, 3000)] + random.standard_normal((3000, d)) + 100
    for kind in ("full", "tied", "diag", "spherical"):
        model = GaussianMixture(5, covariance_type=kind, random_state=1, max_iter=4, tol=0).fit(rows)
        arrays = (model.means_, model.covariances_, model.precisions_, model.predict_proba(rows), model.lower_bounds_)
        found[f"{kind} {d}"] = hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_bits_do_not_depend_on_the_instruction_set(tmp_path):
    found = []
    for name, variables in TARGETS.items():
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "GPUCLUST_CACHE_DIR": str(tmp_path / name)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _FIT], env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == found[2]


# -- fits --------------------------------------------------------------------------------------------------------------


def test_the_best_of_several_starts_is_kept(X):
    options, random_state = {"init_params": "random_from_data"}, np.random.RandomState(0)
    bounds = [GaussianMixture(3, random_state=random_state, **options).fit(X).lower_bound_ for _ in range(4)]
    best = GaussianMixture(3, random_state=np.random.RandomState(0), n_init=4, **options).fit(X)
    assert best.lower_bound_ == max(bounds)
    assert min(bounds) < max(bounds)


def test_warm_start_goes_on_where_it_ended(X):
    options = {"max_iter": 1, "tol": 0, **_start(X, "full")}
    step = GaussianMixture(3, warm_start=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SklearnConvergenceWarning)
        bounds = [step.fit(X).lower_bound_ for _ in range(4)]
        straight = GaussianMixture(3, **{**options, "max_iter": 4}).fit(X)
    assert bounds == straight.lower_bounds_
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(step, name), getattr(straight, name))
    settled = GaussianMixture(3, warm_start=True, random_state=0).fit(X)
    assert settled.fit(X).n_iter_ == 1
    for options in ({"n_components": 2}, {"covariance_type": "diag"}):
        with pytest.raises(errors.ParameterError, match="set warm_start=False"):
            GaussianMixture(3, warm_start=True, random_state=0).fit(X).set_params(**options).fit(X)


def test_no_iteration_keeps_what_was_given(X):
    given = _start(X, "diag")
    fitted = GaussianMixture(3, covariance_type="diag", max_iter=0, **given).fit(X)
    assert (fitted.n_iter_, fitted.converged_, fitted.lower_bounds_) == (0, False, [])
    np.testing.assert_array_equal(fitted.means_, given["means_init"])


def test_progress(X, capsys):
    seen = []
    GaussianMixture(3, verbose=1, verbose_interval=2, random_state=0, callback=lambda *f: seen.append(f)).fit(X)
    printed = capsys.readouterr().out
    assert printed.startswith("Initialization 0\n  Iteration 2, lower bound ")
    assert "Iteration 1," not in printed
    assert [figures[0] for figures in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_of_the_mixture(X, kind):
    fitted = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
    rows, labels = fitted.sample(60_000)
    assert rows.shape == (60_000, 4)
    np.testing.assert_allclose(np.bincount(labels) / len(labels), fitted.weights_, atol=0.01)
    d = X.shape[1]
    for c in range(3):
        mine = rows[labels == c]
        np.testing.assert_allclose(mine.mean(axis=0), fitted.means_[c], atol=0.2)
        expected = fitted.covariances_ if kind == "tied" else fitted.covariances_[c]
        expected = expected if kind in ("full", "tied") else np.diag(np.broadcast_to(expected, d))
        np.testing.assert_allclose(np.cov(mine.T), expected, atol=0.06 * np.abs(expected).max())
    np.testing.assert_array_equal(fitted.sample(10)[0], fitted.sample(10)[0])


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"n_components": 0}, errors.ParameterError, "n_components"),
        ({"covariance_type": "round"}, errors.ParameterError, "covariance_type"),
        ({"reg_covar": -1.0}, errors.ParameterError, "reg_covar"),
        ({"init_params": "zeros"}, errors.ParameterError, "init_params"),
        ({"n_components": 7}, errors.DataError, "n_samples >= n_components but got n_components = 7, n_samples = 6"),
        ({"weights_init": [0.5, 0.4]}, errors.ParameterError, "normalized, but got sum"),
        ({"weights_init": [1.5, -0.5]}, errors.ParameterError, "range"),
        ({"weights_init": [1.0]}, errors.ParameterError, r"shape of \(2,\)"),
        ({"means_init": [[0.0, np.nan], [1, 1]]}, errors.ParameterError, "NaN"),
        ({"means_init": "here"}, errors.ParameterError, "means_init"),
        ({"means_init": [["a", "b"], ["c", "d"]]}, errors.ParameterError, "array of numbers"),
        ({"precisions_init": np.zeros((2, 2, 2))}, errors.ParameterError, "positive-definite"),
        ({"precisions_init": np.array([[[1.0, 2], [0, 5]]] * 2)}, errors.ParameterError, "symmetric"),
        ({"precisions_init": np.zeros(2), "covariance_type": "spherical"}, errors.ParameterError, "positive"),
        ({"device": "abacus"}, errors.ParameterError, "device"),
    ],
)
def test_parameters_that_are_refused(options, error, says):
    X = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(error, match=says):
        GaussianMixture(**{"n_components": 2, **options}).fit(X)


def test_rows_that_are_refused(X):
    bad = X.copy()
    bad[7, 2] = np.inf
    with pytest.raises(errors.DataError, match="row 7, column 2"):
        GaussianMixture(2).fit(bad)
    with pytest.raises(errors.DataError, match="minimum of 2"):
        GaussianMixture(1).fit(X[:1])
    fitted = GaussianMixture(2).fit(X)
    with pytest.raises(errors.DataError, match="features"):
        fitted.predict(X[:, :2])
    with pytest.raises(errors.ParameterError, match="n_samples"):
        fitted.sample(0)


def test_collapsed_components_say_what_to_do(X):
    constant = X.copy()
    constant[:, 1] = 3.0
    with pytest.raises(errors.DataError, match="increase reg_covar"):
        GaussianMixture(2, reg_covar=0.0).fit(constant)
    fitted = GaussianMixture(2, random_state=0).fit(constant)
    np.testing.assert_allclose(fitted.covariances_[:, 1, 1], 1e-6, rtol=1e-6)


def test_not_converged(X):
    with pytest.warns(SklearnConvergenceWarning, match="did not converge"):
        GaussianMixture(3, max_iter=1, random_state=0).fit(X)
