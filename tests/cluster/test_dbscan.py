"""DBSCAN: hand-computed cases first, then metrics, predict, and the protocol."""

from __future__ import annotations

import contextlib
import math
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn.cluster
import sklearn.exceptions
from scipy.spatial.distance import cdist
from sklearn.base import clone

from gpuclust import DBSCAN, config, errors
from tests import dbscan_reference as reference
from tests.dbscan_invariants import check_dbscan


@pytest.fixture
def blobs():
    """Four blobs of 60 rows each, and 20 rows of noise around them."""
    rng = np.random.default_rng(0)
    middles = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [6.0, 6.0]])
    return np.concatenate([middles[np.arange(240) % 4] + rng.normal(size=(240, 2)), rng.uniform(-5, 11, size=(20, 2))])


def _fit(X, eps, min_samples, weights=None, **options):
    """Labels and core rows, as lists."""
    fitted = DBSCAN(eps, min_samples=min_samples, **options).fit(X, sample_weight=weights)
    return fitted.labels_.tolist(), fitted.core_sample_indices_.tolist()


def _line(*values):
    return np.array(values, dtype=np.float64)[:, None]


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_two_clusters_and_noise():
    fitted = DBSCAN(eps=1.5, min_samples=3).fit(_line(9, 0, 1, 2, 30, 8, 7))
    np.testing.assert_array_equal(fitted.labels_, [1, 0, 0, 0, -1, 1, 1])
    np.testing.assert_array_equal(fitted.core_sample_indices_, [2, 5])
    np.testing.assert_array_equal(fitted.components_, [[1], [8]])
    assert fitted.labels_.dtype == np.int32
    assert fitted.core_sample_indices_.dtype == np.int64
    assert fitted.components_.dtype == np.float64
    assert fitted.n_features_in_ == 1


def test_border_row_between_two_clusters_takes_the_lower():
    """Row 0 lies at 1 from core rows of both clusters; the one at the right comes first."""
    rows = _line(0, 1, 1.5, 2, -1, -1.5, -2)
    assert _fit(rows, 1.0, 4) == ([0, 0, 0, 0, 1, 1, 1], [1, 4])
    assert _fit(rows[[0, 4, 5, 6, 1, 2, 3]], 1.0, 4) == ([0, 0, 0, 0, 1, 1, 1], [1, 4])


def test_border_rows_do_not_join_clusters():
    """Two crosses of five rows whose arms meet in one row: their centres are core, the shared row is not."""
    cross = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    rows = np.concatenate([cross, cross[[0, 1, 3, 4]] + [2, 0]])
    assert _fit(rows, 1.0, 5) == ([0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 5])


def test_chain():
    """Each row reaches the next: one cluster, however long and in whatever order; its ends are border rows."""
    order = np.random.default_rng(0).permutation(1000)
    labels, core = _fit(_line(*order), 1.0, 3)
    assert labels == [0] * 1000
    assert core == np.flatnonzero((order > 0) & (order < 999)).tolist()
    assert _fit(_line(*order), 0.99, 2) == ([-1] * 1000, [])


def test_every_row_is_core_when_one_sample_suffices():
    assert _fit(_line(0, 5, 5.5, 9), 1.0, 1) == ([0, 1, 1, 2], [0, 1, 2, 3])


def test_all_noise():
    fitted = DBSCAN(eps=1.0, min_samples=2).fit(np.arange(12.0).reshape(4, 3) * 10)
    np.testing.assert_array_equal(fitted.labels_, [-1] * 4)
    assert fitted.core_sample_indices_.shape == (0,)
    assert fitted.components_.shape == (0, 3)
    np.testing.assert_array_equal(fitted.predict(np.zeros((2, 3))), [-1, -1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("metric", "eps"), [("euclidean", 5.0), ("manhattan", 7.0), ("chebyshev", 4.0)], ids=lambda value: value
)
def test_exactly_eps_is_near(metric, eps, dtype):
    """(0, 0) and (3, 4) are 5, 7 and 4 apart; the next smaller eps of float64 separates them, in float32 too."""
    rows = np.array([[0, 0], [3, 4]], dtype=dtype)
    assert _fit(rows, eps, 2, metric=metric) == ([0, 0], [0, 1])
    assert _fit(rows, np.nextafter(eps, 0), 2, metric=metric) == ([-1, -1], [])


def test_one_row():
    assert _fit([[1.0, 2.0]], 0.5, 1) == ([0], [0])
    assert _fit([[1.0, 2.0]], 0.5, 2) == ([-1], [])


def test_identical_rows():
    assert _fit(np.full((7, 3), 3.7), 1e-300, 7) == ([0] * 7, list(range(7)))
    assert _fit(np.full((7, 3), 3.7), 1e-300, 8) == ([-1] * 7, [])


def test_clusters_are_numbered_by_their_first_core_row():
    """Row 0 is a border row of the cluster of rows 4 to 6; row 1 is the first core row."""
    assert _fit(_line(0, 20, 20, 20, 1, 1.5, 2), 1.0, 3) == ([1, 0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6])


# -- weights, by hand --------------------------------------------------------------------------------------------------


def test_weight_makes_a_single_row_core():
    assert _fit(_line(0, 10), 1.0, 6, [6, 5]) == ([0, -1], [0])
    assert _fit(_line(0, 0.5), 1.0, 6, [1, 5]) == ([0, 0], [0, 1])


def test_fractions_add_up():
    assert _fit(_line(0, 1), 1.5, 6, [5.9, 0.1]) == ([0, 0], [0, 1])
    assert _fit(_line(0, 1), 1.5, 6, [5.75, 0.125]) == ([-1, -1], [])


def test_negative_weight_inhibits():
    """Row 2 takes from its neighbour, row 1, what that needs to be core; row 0 does not see it and stays core."""
    assert _fit(_line(0, 1, 2), 1.0, 2, [1, 1, 0]) == ([0, 0, 0], [0, 1])
    assert _fit(_line(0, 1, 2), 1.0, 2, [1, 1, -1]) == ([0, 0, -1], [0])


def test_weights_of_zero_count_nothing_but_get_labels():
    assert _fit(_line(0, 0.5, 9), 1.0, 2, [2, 0, 0]) == ([0, 0, -1], [0, 1])
    assert _fit(_line(0, 0.5, 9), 1.0, 2, [1, 0, 0]) == ([-1, -1, -1], [])


def test_one_weight_for_all_rows():
    assert _fit(_line(0, 5), 1.0, 3, 3.0) == ([0, 1], [0, 1])


@pytest.mark.parametrize("weights", [[1e300, 1e-300, 0], [2.0**60, -(2.0**60), 1.0], [2.0**-60, 2.0**60, -(2.0**60)]])
def test_weights_of_any_size_are_added_without_rounding_or_refused(weights):
    rows = _line(0, 0.1, 0.2)
    expected = reference.dbscan(rows, 1.0, 1, weights=np.array(weights))
    with contextlib.suppress(errors.DataError):
        assert _fit(rows, 1.0, 1, weights) == (expected.labels.tolist(), np.flatnonzero(expected.core).tolist())


# -- metrics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"metric": "l2"}, {"metric": "euclidean"}),
        ({"metric": "minkowski"}, {"metric": "euclidean"}),
        ({"metric": "minkowski", "p": 2}, {"metric": "euclidean"}),
        ({"metric": "l1"}, {"metric": "manhattan"}),
        ({"metric": "cityblock"}, {"metric": "manhattan"}),
        ({"metric": "minkowski", "p": 1}, {"metric": "manhattan"}),
        ({"metric": "minkowski", "p": math.inf}, {"metric": "chebyshev"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())),
)
def test_names_of_metrics(blobs, options, same):
    assert _fit(blobs, 0.8, 6, **options) == _fit(blobs, 0.8, 6, **same)
    assert _fit(blobs, 0.8, 6, **options) != _fit(blobs, 0.5, 6, **same)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_by_hand(dtype):
    """Directions 0, 10, 20 and 90 degrees, of any length: cosine distances of neighbours are 1 - cos(10)."""
    angles = np.radians([0, 10, 20, 90])
    rows = (np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1], [1e-3], [500], [7]]).astype(dtype)
    for eps, labels in ((1 - math.cos(math.radians(11)), [0, 0, 0, -1]), (1 - math.cos(math.radians(9)), [-1] * 4)):
        assert _fit(rows, eps, 2, metric="cosine")[0] == labels
    assert _fit(rows, 1.001, 4, metric="cosine")[0] == [0] * 4
    assert _fit(np.array([[1.0, 0.0], [-1.0, 0.0]]), 2.5, 2, metric="cosine")[0] == [0, 0]


def test_haversine_by_hand():
    """Across the date line and over a pole, neighbours are near; degrees are 1/57.3 of a radian of great circle."""
    degrees = [[0, 179.6], [0, -179.6], [89.7, 0], [89.7, 180], [0, 90], [0, 91]]
    rows = np.radians(degrees)
    assert _fit(rows, math.radians(0.81), 2, metric="haversine")[0] == [0, 0, 1, 1, -1, -1]
    assert _fit(rows, math.radians(0.79), 2, metric="haversine")[0] == [-1, -1, 0, 0, -1, -1]
    assert _fit(rows, math.radians(1.01), 2, metric="haversine")[0] == [0, 0, 1, 1, 2, 2]
    assert _fit(rows, 3.2, 6, metric="haversine")[0] == [0] * 6


@pytest.mark.parametrize("eps", [1e-6, 1e-3])
def test_haversine_sees_metres(eps):
    """Rows 0.999 eps apart are near, rows 1.001 eps apart are not: no digits are lost on the sphere in float64."""
    latitude = 0.8
    rows = np.array([[latitude, 2.0], [latitude + 0.999 * eps, 2.0], [latitude - 1.001 * eps, 2.0]])
    assert _fit(rows, eps, 2, metric="haversine")[0] == [0, 0, -1]


@pytest.mark.parametrize(
    "convert", [np.asarray, scipy.sparse.csr_array, scipy.sparse.coo_array], ids=lambda f: f.__name__
)
def test_precomputed_by_hand(convert):
    """A row is its own neighbour, whatever is stored; the diagonal of these sparse matrices is empty."""
    D = np.array([[0, 1, 9, 9], [1, 0, 2, 9], [9, 2, 0, 3], [9, 9, 3, 0]])
    assert _fit(convert(D), 1.0, 2, metric="precomputed") == ([0, 0, -1, -1], [0, 1])
    assert _fit(convert(D), 2.0, 3, metric="precomputed") == ([0, 0, 0, -1], [1])
    assert _fit(convert(D), 3.0, 2, metric="precomputed") == ([0, 0, 0, 0], [0, 1, 2, 3])
    assert _fit(convert(D), 0.5, 1, metric="precomputed") == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_precomputed_zeros_that_are_stored_count():
    stored = scipy.sparse.csr_array(([0.0, 0.0], ([0, 1], [1, 0])), shape=(3, 3))
    assert _fit(stored, 0.5, 2, metric="precomputed") == ([0, 0, -1], [0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    "convert", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix], ids=lambda f: f.__name__
)
def test_precomputed_agrees_with_rows(blobs, convert, weighted, dtype):
    D = np.round(cdist(blobs, blobs), 3).astype(dtype)
    w = np.random.default_rng(1).integers(0, 4, len(D)) if weighted else None
    eps = 0.7505  # between two multiples of 1/1000
    expected = sklearn.cluster.DBSCAN(eps=eps, min_samples=6, metric="precomputed").fit(D, sample_weight=w)
    assert -1 in expected.labels_
    assert expected.labels_.max() > 2
    # Distances beyond eps may be left out; those of a row to itself may too.
    given = D if convert is np.asarray else convert(np.where(D <= 2, D, 0))
    before = given.copy()
    fitted = DBSCAN(eps=eps, min_samples=6, metric="precomputed").fit(given, sample_weight=w)
    np.testing.assert_array_equal(fitted.labels_, expected.labels_)
    np.testing.assert_array_equal(fitted.core_sample_indices_, expected.core_sample_indices_)
    assert fitted.components_.shape == (0, len(D))  # scikit-learn copies rows of the matrix
    assert (abs(given - before)).sum() == 0
    assert fitted.n_features_in_ == len(D)


# -- against scikit-learn and the verifier -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_agrees_with_scikit_learn(blobs, metric, dtype):
    X = blobs.astype(dtype)
    ours = DBSCAN(eps=0.8, min_samples=7, metric=metric).fit(X)
    theirs = sklearn.cluster.DBSCAN(eps=0.8, min_samples=7, metric=metric, algorithm="kd_tree").fit(X)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_array_equal(ours.core_sample_indices_, theirs.core_sample_indices_)
    np.testing.assert_array_equal(ours.components_, theirs.components_)
    assert ours.components_.dtype == dtype


def _many(n, d, seed=3):
    """Blobs of several sizes and densities, a tenth of noise, and many rows that are there twice."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-100, 100, size=(60, d))
    X = middles[rng.integers(60, size=n)] + rng.normal(size=(n, d)) * rng.choice([0.5, 1, 3], size=(n, 1))
    X[::10] = rng.uniform(-110, 110, size=X[::10].shape)
    X[1::50] = X[0 : len(X[1::50]) * 3 : 3]
    return X


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "eps"), [(2, 0.15), (3, 0.5)])
def test_invariants_of_200_000_rows(d, eps, dtype):
    X = _many(200_000, d).astype(dtype)
    fitted = DBSCAN(eps, min_samples=8).fit(X)
    _verify(X, fitted, eps, 8)
    assert fitted.labels_.max() > 50
    assert 0.05 < np.mean(fitted.labels_ < 0) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "d", "eps", "metric"),
    [
        (2_000_000, 2, 0.05, "euclidean"),
        (1_000_000, 3, 0.3, "manhattan"),
        (500_000, 4, 0.5, "chebyshev"),
        (100_000, 7, 1.5, "euclidean"),
        (30_000, 16, 3.0, "euclidean"),
    ],
)
def test_invariants_of_many_rows(n, d, eps, metric):
    X = _many(n, d)
    fitted = DBSCAN(eps, min_samples=10, metric=metric).fit(X)
    _verify(X, fitted, eps, 10, metric)
    assert fitted.labels_.max() > 20
    assert 0.02 < np.mean(fitted.labels_ < 0) < 0.9


def _verify(X, fitted, eps, min_samples, metric="euclidean", weights=None):
    core = np.zeros(len(X), bool)
    core[fitted.core_sample_indices_] = True
    check_dbscan(X, fitted.labels_, core, eps=eps, min_samples=min_samples, metric=metric, weights=weights)
    np.testing.assert_array_equal(fitted.components_, X[core])


def test_invariants_with_weights():
    X = _many(50_000, 2)
    weights = np.random.default_rng(4).integers(-2, 6, len(X)).astype(np.float64)
    fitted = DBSCAN(eps=0.3, min_samples=12).fit(X, sample_weight=weights)
    _verify(X, fitted, 0.3, 12, weights=weights)
    assert fitted.labels_.max() > 20


# -- predict -----------------------------------------------------------------------------------------------------------


def test_predict_by_hand():
    """Clusters {0, 1, 2} and {10, 11, 12} with cores at 1 and 11: only cores attract, the nearest within eps."""
    fitted = DBSCAN(eps=1.0, min_samples=3).fit(_line(0, 1, 2, 10, 11, 12))
    np.testing.assert_array_equal(fitted.core_sample_indices_, [1, 4])
    queries = _line(1, 2, 2.0000001, 0, 11.5, 12, 12.5, 1e300, -1e300)
    predicted = fitted.predict(queries)
    np.testing.assert_array_equal(predicted, [0, 0, -1, 0, 1, 1, -1, -1, -1])
    assert predicted.dtype == np.int32


def test_predict_takes_the_nearest_and_the_lowest_of_equals():
    """Two cores of other clusters within eps of the query: the nearer one decides, not the lower label."""
    fitted = DBSCAN(eps=1.0, min_samples=1).fit(_line(0, 1.5))
    np.testing.assert_array_equal(fitted.labels_, [0, 1])
    np.testing.assert_array_equal(fitted.predict(_line(0.8, 0.7, 0.75, 2.5)), [1, 0, 0, 1])
    turned = DBSCAN(eps=1.0, min_samples=1).fit(_line(1.5, 0))
    np.testing.assert_array_equal(turned.predict(_line(0.8, 0.7, 0.75)), [0, 1, 0])


@pytest.mark.parametrize("d", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_predict_is_the_nearest_core_row(metric, dtype, d):
    rng = np.random.default_rng(d)
    middles = rng.normal(size=(5, d)) * 6
    X = (middles[rng.integers(5, size=300)] + rng.normal(size=(300, d))).astype(dtype)
    eps = float(np.quantile(cdist(X, X, {"manhattan": "cityblock"}.get(metric, metric)), 0.1))
    fitted = DBSCAN(eps, min_samples=4, metric=metric).fit(X)
    queries = np.concatenate(
        [X[::2], (X[:150] + rng.normal(size=(150, d)) * eps / d).astype(dtype), X[:3] + dtype(1e6)]
    )
    expected = reference.predict(queries, fitted.components_, fitted.labels_[fitted.core_sample_indices_], eps, metric)
    np.testing.assert_array_equal(fitted.predict(queries), expected)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(fitted.predict(fitted.components_), fitted.labels_[fitted.core_sample_indices_])


def test_predict_ties_on_a_lattice():
    """Queries half-way between core rows on edges and faces go to the first of two or four; those in cubes are far."""
    lattice = np.stack(np.meshgrid(*[np.arange(0.0, 12.0, 3.0)] * 3), axis=-1).reshape(-1, 3)
    X = lattice[np.random.default_rng(5).permutation(len(lattice))]
    fitted = DBSCAN(eps=2.25, min_samples=1).fit(X)
    np.testing.assert_array_equal(fitted.labels_, np.arange(len(X)))
    queries = np.stack(np.meshgrid(*[np.arange(-1.5, 12.0, 1.5)] * 3), axis=-1).reshape(-1, 3)
    expected = reference.predict(queries, X, fitted.labels_, 2.25)
    assert -1 in expected
    np.testing.assert_array_equal(fitted.predict(queries), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict_cosine_and_haversine(dtype):
    rng = np.random.default_rng(6)
    directions = rng.normal(size=(4, 9)).astype(dtype)
    X = (directions[np.arange(200) % 4] + 0.1 * rng.normal(size=(200, 9))).astype(dtype)
    fitted = DBSCAN(0.03, min_samples=4, metric="cosine").fit(X)
    core = fitted.core_sample_indices_
    np.testing.assert_array_equal(fitted.labels_[core], core % 4)
    np.testing.assert_array_equal(fitted.predict(X[core] * dtype(1e-3)), fitted.labels_[core])
    np.testing.assert_array_equal(fitted.predict(-X), [-1] * 200)
    np.testing.assert_array_equal(fitted.predict(directions * dtype(100)), [0, 1, 2, 3])

    places = np.radians([[60.0, 179.9], [-30.0, 20.0]]).astype(dtype)
    X = places[np.arange(60) % 2] + np.radians(rng.normal(size=(60, 2)) * 0.01).astype(dtype)
    fitted = DBSCAN(math.radians(0.1), min_samples=5, metric="haversine").fit(X)
    np.testing.assert_array_equal(fitted.labels_, np.arange(60) % 2)
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    queries = np.radians([[60, -180.05], [60, 179.95], [-30, 20.05], [30, 20], [90, 0]]).astype(dtype)
    np.testing.assert_array_equal(fitted.predict(queries), [0, 0, 1, -1, -1])
    np.testing.assert_array_equal(fitted.components_, X)


# -- the protocol ------------------------------------------------------------------------------------------------------


def test_parameters_and_their_defaults_are_scikit_learns():
    ours, theirs = DBSCAN().get_params(), sklearn.cluster.DBSCAN().get_params()
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == {"device", "max_memory", "callback"}


def test_the_index_of_scikit_learn_changes_nothing(blobs):
    expected = _fit(blobs, 0.8, 6)
    for algorithm in ("auto", "ball_tree", "kd_tree", "brute"):
        assert _fit(blobs, 0.8, 6, algorithm=algorithm, leaf_size=3, n_jobs=2) == expected


def test_pickle_and_clone(blobs):
    fitted = DBSCAN(0.8, min_samples=6, max_memory="1GiB").fit(blobs)
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.predict(blobs), fitted.predict(blobs))
    np.testing.assert_array_equal(restored.labels_, fitted.labels_)
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "labels_")


def test_not_fitted(blobs):
    with pytest.raises(sklearn.exceptions.NotFittedError):
        DBSCAN().predict(blobs)


def test_a_failed_fit_leaves_the_previous_model_usable(blobs):
    fitted = DBSCAN(0.8, min_samples=6).fit(blobs)
    expected = fitted.predict(blobs)
    with pytest.raises(errors.DataError):
        fitted.fit(np.full((5, 2), np.nan))
    np.testing.assert_array_equal(fitted.predict(blobs), expected)


def test_nothing_of_the_callers_is_written_to(blobs):
    X, w = blobs.copy(), np.ones(len(blobs))
    for array in (X, w):
        array.setflags(write=False)
    fitted = DBSCAN(0.8).fit(X, sample_weight=w)
    assert not np.may_share_memory(fitted.components_, X)


def test_fit_does_not_warn_on_ordinary_data(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DBSCAN(0.8).fit(blobs).predict(blobs)


def test_callback_sees_the_stages_and_may_stop(blobs):
    seen = []
    DBSCAN(0.8, callback=lambda *step: seen.append(step)).fit(blobs)
    stages = [stage for stage, _, _ in seen]
    assert set(stages) <= {"count", "link", "claim"}
    assert stages == sorted(stages, key=["count", "link", "claim"].index)
    assert all(0 <= done <= total for _, done, total in seen)
    assert seen[-1][1] == seen[-1][2] > 0

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DBSCAN(0.8, callback=stop).fit(blobs)


def test_device_from_argument_and_context(blobs):
    expected = DBSCAN(0.8, device="cpu").fit(blobs).labels_
    with config.device("cpu"):
        np.testing.assert_array_equal(DBSCAN(0.8).fit_predict(blobs), expected)
    with pytest.raises(errors.ParameterError, match="device"):
        DBSCAN(device="tpu").fit(blobs)
