"""gpuclust as the trainer of FAISS's quantisers."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust import KMeans
from gpuclust.errors import DataError, ParameterError
from gpuclust.neighbors import Clustering, train_ivf
from gpuclust.neighbors.library import faiss_library

faiss = faiss_library()


@pytest.fixture(scope="module")
def blobs():
    """Return 4000 rows in 60 blobs of unequal size."""
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(60, 12)) * 2
    return (middles[np.minimum(rng.geometric(0.05, 4000), 60) - 1] + rng.normal(size=(4000, 12)) * 0.6).astype(
        np.float32
    )


def _centroids(clustering):
    return faiss.vector_to_array(clustering.centroids).reshape(clustering.k, clustering.d)


def test_by_hand():
    index = faiss.IndexFlatL2(1)
    index.add(np.ones((5, 1), np.float32))
    clustering = Clustering(1, 2)
    clustering.train(np.array([[0.0], [1.0], [10.0], [11.0]]), index)
    assert sorted(_centroids(clustering).ravel().tolist()) == [0.5, 10.5]
    assert clustering.obj.tolist() == [1.0]
    assert clustering.iteration_stats[-1].obj == 1.0
    assert index.ntotal == 2  # what it held before is gone
    assert index.reconstruct_n(0, 2).tolist() == _centroids(clustering).tolist()


def test_weights_are_repetitions():
    clustering = Clustering(1, 1)
    clustering.train(np.array([[0.0], [4.0]]), weights=[3, 1])
    assert _centroids(clustering).tolist() == [[1.0]]


def test_spherical():
    rows = np.random.default_rng(1).normal(size=(200, 3))
    clustering = Clustering(3, 4, spherical=True)
    clustering.train(rows)
    np.testing.assert_allclose(np.linalg.norm(_centroids(clustering), axis=1), 1, rtol=1e-6)


def test_centroids_are_those_of_kmeans(blobs):
    clustering = Clustering(12, 20, seed=3)
    clustering.train(blobs)
    rows = _centroids(clustering)
    expected = KMeans(20, init=rows.astype(np.float32), max_iter=1, n_init=1, tol=0).fit(blobs)
    assert clustering.obj[0] == pytest.approx(expected.inertia_, rel=1e-3)
    again = Clustering(12, 20, seed=3)
    again.train(blobs)
    np.testing.assert_array_equal(rows, _centroids(again))


def test_a_sample_of_the_rows(blobs):
    clustering = Clustering(12, 10, max_points_per_centroid=20)
    clustering.train(blobs)
    everything = Clustering(12, 10)
    everything.train(blobs)
    assert 0 < clustering.obj[0] < everything.obj[0] / 10  # of 200 rows, not 4000


def test_parameters_are_given_as_to_faiss(blobs):
    parameters = faiss.ClusteringParameters()
    parameters.niter, parameters.nredo, parameters.seed, parameters.max_points_per_centroid = 3, 2, 7, 30
    ours = Clustering(12, 10, parameters)
    assert (ours.niter, ours.nredo, ours.seed, ours.max_points_per_centroid, ours.spherical) == (3, 2, 7, 30, False)
    ours.train(blobs)
    assert ours.iteration_stats[-1].n_iter <= 3
    ours.niter = 0
    with pytest.raises(ParameterError, match="niter=0 should be an int >= 1"):
        ours.train(blobs)


def test_the_best_of_several_runs(blobs):
    inertias = []
    for seed in range(5):
        clustering = Clustering(12, 15, seed=seed, niter=2)
        clustering.train(blobs)
        inertias.append(clustering.obj[0])
    best = Clustering(12, 15, seed=0, niter=2, nredo=5)
    best.train(blobs)
    assert best.obj[0] == min(inertias) < inertias[0]


def test_an_index_that_faiss_trains_takes_the_hand_over(blobs):
    """FAISS finds the quantiser filled and leaves it alone; recall is at least that of its own training."""
    exact = faiss.IndexFlatL2(12)
    exact.add(blobs)
    _, truth = exact.search(blobs[::10], 10)

    def recall(index):
        index.add(blobs)
        index.nprobe = 3
        _, found = index.search(blobs[::10], 10)
        return np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]) / 10

    theirs = faiss.IndexIVFFlat(faiss.IndexFlatL2(12), 12, 60)
    theirs.train(blobs)
    ours = faiss.IndexIVFFlat(faiss.IndexFlatL2(12), 12, 60)
    assert train_ivf(ours, blobs) is ours
    assert ours.is_trained
    centers = ours.quantizer.reconstruct_n(0, 60)
    clustering = Clustering(12, 60)
    clustering.train(blobs)
    np.testing.assert_array_equal(centers, _centroids(clustering))
    assert recall(ours) >= recall(theirs) - 0.005
    np.testing.assert_array_equal(ours.quantizer.reconstruct_n(0, 60), centers)


def test_other_indexes(blobs):
    pq = faiss.IndexIVFPQ(faiss.IndexFlatL2(12), 12, 16, 4, 4)
    train_ivf(pq, blobs).add(blobs)
    assert pq.ntotal == 4000
    inner = faiss.IndexIVFFlat(faiss.IndexFlatIP(12), 12, 16, faiss.METRIC_INNER_PRODUCT)
    train_ivf(inner, blobs)
    np.testing.assert_allclose(np.linalg.norm(inner.quantizer.reconstruct_n(0, 16), axis=1), 1, rtol=1e-6)


def test_bad_input(blobs):
    with pytest.raises(ParameterError, match="k=0 should be an int >= 1"):
        Clustering(12, 0)
    with pytest.raises(DataError, match="n_samples=5 should be >= k=6"):
        Clustering(12, 6).train(blobs[:5])
    with pytest.raises(DataError, match="x has 12 features; expected d=3"):
        Clustering(3, 6).train(blobs)
    with pytest.raises(DataError, match="NaN"):
        Clustering(1, 1).train([[np.nan]])
    with pytest.raises(ParameterError, match="index is a IndexFlatL2; expected an IVF index"):
        train_ivf(faiss.IndexFlatL2(12), blobs)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(12), 12, 4)
    train_ivf(index, blobs).add(blobs[:7])
    with pytest.raises(ParameterError, match="index holds 7 rows already"):
        train_ivf(index, blobs)
