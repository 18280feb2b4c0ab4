"""What the estimators accept and return, and the typed errors for what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.utils._param_validation import InvalidParameterError

from gpuclust import KMeans, MiniBatchKMeans, errors
from gpuclust.sources import as_source

ESTIMATORS = pytest.mark.parametrize("Estimator", [KMeans, MiniBatchKMeans])


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)


def _expected(Estimator, X):
    return Estimator(4, random_state=0).fit(X)


# -- accepted ----------------------------------------------------------------------------------------------------------


@ESTIMATORS
def test_pandas(Estimator, X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    fitted = Estimator(4, random_state=0).fit(frame)
    np.testing.assert_array_equal(fitted.labels_, _expected(Estimator, X).labels_)
    np.testing.assert_array_equal(fitted.feature_names_in_, ["a", "b", "c"])
    assert isinstance(fitted.predict(frame), np.ndarray)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted.predict(X)
    with pytest.raises(errors.DataError, match="feature names should match"):
        fitted.predict(frame[["b", "a", "c"]])
    with pytest.raises(errors.DataTypeError, match="Feature names are only supported"):
        fitted.fit(frame.set_axis(["a", 1, "c"], axis=1))


@ESTIMATORS
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(Estimator, X, library):
    module = pytest.importorskip(library)
    fitted = Estimator(4, random_state=0).set_output(transform=library).fit(X)
    table = fitted.transform(X)
    assert isinstance(table, module.DataFrame)
    assert list(table.columns) == [f"{Estimator.__name__.lower()}{i}" for i in range(4)]


@ESTIMATORS
def test_polars_and_arrow(Estimator, X):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=["a", "b", "c"])
    expected = _expected(Estimator, X)
    for table in (frame, frame.to_arrow()):
        fitted = Estimator(4, random_state=0).fit(table)
        np.testing.assert_array_equal(fitted.labels_, expected.labels_)
        np.testing.assert_array_equal(fitted.feature_names_in_, ["a", "b", "c"])


@ESTIMATORS
def test_torch_in_torch_out(Estimator, X):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X)
    fitted = Estimator(4, random_state=0)
    labels = fitted.fit_predict(tensor)
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int32
    np.testing.assert_array_equal(labels.numpy(), _expected(Estimator, X).labels_)
    assert isinstance(fitted.labels_, np.ndarray)
    assert isinstance(fitted.cluster_centers_, np.ndarray)
    assert torch.equal(fitted.predict(tensor), labels)
    assert isinstance(fitted.transform(tensor), torch.Tensor)
    assert isinstance(fitted.predict(X), np.ndarray)
    table = fitted.set_output(transform="pandas").transform(tensor)
    assert table.shape == (60, 4)


@ESTIMATORS
def test_path_and_source(Estimator, X, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    expected = _expected(Estimator, X)
    for given in (path, str(path), as_source(path, chunk_rows=7)):
        fitted = Estimator(4, random_state=0).fit(given)
        np.testing.assert_array_equal(fitted.labels_, expected.labels_)
        np.testing.assert_array_equal(fitted.cluster_centers_, expected.cluster_centers_)
        np.testing.assert_array_equal(fitted.predict(given), expected.labels_)
        assert fitted.n_features_in_ == 3


def test_parquet_names_are_checked(X, tmp_path):
    polars = pytest.importorskip("polars")
    path, other = tmp_path / "rows.parquet", tmp_path / "other.parquet"
    polars.DataFrame(X, schema=["a", "b", "c"]).write_parquet(path)
    polars.DataFrame(X, schema=["b", "a", "c"]).write_parquet(other)
    fitted = KMeans(4, random_state=0).fit(path)
    np.testing.assert_array_equal(fitted.labels_, _expected(KMeans, X).labels_)
    np.testing.assert_array_equal(fitted.feature_names_in_, ["a", "b", "c"])
    with pytest.raises(errors.DataError, match="feature names should match"):
        fitted.predict(other)
    np.save(tmp_path / "rows.npy", X)
    np.testing.assert_array_equal(fitted.predict(tmp_path / "rows.npy"), fitted.labels_)
    assert not hasattr(fitted.fit(tmp_path / "rows.npy"), "feature_names_in_")


def test_callable_init_gets_the_source_of_a_file(X, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    init = lambda source, k, random_state: source.take(np.arange(k))  # noqa: E731
    fitted = KMeans(4, init=init, n_init=1).fit(tmp_path / "rows.npy")
    np.testing.assert_array_equal(fitted.labels_, KMeans(4, init=X[:4]).fit(X).labels_)


# -- refused -----------------------------------------------------------------------------------------------------------


def _with(value):
    X = np.ones((5, 2))
    X[3, 1] = value
    return X


@ESTIMATORS
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (_with(np.nan), errors.DataError, "NaN.*row 3, column 1"),
        (_with(np.inf), errors.DataError, "infinity.*row 3, column 1"),
        (_with(-np.inf), errors.DataError, "infinity.*row 3, column 1"),
        (np.ones((0, 2)), errors.DataError, "0 sample"),
        (np.ones((5, 0)), errors.DataError, "0 feature"),
        (np.ones(5), errors.DataError, "Expected 2D array"),
        (np.ones((2, 2, 2)), errors.DataError, "dim"),
        ([[1, 2], [3]], errors.DataError, "X"),
        (np.ones((5, 2), dtype=complex), errors.DataError, "Complex data not supported"),
        (np.array([["a", "b"]] * 5), errors.DataError, "X"),
        (np.array([[object(), object()]] * 5), errors.DataError, "X"),
        (scipy.sparse.csr_matrix(np.eye(5)), errors.DataTypeError, "csr_matrix"),
        (scipy.sparse.csr_array(np.eye(5)), errors.DataTypeError, "csr_array"),
        (None, errors.DataError, "None"),
    ],
    ids=lambda value: "",
)
def test_bad_rows(Estimator, X, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        Estimator(2).fit(X)
    fitted = Estimator(2).fit(np.arange(10.0).reshape(5, 2))
    with pytest.raises(error, match=f"(?s){message}"):
        fitted.predict(X)


@ESTIMATORS
def test_more_clusters_than_rows(Estimator):
    with pytest.raises(errors.DataError, match=r"^n_samples=3 should be >= n_clusters=4\.$"):
        Estimator(4).fit(np.ones((3, 2)))


@ESTIMATORS
def test_other_number_of_features(Estimator, X):
    fitted = Estimator(2).fit(X)
    for method in (fitted.predict, fitted.transform, fitted.score):
        with pytest.raises(
            errors.DataError, match=f"X has 2 features, but {Estimator.__name__} is expecting 3 features"
        ):
            method(X[:, :2])


@ESTIMATORS
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.eye(60)[4], "(?i)negative"),
        (np.zeros(60), "zero"),
        (np.full(60, np.nan), "NaN"),
        (np.full(60, np.inf), "infinity"),
        (np.ones(59), "59"),
        (np.ones((60, 2)), "1D"),
        (["a"] * 60, "sample_weight"),
    ],
    ids=["negative", "zero", "nan", "inf", "length", "matrix", "text"],
)
def test_bad_weights(Estimator, X, weight, message):
    with pytest.raises(errors.DataError, match=message):
        Estimator(2).fit(X, sample_weight=weight)


@ESTIMATORS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_clusters", 0),
        ("n_clusters", -1),
        ("n_clusters", 2.0),
        ("n_clusters", "3"),
        ("init", "kmeans"),
        ("init", 3),
        ("n_init", 0),
        ("n_init", "many"),
        ("max_iter", 0),
        ("tol", -1e-4),
        ("random_state", "seed"),
        ("random_state", -1),
        ("metric", "manhattan"),
        ("precision", "double"),
        ("callback", 3),
    ],
)
def test_bad_parameters(Estimator, X, name, value):
    with pytest.raises(
        errors.ParameterError, match=f"The {name!r} parameter of {Estimator.__name__} must be"
    ) as caught:
        Estimator(**{name: value}).fit(X)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, InvalidParameterError)
    assert caught.value.exit_code == 2


@ESTIMATORS
@pytest.mark.parametrize(
    ("init", "message"),
    [
        (np.ones((2, 3)), r"initial centers \(2, 3\) does not match the number of clusters 4"),
        (np.ones((4, 2)), r"initial centers \(4, 2\) does not match the number of features of the data 3"),
        (np.full((4, 3), np.nan), "init contains NaN or infinity"),
        (np.full((4, 3), 1e300), "init contains NaN or infinity in float32"),
    ],
    ids=["rows", "columns", "nan", "overflow"],
)
def test_bad_initial_centers(Estimator, X, init, message):
    for given in (init, lambda X, k, random_state: init):
        with pytest.raises(errors.ParameterError, match=message):
            Estimator(4, init=given, n_init=1).fit(X)


def test_max_memory_is_checked(X):
    with pytest.raises(errors.ParameterError, match="max_memory='lots'"):
        KMeans(2, max_memory="lots").fit(X)


def test_missing_and_truncated_files(tmp_path, X):
    with pytest.raises(errors.DataError, match=r"nowhere\.npy"):
        KMeans(2).fit(tmp_path / "nowhere.npy")
    np.save(tmp_path / "rows.npy", X)
    (tmp_path / "short.npy").write_bytes((tmp_path / "rows.npy").read_bytes()[:-8])
    with pytest.raises(errors.FileFormatError, match=r"short\.npy"):
        KMeans(2).fit(tmp_path / "short.npy")
