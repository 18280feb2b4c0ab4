"""MiniBatchKMeans: hand-computed updates first, then batches, stopping, reassignment and the protocol."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gpuclust import KMeans, MiniBatchKMeans
from gpuclust.algorithms import sampling
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.engines import get_engine
from gpuclust.sources import as_source
from tests import reference


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(5, 4)) * 10
    return middles[np.arange(3000) % 5] + rng.normal(size=(3000, 4))


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_partial_fit_is_a_running_mean():
    """A centre is the mean of all rows it has seen; where it started does not count."""
    kmeans = MiniBatchKMeans(2, init=[[0.0], [10.0]], reassignment_ratio=0)
    kmeans.partial_fit([[1.0], [9.0]])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[1], [9]])
    kmeans.partial_fit([[3.0]])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[2], [9]])
    np.testing.assert_array_equal(kmeans.labels_, [0])
    assert kmeans.inertia_ == 1.0
    kmeans.partial_fit([[4.0], [5.0], [12.0]], sample_weight=[1, 2, 1])  # 5.5 lies half-way between 2 and 9
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[(2 * 2 + 4 + 2 * 5) / 5], [10.5]])
    assert kmeans.n_steps_ == 3


def test_a_centre_that_saw_nothing_moves_to_a_row_of_the_batch():
    kmeans = MiniBatchKMeans(2, init=[[0.0], [1000.0]], random_state=0).partial_fit([[1.0], [2.0], [3.0], [4.0]])
    assert kmeans.cluster_centers_[0, 0] == 2.5
    assert kmeans.cluster_centers_[1, 0] in {1.0, 2.0, 3.0, 4.0}
    np.testing.assert_array_equal(kmeans._counts, [4, 4])


def test_at_most_half_a_batch_is_reassigned():
    init = np.r_[0.0, np.full(9, 1e6)][:, None]
    kmeans = MiniBatchKMeans(10, init=init, random_state=0).partial_fit(np.arange(10.0)[:, None])
    assert (kmeans.cluster_centers_[1:] < 10).sum() == 5


def test_a_large_reassignment_ratio_leaves_the_most_seen_centre():
    kmeans = MiniBatchKMeans(2, init=[[0.0], [10.0]], reassignment_ratio=5.0, random_state=0)
    kmeans.partial_fit([[0.0], [0.0], [10.0], [0.0]])
    assert kmeans.cluster_centers_[0, 0] == 0.0


# -- fit ---------------------------------------------------------------------------------------------------------------


def test_labels_and_inertia_belong_to_the_centres(blobs):
    for dtype in (np.float32, np.float64):
        X = blobs.astype(dtype)
        kmeans = MiniBatchKMeans(7, random_state=0, batch_size=100).fit(X)
        assert kmeans.cluster_centers_.dtype == dtype
        np.testing.assert_array_equal(kmeans.labels_, reference.assign(X, kmeans.cluster_centers_))
        np.testing.assert_array_equal(kmeans.predict(X), kmeans.labels_)
        assert kmeans.inertia_ == reference.inertia(X, kmeans.cluster_centers_, kmeans.labels_)


@pytest.mark.parametrize("init", ["k-means++", "k-means||"])
def test_nearly_as_good_as_kmeans(blobs, init):
    full = KMeans(5, n_init=3, random_state=0).fit(blobs)
    kmeans = MiniBatchKMeans(5, init=init, n_init=5, random_state=0).fit(blobs)
    assert kmeans.inertia_ < 1.05 * full.inertia_


def test_random_state_decides_everything(blobs):
    fits = [MiniBatchKMeans(5, random_state=seed, batch_size=50).fit(blobs) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(fits[0].cluster_centers_, fits[1].cluster_centers_)
    assert not np.array_equal(fits[0].cluster_centers_, fits[2].cluster_centers_)


def test_steps_and_passes(blobs):
    kmeans = MiniBatchKMeans(5, batch_size=700, max_iter=3, max_no_improvement=None, random_state=0).fit(blobs)
    assert kmeans.n_steps_ == 3 * 3000 // 700
    assert kmeans.n_iter_ == 3
    assert MiniBatchKMeans(5, batch_size=700, max_no_improvement=1, random_state=0).fit(blobs).n_steps_ < 400


def test_stops_when_the_centres_rest(blobs, capsys):
    MiniBatchKMeans(5, tol=0.1, max_no_improvement=None, random_state=0, verbose=1).fit(blobs)
    assert "Converged (small centers change)" in capsys.readouterr().out


def test_callback(blobs):
    seen = []
    kmeans = MiniBatchKMeans(5, random_state=0, callback=lambda *step: seen.append(step)).fit(blobs)
    assert [step for step, _, _ in seen] == list(range(1, kmeans.n_steps_ + 1))
    assert all(inertia > 0 and shift > 0 for _, inertia, shift in seen)


def test_without_labels_the_inertia_is_an_estimate(blobs):
    labelled = MiniBatchKMeans(5, random_state=0).fit(blobs)
    kmeans = MiniBatchKMeans(5, random_state=0, compute_labels=False).fit(blobs)
    assert not hasattr(kmeans, "labels_")
    np.testing.assert_array_equal(kmeans.cluster_centers_, labelled.cluster_centers_)
    assert kmeans.inertia_ == pytest.approx(labelled.inertia_, rel=0.2)


def test_rows_without_weight_do_not_count(blobs):
    X = blobs.copy()
    X[::2] += 1e6
    w = np.tile([0.0, 1e-3], 1500)
    for init in ("k-means++", "random"):
        kmeans = MiniBatchKMeans(5, init=init, random_state=0).fit(X, sample_weight=w)
        assert np.abs(kmeans.cluster_centers_).max() < 1e3


def test_cosine(blobs):
    kmeans = MiniBatchKMeans(5, metric="cosine", random_state=0).fit(blobs)
    np.testing.assert_allclose(np.linalg.norm(kmeans.cluster_centers_, axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(kmeans.predict(1e-3 * blobs), kmeans.labels_)


def test_init_size_below_n_clusters_warns(blobs):
    with pytest.warns(RuntimeWarning, match="init_size=3 should be larger than n_clusters=5"):
        kmeans = MiniBatchKMeans(5, init_size=3).fit(blobs)
    assert kmeans._init_size == 15


# -- partial_fit -------------------------------------------------------------------------------------------------------


def test_partial_fit_continues_after_pickling_and_after_fit(blobs):
    kmeans = MiniBatchKMeans(5, random_state=0)
    for batch in np.split(blobs, 5):
        kmeans.partial_fit(batch)
    restored = pickle.loads(pickle.dumps(kmeans))
    kmeans.partial_fit(blobs[:100])
    restored.partial_fit(blobs[:100])
    np.testing.assert_array_equal(restored.cluster_centers_, kmeans.cluster_centers_)
    assert kmeans.fit(blobs).partial_fit(blobs[:100]).n_steps_ == kmeans.fit(blobs).n_steps_ + 1


def test_partial_fit_keeps_the_dtype_of_the_first_rows(blobs):
    kmeans = MiniBatchKMeans(5, random_state=0).partial_fit(blobs.astype(np.float32))
    assert kmeans.partial_fit(blobs).cluster_centers_.dtype == np.float32
    np.testing.assert_array_equal(kmeans.labels_, kmeans.predict(blobs))
    assert kmeans.fit(blobs).cluster_centers_.dtype == np.float64


def test_partial_fit_does_not_depend_on_chunks(blobs):
    whole = MiniBatchKMeans(5, random_state=0).partial_fit(blobs)
    chunked = MiniBatchKMeans(5, random_state=0).partial_fit(as_source(blobs, chunk_rows=77))
    np.testing.assert_array_equal(chunked.cluster_centers_, whole.cluster_centers_)
    np.testing.assert_array_equal(chunked.labels_, whole.labels_)
    assert chunked.inertia_ == whole.inertia_


# -- drawing rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 300, 1000])
def test_sampled_rows_are_distinct_and_deterministic(size):
    X = np.arange(1000.0)[:, None]
    data = Dataset(get_engine("cpu"), as_source(X))
    first, again, other = (sampling.sample(data, size, 1, purpose) for purpose in ("a", "a", "b"))
    rows = first.take(np.arange(size))[:, 0]
    assert len(np.unique(rows)) == size
    np.testing.assert_array_equal(rows, again.take(np.arange(size))[:, 0])
    assert size == 1000 or not np.array_equal(rows, other.take(np.arange(size))[:, 0])


def test_draws_follow_the_weights():
    stream = purpose_stream(0, "test")
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    drawn = sampling.draw(stream, 5, np.cumsum(weights), 40_000, start=0)
    counts = np.bincount(drawn, minlength=5)
    assert counts[[0, 2, 4]].sum() == 0
    assert counts[3] / counts[1] == pytest.approx(3, rel=0.05)


def test_draws_reach_beyond_32_bits():
    stream = purpose_stream(0, "test")
    drawn = sampling.draw(stream, 2**40, None, 1000, start=2**33)
    assert drawn.dtype == np.int64
    assert 2**39 < drawn.max() < 2**40
    np.testing.assert_array_equal(drawn[10:], sampling.draw(stream, 2**40, None, 990, start=2**33 + 10))
    assert len(np.unique(sampling.distinct(stream, 2**40, 1000))) == 1000
