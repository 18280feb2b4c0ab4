"""scikit-learn's estimator checks, for all estimators."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from gpuclust import DBSCAN, GaussianMixture, KMeans, MiniBatchKMeans, XMeans

# scikit-learn expects the same of its own KMeans and MiniBatchKMeans. From given initial centres, weights are
# repetitions to the last bit (tests/exactness/test_properties.py); but here the seeds are drawn from the rows by their
# index, and a row that is repeated has several indices.
EXPECTED = {
    f"check_sample_weight_equivalence_on_{kind}_data": "seeding draws other rows when rows are repeated"
    for kind in ("dense", "sparse")
}


def expected_failures(estimator):
    return EXPECTED


@parametrize_with_checks(
    [KMeans(n_clusters=2, n_init=2, max_iter=5)],
    expected_failed_checks=expected_failures,
)
def test_kmeans(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [MiniBatchKMeans(n_clusters=2, n_init=2, max_iter=5, batch_size=10)],
    expected_failed_checks=expected_failures,
)
def test_minibatch_kmeans(estimator, check):
    check(estimator)


@parametrize_with_checks([XMeans(max_iter=5)], expected_failed_checks=expected_failures)
def test_xmeans(estimator, check):
    check(estimator)


@parametrize_with_checks([GaussianMixture(n_components=2, max_iter=5)])
def test_gaussian_mixture(estimator, check):
    check(estimator)


@parametrize_with_checks([DBSCAN()])
def test_dbscan(estimator, check):
    check(estimator)
