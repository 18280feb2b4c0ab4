"""Lloyd's loop by hand: means, stopping, empty clusters, the callback, and options that change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms import lloyd
from gpuclust.algorithms.dataset import Dataset
from gpuclust.sources import as_source
from tests import reference


def _run(engine, X, centers, weights=None, chunk_rows=None, normalize=False, max_iter=20, tol=0.0, **options):
    data = Dataset(engine, as_source(np.asarray(X), chunk_rows=chunk_rows), weights, normalize=normalize)
    return lloyd.run(data, np.asarray(centers, dtype=np.float64), max_iter=max_iter, tol=tol, **options)


CORNERS = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])


def test_four_points(engine):
    result = _run(engine, CORNERS, [[0, 0], [10, 0]])
    np.testing.assert_array_equal(result.labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(result.centers, [[0, 1], [10, 1]])
    assert result.labels.dtype == np.int32
    assert (result.inertia, result.n_iter, result.n_distinct, result.converged) == (4.0, 2, 2, True)


def test_four_points_with_weights(engine):
    result = _run(engine, CORNERS, [[0, 0], [10, 0]], np.array([3.0, 1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(result.labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(result.centers, [[0, 0.5], [10, 2]])
    assert result.inertia == 3 * 0.25 + 2.25


def test_no_more_iterations_than_asked_for(engine):
    X = np.arange(64.0)[:, None]
    for max_iter in (1, 2, 3):
        result = _run(engine, X, [[0], [1], [2]], max_iter=max_iter)
        assert (result.n_iter, result.converged) == (max_iter, False)
        np.testing.assert_array_equal(result.labels, reference.assign(X, result.centers))
        np.testing.assert_array_equal(result.centers, reference.lloyd(X, X[:3], max_iter=max_iter).centers)


def test_tolerance_ends_the_run_early(engine):
    X = np.random.default_rng(0).normal(size=(500, 3))
    patient, hasty = (_run(engine, X, X[:9], max_iter=200, tol=tol) for tol in (0.0, 1e-2))
    assert hasty.n_iter < patient.n_iter
    assert hasty.converged
    assert hasty.n_iter == reference.lloyd(X, X[:9], tol=1e-2).n_iter
    np.testing.assert_array_equal(hasty.labels, reference.assign(X, hasty.centers))


def test_an_empty_cluster_takes_the_farthest_row(engine):
    """The centre at 100 has no row: it takes row 3, farthest from its own centre."""
    X = np.array([[0.0], [1.0], [2.0], [9.0]])
    result = _run(engine, X, [[1], [100]], max_iter=1)
    np.testing.assert_array_equal(result.centers, [[1.0], [9.0]])
    np.testing.assert_array_equal(result.labels, [0, 0, 0, 1])
    assert result.n_distinct == 2


def test_relocation_goes_by_cluster_then_distance_and_ties_to_the_lowest_row(engine):
    X = np.array([[5.0], [-5.0], [0.0], [1.0], [-7.0]])
    result = _run(engine, X, [[100], [0], [200], [300]], max_iter=1)
    # Distances from 0: 5, 5, 0, 1, 7. Cluster 0 takes row 4, cluster 2 row 0, cluster 3 row 1.
    np.testing.assert_array_equal(result.centers, [[-7.0], [0.5], [5.0], [-5.0]])


def test_relocation_leaves_single_rows_and_rows_without_weight(engine):
    """Row 0 is alone with its centre though farthest, row 1 weighs nothing."""
    X = np.array([[50.0], [9.0], [0.0], [1.0], [4.0]])
    weights = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    for chunk_rows in (None, 1, 2):
        result = _run(engine, X, [[40], [1], [-500]], weights, chunk_rows, max_iter=1)
        np.testing.assert_array_equal(result.centers, [[50.0], [0.5], [4.0]])


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize("chunk_rows", [None, 5])
def test_relocated_rows_are_counted_once(engine, chunk_rows, delta):
    """Many empty clusters over several iterations: the sums stay those of the labels."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(120, 2))
    centers = np.concatenate([X[:3], X[:6] + 1e3])
    result = _run(engine, X, centers, chunk_rows=chunk_rows, delta=delta, max_iter=30)
    expected = reference.lloyd(X, centers, max_iter=30)
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_allclose(result.centers, expected.centers, rtol=1e-14)
    assert result.n_iter == expected.n_iter
    assert result.n_distinct == 9


def test_nothing_to_relocate_when_all_rows_sit_on_their_centres(engine):
    X = np.repeat([[0.0], [4.0]], 5, axis=0)
    result = _run(engine, X, [[0], [4], [90]])
    np.testing.assert_array_equal(result.centers, [[0], [4], [90]])
    assert result.n_distinct == 2
    assert result.inertia == 0.0


def test_the_callback_sees_every_iteration(engine):
    seen = []
    result = _run(engine, CORNERS * 4, [[0, 0], [40, 0]], callback=lambda *call: seen.append(call))
    # Four rows get a first label and both centres rise by 4; then nothing changes.
    assert seen == [(1, 4, 32.0), (2, 0, 0.0)]
    assert result.n_iter == 2


def test_the_callback_may_end_the_run(engine):
    class StopRun(Exception):
        pass

    def stop(iteration, n_changed, shift):
        if iteration == 3:
            raise StopRun

    with pytest.raises(StopRun):
        _run(engine, np.arange(100.0)[:, None], [[0], [1], [2]], callback=stop)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_screen_and_delta_change_nothing(engine, dtype):
    """Enough columns for a sketch, several blocks of centres, relocation included."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 40))[rng.integers(60, size=900)] * 3 + rng.normal(size=(900, 40))
    X = np.ascontiguousarray(X, dtype=dtype)
    centers = np.concatenate([X[:50], X[:2] + 1e3]).astype(np.float64)
    expected = _run(engine, X, centers, screen="full", delta=False)
    np.testing.assert_array_equal(expected.labels, reference.assign(X, expected.centers))
    for screen in ("auto", "full", "sketch"):
        for delta in (True, False):
            for chunk_rows in (None, 250):
                result = _run(engine, X, centers, chunk_rows=chunk_rows, screen=screen, delta=delta)
                np.testing.assert_array_equal(result.labels, expected.labels)
                np.testing.assert_array_equal(result.centers, expected.centers)
                assert (result.inertia, result.n_iter) == (expected.inertia, expected.n_iter)


def test_fast_is_close(engine):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(800, 20)).astype(np.float32)
    exact, fast = (_run(engine, X, X[:10], precision=p, max_iter=5) for p in ("exact", "fast"))
    assert np.mean(exact.labels == fast.labels) > 0.9  # a screen of float16 errs more often than one of float32
    assert fast.inertia == pytest.approx(exact.inertia, rel=1e-3)


def test_spherical_hand_case(engine):
    """Directions 0 and 90 degrees in one cluster, 180 in the other: the mean of the first points to 45."""
    X = np.array([[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0]])
    result = _run(engine, X, [[0.8, 0.6], [-1, 0]], normalize=True, spherical=True)
    np.testing.assert_array_equal(result.labels, [0, 0, 1])
    np.testing.assert_allclose(result.centers, [[np.sqrt(0.5), np.sqrt(0.5)], [-1, 0]], rtol=1e-15)
    assert result.inertia == pytest.approx(2 * (2 - np.sqrt(2)), rel=1e-14)


def test_spherical_centres_have_unit_length(engine):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 7)) + 1
    start = X[:8] / np.linalg.norm(X[:8], axis=1, keepdims=True)
    result = _run(engine, X, start, normalize=True, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(result.centers, axis=1), 1.0, rtol=1e-15)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    # The nearest unit vector is the one of largest cosine.
    assert np.mean(result.labels == (unit @ result.centers.T).argmax(axis=1)) == 1.0


def test_spherical_rows_that_cancel_keep_their_centre(engine):
    X = np.array([[1.0, 0.0], [-1.0, 0.0]])
    result = _run(engine, X, [[0.0, 1.0]], normalize=True, spherical=True)
    np.testing.assert_array_equal(result.centers, [[0.0, 1.0]])


def test_initial_centres_are_rounded_to_the_data_s_precision(engine):
    X = np.array([[0.0], [1.0]], dtype=np.float32)
    result = _run(engine, X, [[0.1], [1e9]], max_iter=1)
    np.testing.assert_array_equal(result.centers, result.centers.astype(np.float32))


def test_data_is_never_written(engine):
    X = np.random.default_rng(5).normal(size=(300, 5))
    centers = X[:4].copy()
    before = X.copy(), centers.copy()
    _run(engine, X, centers)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(centers, before[1])
