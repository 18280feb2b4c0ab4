"""What DBSCAN accepts and returns, and the typed errors for what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
from sklearn.utils._param_validation import InvalidParameterError

from gpuclust import DBSCAN, errors
from gpuclust.sources import as_source
from gpuclust.sources.base import Source
from tests import datasets, dbscan_reference

EPS, MIN_SAMPLES = 0.75, 4


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)


@pytest.fixture
def labels(X):
    expected = dbscan_reference.dbscan(X, EPS, MIN_SAMPLES).labels
    assert len(np.unique(expected)) > 2
    return expected


def _new(**options):
    return DBSCAN(EPS, min_samples=MIN_SAMPLES, **options)


# -- accepted ----------------------------------------------------------------------------------------------------------


def test_pandas(X, labels):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    fitted = _new().fit(frame)
    np.testing.assert_array_equal(fitted.labels_, labels)
    np.testing.assert_array_equal(fitted.feature_names_in_, ["a", "b", "c"])
    assert isinstance(fitted.components_, np.ndarray)
    assert isinstance(fitted.predict(frame), np.ndarray)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted.predict(X)
    with pytest.raises(errors.DataError, match="feature names should match"):
        fitted.predict(frame[["b", "a", "c"]])
    assert not hasattr(fitted.fit(X), "feature_names_in_")


def test_polars_and_arrow(X, labels):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=["a", "b", "c"])
    for table in (frame, frame.to_arrow()):
        fitted = _new().fit(table)
        np.testing.assert_array_equal(fitted.labels_, labels)
        np.testing.assert_array_equal(fitted.feature_names_in_, ["a", "b", "c"])


def test_torch_in_torch_out(X, labels):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X)
    fitted = _new()
    found = fitted.fit_predict(tensor)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.int32
    np.testing.assert_array_equal(found.numpy(), labels)
    assert isinstance(fitted.labels_, np.ndarray)
    assert isinstance(fitted.components_, np.ndarray)
    assert isinstance(fitted.predict(tensor), torch.Tensor)
    assert isinstance(fitted.predict(X), np.ndarray)


def test_path_and_source(X, labels, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    expected = _new().fit(X)
    for given in (path, str(path), as_source(path, chunk_rows=7), np.load(path, mmap_mode="r")):
        fitted = _new().fit(given)
        np.testing.assert_array_equal(fitted.labels_, labels)
        np.testing.assert_array_equal(fitted.components_, expected.components_)
        np.testing.assert_array_equal(fitted.predict(given), expected.predict(X))
        assert fitted.n_features_in_ == 3


def test_lists_and_strides(X, labels):
    for given in (X.tolist(), np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], np.flip(np.flip(X, 1).copy(), 1)):
        np.testing.assert_array_equal(_new().fit(given).labels_, labels)


def test_path_of_a_matrix_of_distances(tmp_path):
    D = np.abs(np.subtract.outer(np.arange(9.0), np.arange(9.0) ** 1.5))
    D = np.maximum(D, D.T) - np.diag(np.diag(D))
    np.save(tmp_path / "distances.npy", D)
    expected = DBSCAN(3.0, min_samples=3, metric="precomputed").fit(D)
    assert len(np.unique(expected.labels_)) > 1
    found = DBSCAN(3.0, min_samples=3, metric="precomputed").fit(tmp_path / "distances.npy")
    np.testing.assert_array_equal(found.labels_, expected.labels_)


@pytest.mark.parametrize("dtype", datasets.NARROW, ids=lambda dtype: np.dtype(dtype).name)
def test_narrow_dtypes_are_exact(dtype):
    X, _ = datasets.narrow(dtype)
    eps = float(np.sqrt(np.quantile(np.square(X[:50, None].astype(float) - X.astype(float)).sum(axis=2), 0.01)) or 1.0)
    fitted = DBSCAN(eps, min_samples=3).fit(X)
    expected = dbscan_reference.dbscan(X.astype(np.float64), eps, 3)
    np.testing.assert_array_equal(fitted.labels_, expected.labels)
    np.testing.assert_array_equal(fitted.components_, X[expected.core])
    assert fitted.components_.dtype == as_source(X).dtype


# -- refused rows ------------------------------------------------------------------------------------------------------


def _with(value):
    X = np.ones((5, 2))
    X[3, 1] = value
    return X


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (_with(np.nan), errors.DataError, "NaN.*row 3, column 1"),
        (_with(np.inf), errors.DataError, "infinity.*row 3, column 1"),
        (_with(-np.inf), errors.DataError, "infinity.*row 3, column 1"),
        (_with(1e305), errors.DataError, r"1e\+305.*at most 2\*\*1000"),
        (np.ones((0, 2)), errors.DataError, "0 sample"),
        (np.ones((5, 0)), errors.DataError, "0 feature"),
        (np.ones(5), errors.DataError, "Expected 2D array"),
        (np.ones((2, 2, 2)), errors.DataError, "dim"),
        ([[1, 2], [3]], errors.DataError, "X"),
        (np.ones((5, 2), dtype=complex), errors.DataError, "Complex data not supported"),
        (np.array([["a", "b"]] * 5), errors.DataError, "X"),
        (scipy.sparse.csr_matrix(np.eye(5)), errors.DataTypeError, "csr_matrix"),
        (scipy.sparse.csr_array(np.eye(5)), errors.DataTypeError, "csr_array"),
        (None, errors.DataError, "None"),
    ],
    ids=[
        "nan",
        "inf",
        "-inf",
        "huge",
        "rows",
        "features",
        "1d",
        "3d",
        "ragged",
        "complex",
        "text",
        "csr",
        "csr2",
        "None",
    ],
)
def test_bad_rows(X, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        DBSCAN().fit(X)
    fitted = DBSCAN(min_samples=1).fit(np.arange(10.0).reshape(5, 2))
    with pytest.raises(error, match=f"(?s){message}"):
        fitted.predict(X)


def test_other_number_of_features(X):
    fitted = _new().fit(X)
    with pytest.raises(errors.DataError, match="X has 2 features, but DBSCAN is expecting 3 features"):
        fitted.predict(X[:, :2])


class _Endless(Source):
    """More rows than int32 can number."""

    n_rows, n_features, dtype = 2**31, 2, np.dtype(np.float32)
    resident, description = False, "endless"

    def chunks(self, start=0, stop=None):
        raise AssertionError("read before the number of rows was checked")

    def take(self, indices):
        raise AssertionError("read before the number of rows was checked")


def test_too_many_rows_are_refused_before_they_are_read():
    with pytest.raises(errors.GpuclustError, match=r"2147483648|2,147,483,648|2\*\*31"):
        DBSCAN().fit(_Endless())


@pytest.mark.parametrize("form", ["array", "source"])
def test_cosine_refuses_a_row_of_zeros(X, form):
    X[41] = 0
    given = X if form == "array" else as_source(X, chunk_rows=7)
    with pytest.raises(errors.DataError, match="row 41"):
        _new(metric="cosine").fit(given)
    fitted = _new(metric="cosine").fit(X[:40])
    with pytest.raises(errors.DataError, match="row 1"):
        fitted.predict(X[40:])


@pytest.mark.parametrize("chunk_rows", [None, 2])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.6, 0.0], "row 3.*latitude|latitude.*row 3"),
        ([-1.6, 0.0], "row 3.*latitude|latitude.*row 3"),
        ([0.0, 6.3], "row 3.*longitude|longitude.*row 3"),
        ([0.0, -6.3], "row 3.*longitude|longitude.*row 3"),
        ([45.0, 9.0], "(?i)radian"),
    ],
)
def test_haversine_names_the_row_out_of_range(row, message, chunk_rows):
    X = np.array([[math.pi / 2, 2 * math.pi], [-math.pi / 2, -2 * math.pi], [0.0, 0.0], [0.0, 0.0]])
    DBSCAN(0.1, metric="haversine").fit(as_source(X, chunk_rows=chunk_rows))
    X[3] = row
    with pytest.raises(errors.DataError, match=message):
        DBSCAN(0.1, metric="haversine").fit(as_source(X, chunk_rows=chunk_rows))
    fitted = DBSCAN(0.1, metric="haversine").fit(X[:3])
    with pytest.raises(errors.DataError, match=message):
        fitted.predict(as_source(X, chunk_rows=chunk_rows))


@pytest.mark.parametrize("d", [1, 3])
def test_haversine_takes_two_features(d):
    with pytest.raises(errors.DataError, match=f"haversine.*{d}"):
        DBSCAN(0.1, metric="haversine").fit(np.zeros((4, d)))


# -- refused distances -------------------------------------------------------------------------------------------------


def _distances(row=2, column=0, value=0.0, opposite=None):
    D = np.ones((4, 4)) - np.eye(4)
    D[row, column] = value
    D[column, row] = value if opposite is None else opposite
    return D


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("D", "message"),
    [
        (np.ones((4, 3)), r"square.*\(4, 3\)|\(4, 3\).*square"),
        (_distances(value=-0.5), "(?i)negative.*-0.5|-0.5.*negative"),
        (_distances(value=np.nan), "NaN"),
        (_distances(value=0.5, opposite=0.75), "symmetric"),
    ],
    ids=["shape", "negative", "nan", "asymmetric"],
)
def test_bad_distances(D, message, sparse):
    given = scipy.sparse.csr_array(D) if sparse else D
    with pytest.raises(errors.DataError, match=f"(?s){message}"):
        DBSCAN(metric="precomputed").fit(given)


def test_a_sparse_distance_stored_on_one_side_only_is_asymmetric():
    one_sided = scipy.sparse.csr_array(([0.25], ([0], [2])), shape=(3, 3))
    with pytest.raises(errors.DataError, match="symmetric"):
        DBSCAN(metric="precomputed").fit(one_sided)


def test_no_prediction_from_precomputed_distances():
    fitted = DBSCAN(metric="precomputed", min_samples=1).fit(_distances())
    with pytest.raises(errors.GpuclustError, match="precomputed"):
        fitted.predict(_distances())


# -- refused weights and parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(90, np.nan), "NaN"),
        (np.full(90, np.inf), "infinity"),
        (np.ones(89), "89"),
        (np.ones((90, 2)), "1D"),
        (["a"] * 90, "sample_weight"),
    ],
    ids=["nan", "inf", "length", "matrix", "text"],
)
@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
def test_bad_weights(X, metric, weight, message):
    given = np.zeros((90, 90)) if metric == "precomputed" else X
    with pytest.raises(errors.DataError, match=message):
        DBSCAN(metric=metric).fit(given, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eps", 0),
        ("eps", 0.0),
        ("eps", -0.5),
        ("eps", math.nan),
        ("eps", math.inf),
        ("eps", "0.5"),
        ("eps", None),
        ("min_samples", 0),
        ("min_samples", -3),
        ("min_samples", 5.0),
        ("min_samples", "5"),
        ("min_samples", None),
        ("metric", "mahalanobis"),
        ("metric", "Euclidean"),
        ("metric", None),
        ("algorithm", "grid"),
        ("leaf_size", 0),
        ("n_jobs", "all"),
        ("callback", 3),
    ],
)
def test_bad_parameters(X, name, value):
    with pytest.raises(errors.ParameterError, match=f"{name}") as caught:
        DBSCAN(**{name: value}).fit(X)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, InvalidParameterError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("p", [0, 0.5, 1.5, 3, -1, math.nan, "2"])
def test_powers_other_than_one_two_and_infinity_are_refused(X, p):
    with pytest.raises(errors.ParameterError, match="p") as caught:
        DBSCAN(metric="minkowski", p=p).fit(X)
    assert repr(p) in str(caught.value)


def test_callable_metrics_are_refused(X):
    with pytest.raises(errors.ParameterError, match=r"metric.*callable|callable.*metric"):
        DBSCAN(metric=lambda a, b: 0.0).fit(X)


def test_max_memory_is_checked(X):
    with pytest.raises(errors.ParameterError, match="max_memory='lots'"):
        DBSCAN(max_memory="lots").fit(X)


def test_several_gpus_are_refused(X):
    """Also where there is none: the message must not send the caller to look for a second one."""
    with pytest.raises(errors.GpuclustError, match=r"cuda:0,1"):
        DBSCAN(device="cuda:0,1").fit(X)


def test_missing_and_truncated_files(tmp_path, X):
    with pytest.raises(errors.DataError, match=r"nowhere\.npy"):
        DBSCAN().fit(tmp_path / "nowhere.npy")
    np.save(tmp_path / "rows.npy", X)
    (tmp_path / "short.npy").write_bytes((tmp_path / "rows.npy").read_bytes()[:-8])
    with pytest.raises(errors.FileFormatError, match=r"short\.npy"):
        DBSCAN().fit(tmp_path / "short.npy")
