"""KMeans: hand-computed cases first, then what each parameter does."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import sklearn.exceptions
from sklearn.base import clone
from sklearn.cluster import KMeans as SklearnKMeans

from gpuclust import KMeans, config, errors
from tests import datasets, reference

SQUARE = np.array([[0, 0], [0.5, 0], [0.5, 1], [1, 1]])


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(5, 4)) * 10
    return middles[np.arange(300) % 5] + rng.normal(size=(300, 4))


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["lloyd", "elkan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_four_weighted_points(dtype, algorithm):
    """The first two rows average to (0.5 / 4, 0); inertia 3/64 + 9/64 on each side; nothing moves in iteration 2."""
    init = np.array([[0, 0], [1, 1]], dtype=dtype)
    kmeans = KMeans(2, init=init, algorithm=algorithm).fit(SQUARE.astype(dtype), sample_weight=[3, 1, 1, 3])
    np.testing.assert_array_equal(kmeans.labels_, [0, 0, 1, 1])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[0.125, 0], [0.875, 1]])
    assert kmeans.cluster_centers_.dtype == dtype
    assert kmeans.labels_.dtype == np.int32
    assert kmeans.inertia_ == 0.375
    assert kmeans.n_iter_ == 2


def test_empty_cluster_takes_the_farthest_row():
    """All rows are nearest to the first centre, rows 0 and 3 are equally far from it: the lower index is relocated."""
    kmeans = KMeans(2, init=[[0.5, 0.5], [3, 3]]).fit(SQUARE)
    np.testing.assert_array_equal(kmeans.labels_, [1, 1, 0, 0])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[0.75, 1], [0.25, 0]])
    assert kmeans.inertia_ == 0.25
    assert kmeans.n_iter_ == 3


def test_row_half_way_goes_to_the_lower_index():
    kmeans = KMeans(2, init=[[1.0], [-1.0]], max_iter=1).fit([[-2.0], [2.0]])
    np.testing.assert_array_equal(kmeans.predict([[0.0], [-1e-15], [1e-15]]), [0, 1, 0])


def test_transform_and_score_by_hand():
    kmeans = KMeans(2, init=[[0, 0], [6, 8]]).fit([[0.0, 0.0], [6.0, 8.0]])
    np.testing.assert_array_equal(kmeans.transform([[0.0, 0.0], [3.0, 4.0]]), [[0, 10], [5, 5]])
    assert kmeans.score([[0.0, 0.0], [3.0, 4.0]]) == -25.0
    assert kmeans.score([[0.0, 0.0], [3.0, 4.0]], sample_weight=[1, 0.5]) == -12.5


def test_labels_match_centers_when_stopped_early(blobs):
    kmeans = KMeans(5, init=blobs[:5], max_iter=1).fit(blobs)
    assert kmeans.n_iter_ == 1
    np.testing.assert_array_equal(kmeans.labels_, reference.assign(blobs, kmeans.cluster_centers_))
    np.testing.assert_array_equal(kmeans.predict(blobs), kmeans.labels_)


# -- against scikit-learn and the oracle -------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(blobs, weighted):
    w = np.linspace(0.1, 2, len(blobs)) if weighted else None
    ours = KMeans(5, init=blobs[:5]).fit(blobs, sample_weight=w)
    theirs = SklearnKMeans(5, init=blobs[:5]).fit(blobs, sample_weight=w)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-12)
    assert ours.n_iter_ == theirs.n_iter_


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_seeding_finds_the_blobs(blobs, init):
    kmeans = KMeans(5, init=init, random_state=0).fit(blobs)
    np.testing.assert_array_equal(np.bincount(kmeans.labels_), [60] * 5)
    assert all(len(np.unique(kmeans.labels_[i::5])) == 1 for i in range(5))


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_rows_without_weight_are_no_seeds(init):
    """Each second row weighs nothing and lies far away: no seed may be one of them."""
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[::2] += 1e3
    w = np.tile([0.0, 1.0], 50)
    kmeans = KMeans(8, init=init, n_init=1, max_iter=1, random_state=0).fit(X, sample_weight=w)
    assert np.abs(kmeans.cluster_centers_).max() < 100


def test_seeding_takes_weights_into_account():
    """The far row all but never is a seed when it weighs next to nothing."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(200, 2)), [[50.0, 50.0]]])
    w = np.r_[np.ones(200), 1e-12]
    weighted = KMeans(3, max_iter=1, tol=0, random_state=0).fit(X, sample_weight=w)
    plain = KMeans(3, max_iter=1, tol=0, random_state=0).fit(X)
    assert plain.cluster_centers_.max() == 50
    assert weighted.cluster_centers_.max() < 10


# -- parameters --------------------------------------------------------------------------------------------------------


def test_random_state_decides_everything(blobs):
    fits = [KMeans(7, init="random", n_init=3, random_state=seed).fit(blobs) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(fits[0].labels_, fits[1].labels_)
    np.testing.assert_array_equal(fits[0].cluster_centers_, fits[1].cluster_centers_)
    assert not np.array_equal(fits[0].cluster_centers_, fits[2].cluster_centers_)
    state = np.random.RandomState(1)
    np.testing.assert_array_equal(
        KMeans(7, init="random", n_init=3, random_state=state).fit(blobs).labels_, fits[0].labels_
    )


def test_more_runs_are_never_worse(blobs):
    inertias = [
        KMeans(9, init="random", n_init=n_init, max_iter=1, random_state=0).fit(blobs).inertia_ for n_init in (1, 3, 10)
    ]
    assert inertias[0] >= inertias[1] >= inertias[2]
    assert inertias[0] > inertias[2]


def test_callable_init_gets_rows_and_random_state(blobs):
    seen = {}

    def init(X, n_clusters, random_state):
        seen.update(X=X, random_state=random_state)
        return X[random_state.choice(len(X), n_clusters, replace=False)]

    kmeans = KMeans(5, init=init, random_state=0).fit(blobs)
    np.testing.assert_array_equal(seen["X"], blobs)
    assert isinstance(seen["random_state"], np.random.RandomState)
    assert kmeans._n_init == 10


@pytest.mark.parametrize("convert", ["list", "pandas", "polars", "torch", "float16"])
def test_initial_centers_of_any_kind(blobs, convert):
    init = np.round(blobs[:5])
    given = {
        "list": init.tolist,
        "pandas": lambda: pytest.importorskip("pandas").DataFrame(init),
        "polars": lambda: pytest.importorskip("polars").DataFrame(init),
        "torch": lambda: pytest.importorskip("torch").from_numpy(init),
        "float16": lambda: init.astype(np.float16),
    }[convert]()
    np.testing.assert_array_equal(KMeans(5, init=given).fit(blobs).labels_, KMeans(5, init=init).fit(blobs).labels_)


def test_callback_sees_each_iteration_and_may_stop(blobs):
    seen = []
    kmeans = KMeans(5, init=blobs[:5], tol=0, callback=lambda *step: seen.append(step)).fit(blobs)
    assert [iteration for iteration, _, _ in seen] == list(range(1, kmeans.n_iter_ + 1))
    assert seen[0][1] == len(blobs)
    assert seen[-1][1:] == (0, 0.0)

    def stop(iteration, n_changed, center_shift):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        KMeans(5, init=blobs[:5], callback=stop).fit(blobs)


def test_verbose_prints_and_still_calls_back(blobs, capsys):
    seen = []
    kmeans = KMeans(5, init=blobs[:5], verbose=1, callback=lambda *step: seen.append(step)).fit(blobs)
    assert capsys.readouterr().out.count("Iteration") == kmeans.n_iter_ == len(seen)


def test_precision_fast_agrees_on_easy_rows(blobs):
    np.testing.assert_array_equal(
        KMeans(5, init=blobs[:5], precision="fast").fit_predict(blobs), KMeans(5, init=blobs[:5]).fit_predict(blobs)
    )


def test_device_from_argument_and_context(blobs):
    KMeans(2, device="cpu").fit(blobs)
    with config.device("cpu"):
        KMeans(2).fit(blobs)
    with pytest.raises(errors.ParameterError, match="device"):
        KMeans(2, device="tpu").fit(blobs)


def test_elkan_with_one_cluster_warns_as_scikit_learn(blobs):
    with pytest.warns(RuntimeWarning, match="doesn't make sense for a single cluster"):
        KMeans(1, algorithm="elkan").fit(blobs)


def test_explicit_init_runs_once(blobs):
    with pytest.warns(RuntimeWarning, match="performing only one init in KMeans instead of n_init=4"):
        kmeans = KMeans(5, init=blobs[:5], n_init=4).fit(blobs)
    assert kmeans._n_init == 1


def test_nothing_of_the_callers_is_written_to(blobs):
    X, init, w = blobs.copy(), blobs[:5].copy(), np.ones(len(blobs))
    for array in (X, init, w):
        array.setflags(write=False)
    kmeans = KMeans(5, init=init, copy_x=False).fit(X, sample_weight=w)
    assert not np.may_share_memory(kmeans.cluster_centers_, init)


# -- spherical k-means -------------------------------------------------------------------------------------------------


def test_cosine_by_hand():
    """Two directions; lengths do not matter. The mean of the unit rows (1, 0) and (0.6, 0.8) is renormalised."""
    X = [[2.0, 0.0], [30.0, 40.0], [-1.0, 0.0], [-5.0, 0.0]]
    kmeans = KMeans(2, init=[[1.0, 1.0], [-1.0, 0.0]], metric="cosine").fit(X)
    np.testing.assert_array_equal(kmeans.labels_, [0, 0, 1, 1])
    np.testing.assert_allclose(kmeans.cluster_centers_, [[2 / 5**0.5, 1 / 5**0.5], [-1, 0]], rtol=1e-15)
    # |x - c|^2 = 2 - 2 cos for unit vectors
    assert kmeans.inertia_ == pytest.approx(4 - 2 * (2 + 0.6 * 2 + 0.8) / 5**0.5, rel=1e-14)
    np.testing.assert_array_equal(kmeans.predict(1e-3 * np.array(X)), kmeans.labels_)
    np.testing.assert_allclose(kmeans.transform([[0.0, -3.0]])[0, 1], 2**0.5, rtol=1e-15)


def test_cosine_centers_have_unit_length(blobs):
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 1e-14)):
        kmeans = KMeans(6, metric="cosine", random_state=0).fit(blobs.astype(dtype))
        np.testing.assert_allclose(np.linalg.norm(kmeans.cluster_centers_, axis=1), 1, rtol=tolerance)


def test_cosine_refuses_a_row_of_zeros(blobs):
    blobs[41] = 0
    with pytest.raises(errors.DataError, match="row 41"):
        KMeans(5, metric="cosine").fit(blobs)
    fitted = KMeans(5, metric="cosine").fit(blobs[:40])
    with pytest.raises(errors.DataError, match="row 1"):
        fitted.predict(blobs[40:])


# -- fewer clusters than asked for -------------------------------------------------------------------------------------


def test_fewer_distinct_rows_than_clusters():
    X = [[0, 0], [1, 1], [1, 1], [1, 0], [0, 1]]
    message = r"Number of distinct clusters \(4\) found smaller than n_clusters \(5\). Possibly due to duplicate points"
    with pytest.warns(errors.ConvergenceWarning, match=message) as caught:
        kmeans = KMeans(5, init=X).fit(X)
    assert issubclass(caught[0].category, sklearn.exceptions.ConvergenceWarning)
    assert kmeans.n_iter_ == 1
    np.testing.assert_array_equal(kmeans.labels_, [0, 1, 1, 3, 4])


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_all_rows_equal(init):
    X = np.full((20, 3), 7.5)
    with pytest.warns(errors.ConvergenceWarning, match=r"distinct clusters \(1\)"):
        kmeans = KMeans(4, init=init, n_init=1).fit(X)
    np.testing.assert_array_equal(kmeans.cluster_centers_, X[:4])
    assert kmeans.inertia_ == 0


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_as_many_clusters_as_rows(init):
    X = np.random.default_rng(0).normal(size=(30, 3))
    kmeans = KMeans(30, init=init, n_init=1, random_state=0).fit(X)
    assert kmeans.inertia_ == 0
    assert len(set(kmeans.labels_)) == 30


# -- the protocol ------------------------------------------------------------------------------------------------------


def test_pickle_and_clone(blobs):
    kmeans = KMeans(5, random_state=0, metric="cosine", max_memory="1GiB").fit(blobs)
    restored = pickle.loads(pickle.dumps(kmeans))
    np.testing.assert_array_equal(restored.predict(blobs), kmeans.labels_)
    assert clone(kmeans).get_params() == kmeans.get_params()
    assert not hasattr(clone(kmeans), "labels_")


def test_not_fitted(blobs):
    for method in ("predict", "transform", "score"):
        with pytest.raises(sklearn.exceptions.NotFittedError):
            getattr(KMeans(), method)(blobs)


def test_a_failed_fit_leaves_the_previous_model_usable(blobs):
    kmeans = KMeans(3, random_state=0).fit(blobs)
    labels = kmeans.labels_
    kmeans.set_params(n_clusters=1000)
    with pytest.raises(errors.DataError):
        kmeans.fit(blobs)
    np.testing.assert_array_equal(kmeans.predict(blobs), labels)


def test_fit_does_not_warn_on_ordinary_data(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KMeans(5, random_state=0).fit(blobs).predict(blobs)


@pytest.mark.parametrize("dtype", datasets.NARROW, ids=lambda dtype: np.dtype(dtype).name)
def test_dtype_of_the_centers(dtype):
    X, centers = datasets.narrow(dtype)
    expected = np.float32 if np.dtype(dtype).itemsize == 1 or dtype == np.float16 else np.float64
    assert KMeans(len(centers), init=centers).fit(X).cluster_centers_.dtype == expected
