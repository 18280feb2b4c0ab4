"""DBSCAN on every engine, by cells and by pairs, in memory and in chunks: by hand, and at the edges of both forms."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import dbscan
from gpuclust.engines.neighborhood import METRICS, Neighborhood
from gpuclust.sources import as_source
from tests import dbscan_reference as reference

FORMS = pytest.mark.parametrize("form", ["auto", "cells", "pairs"])
CHUNKS = pytest.mark.parametrize("chunk_rows", [None, 1, 3], ids=["resident", "single rows", "by threes"])


def _run(engine, X, eps, min_samples, weights=None, metric="euclidean", chunk_rows=None, **options):
    data = Dataset(engine, as_source(np.asarray(X), chunk_rows=chunk_rows))
    return dbscan(data, Neighborhood.within(eps, metric), min_samples, weights=weights, **options)


def _assert_is(found, expected):
    np.testing.assert_array_equal(found.core, expected.core)
    np.testing.assert_array_equal(found.labels, expected.labels)


LINE = np.array([[9.0], [0.0], [1.0], [2.0], [30.0], [8.0], [7.0]])


@FORMS
@CHUNKS
@pytest.mark.parametrize("metric", METRICS)
def test_two_clusters_and_noise(engine, form, chunk_rows, metric):
    found = _run(engine, LINE, 1.5, 3, metric=metric, chunk_rows=chunk_rows, form=form)
    np.testing.assert_array_equal(found.labels, [1, 0, 0, 0, -1, 1, 1])
    np.testing.assert_array_equal(found.core, [False, False, True, False, False, True, False])
    assert found.labels.dtype == np.int32
    assert found.core.dtype == bool


@FORMS
@CHUNKS
def test_a_border_row_takes_the_lowest_of_its_clusters_and_joins_none(engine, form, chunk_rows):
    """The arms of two crosses meet in the row at (1, 0); whichever cross comes first gets it."""
    cross = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    left, right = cross, cross[[0, 1, 3, 4]] + [2, 0]
    found = _run(engine, np.concatenate([left, right]), 1.0, 5, chunk_rows=chunk_rows, form=form)
    assert found.labels.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert np.flatnonzero(found.core).tolist() == [0, 5]
    found = _run(engine, np.concatenate([right, left]), 1.0, 5, chunk_rows=chunk_rows, form=form)
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 0, 1, 1, 1]
    assert np.flatnonzero(found.core).tolist() == [0, 4]


@FORMS
@CHUNKS
def test_weights(engine, form, chunk_rows):
    """Whole, fractional, negative and zero, so that each row's sum is at min_samples or just below."""
    X = np.arange(8.0)[:, None]
    weights = np.array([1.0, 2.0, 0.0, -1.0, 4.0, 0.5, 2.5, 0.25])
    # Sums of three neighbours: 3, 3, 1, 3, 3.5, 7, 3.25, 2.75
    found = _run(engine, X, 1.0, 3, weights, chunk_rows=chunk_rows, form=form)
    np.testing.assert_array_equal(found.core, [True, True, False, True, True, True, True, False])
    np.testing.assert_array_equal(found.labels, [0, 0, 0, 1, 1, 1, 1, 1])


@FORMS
@pytest.mark.parametrize("chunk_rows", [None, 100, 1000])
def test_one_long_chain_across_all_blocks(engine, sized, form, chunk_rows):
    """Rows of a spiral in random order: one cluster, joined through every block and many cells."""
    n = sized(1500, 250)
    turns = np.sqrt(np.arange(1, n + 1)) * 2
    X = (turns[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1))[np.random.default_rng(0).permutation(n)]
    expected = reference.dbscan(X, 3.2, 3)
    assert expected.labels.max() == 0
    _assert_is(_run(engine, X, 3.2, 3, chunk_rows=chunk_rows, form=form), expected)


@FORMS
@pytest.mark.parametrize("d", [1, 2, 5, 8])
def test_every_row_near_every_other(engine, sized, form, d):
    n = sized(2000, 130)
    X = np.random.default_rng(1).uniform(-1, 1, size=(n, d))
    found = _run(engine, X, 2.5 * d, n, form=form)
    assert found.core.all()
    assert not found.labels.any()
    assert not _run(engine, X, 2.5 * d, n + 1, form=form).core.any()


@FORMS
def test_crowded_cells_that_just_miss_each_other(engine, sized, form):
    """Two crowds in neighbouring cells, a little more than eps apart, then joined by one pair of exactly eps."""
    rng, m = np.random.default_rng(2), sized(400, 80)
    left = np.stack([-rng.uniform(0, 0.125, m), rng.uniform(0, 0.125, m)], axis=1)
    right = np.stack([1.0625 + rng.uniform(0, 0.125, m), rng.uniform(0, 0.125, m)], axis=1)
    apart = np.concatenate([left, right])
    _assert_is(_run(engine, apart, 1.0, 5, form=form), reference.dbscan(apart, 1.0, 5))
    joined = np.concatenate([apart, [[0.03125, 0.0625], [1.03125, 0.0625]]])
    expected = reference.dbscan(joined, 1.0, 5)
    assert expected.labels.max() == 0
    _assert_is(_run(engine, joined, 1.0, 5, form=form), expected)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_in_the_corners_of_the_reach(engine, metric, d):
    """Pairs of rows exactly eps apart in every direction of a small lattice, each pair far from the others."""
    rng = np.random.default_rng(d)
    steps = rng.integers(-2, 3, size=(60, d)).astype(np.float64)
    steps[0] = np.arange(d) == 0
    length = {"euclidean": lambda v: (v * v).sum(1), "manhattan": lambda v: abs(v).sum(1)}.get(
        metric, lambda v: abs(v).max(1)
    )
    for value in np.unique(length(steps))[1:]:
        ends = steps[length(steps) == value]
        if metric == "euclidean" and np.sqrt(value) ** 2 != value:
            continue  # a root that is rounded decides nothing here
        eps = float(np.sqrt(value) if metric == "euclidean" else value)
        starts = np.zeros_like(ends)
        starts[:, 0] = np.arange(len(ends)) * 64 + rng.integers(8, size=len(ends)) * 0.125
        X = np.concatenate([starts, starts + ends])
        for form in ("cells", "pairs"):
            found = _run(engine, X, eps, 2, metric=metric, form=form)
            np.testing.assert_array_equal(found.labels, np.tile(np.arange(len(ends)), 2))
            assert not _run(engine, X, float(np.nextafter(eps, 0)), 2, metric=metric, form=form).core.any()


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("d", [2, 20])
def test_little_memory_changes_nothing(engine, sized, d, weighted):
    """Pairs that cannot be remembered are looked at again."""
    rng, n = np.random.default_rng(3), sized(1500, 150)
    X = rng.normal(size=(6, d))[rng.integers(6, size=n)] * 4 + rng.normal(size=(n, d))
    weights = rng.integers(-1, 4, size=n).astype(float) if weighted else None
    eps = sized(0.3, 0.9) if d == 2 else sized(4.5, 5.2)
    expected = reference.dbscan(X, eps, 6, weights=weights)
    assert len(np.unique(expected.labels)) > 3
    for chunk_rows in (None, 400):
        for max_memory in (1, 20_000, 1_000_000, None):
            found = _run(engine, X, eps, 6, weights, chunk_rows=chunk_rows, form="pairs", max_memory=max_memory)
            _assert_is(found, expected)


@FORMS
@pytest.mark.parametrize("chunk_rows", [None, 500])
def test_the_callback_sees_every_stage_and_may_stop(engine, sized, form, chunk_rows):
    class StopRun(Exception):
        pass

    def stop(stage, done, total):
        raise StopRun

    X = np.random.default_rng(4).normal(size=(sized(2000, 200), 2))
    seen = []
    _run(engine, X, 0.1, 5, chunk_rows=chunk_rows, form=form, callback=lambda *step: seen.append(step))
    order = ["count", "link", "claim"]
    assert {stage for stage, _, _ in seen} <= set(order)
    assert [order.index(stage) for stage, _, _ in seen] == sorted(order.index(stage) for stage, _, _ in seen)
    for stage in {stage for stage, _, _ in seen}:
        done = [d for name, d, _ in seen if name == stage]
        totals = {t for name, _, t in seen if name == stage}
        assert done == sorted(done)
        assert totals == {done[-1]}
    with pytest.raises(StopRun):
        _run(engine, X, 0.1, 5, chunk_rows=chunk_rows, form=form, callback=stop)


@FORMS
def test_data_is_never_written(engine, form):
    X = np.random.default_rng(5).normal(size=(200, 3))
    weights = np.ones(200)
    before = X.copy(), weights.copy()
    _run(engine, X, 0.5, 4, weights, form=form)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(weights, before[1])
