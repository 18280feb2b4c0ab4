"""Properties of DBSCAN that hold for any rows, found out by hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import dbscan
from gpuclust.engines import get_engine
from gpuclust.engines.neighborhood import METRICS, Neighborhood
from gpuclust.sources import as_source
from tests import dbscan_reference as reference

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

COARSE = st.integers(-4, 4).map(float)  # a lattice: duplicates and distances of exactly eps
WILD = st.floats(float(np.float32(-1e30)), float(np.float32(1e30)), width=32)
DISTANCES = st.one_of(st.sampled_from([1.0, 2.0, 3.0, 5.0]), st.floats(1e-40, 1e31))


@st.composite
def configurations(draw, elements=(COARSE, WILD), distances=DISTANCES):
    """Rows (n, d) float32, a metric, eps and min_samples."""
    n, d = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    X = draw(arrays(np.float32, (n, d), elements=draw(st.sampled_from(elements))))
    return X, draw(st.sampled_from(METRICS)), draw(distances), draw(st.integers(1, 6))


lattices = configurations((COARSE,), st.sampled_from([1.0, 2.0, 3.0, 5.0]))


def _run(X, metric, eps, min_samples, weights=None, form="auto", chunk_rows=None):
    data = Dataset(get_engine("cpu"), as_source(X, chunk_rows=chunk_rows))
    return dbscan(data, Neighborhood.within(eps, metric), min_samples, weights=weights, form=form)


def _assert_same(found, expected):
    np.testing.assert_array_equal(found.core, expected.core)
    np.testing.assert_array_equal(found.labels, expected.labels)


@given(configurations(), st.sampled_from(["auto", "pairs"]), st.integers(1, 50))
@SETTINGS
def test_clusters_are_the_oracles(configuration, form, chunk_rows):
    X, metric, eps, min_samples = configuration
    expected = reference.dbscan(X, eps, min_samples, metric)
    _assert_same(_run(*configuration, form=form), expected)
    _assert_same(_run(*configuration, form=form, chunk_rows=chunk_rows), expected)


@given(lattices, st.integers(1, 50))
@SETTINGS
def test_cells_are_the_oracles(configuration, chunk_rows):
    X, metric, eps, min_samples = configuration
    expected = reference.dbscan(X, eps, min_samples, metric)
    _assert_same(_run(*configuration, form="cells"), expected)
    _assert_same(_run(*configuration, form="cells", chunk_rows=chunk_rows), expected)


@given(lattices, st.data())
@SETTINGS
def test_weights_are_the_oracles(configuration, data):
    X, metric, eps, min_samples = configuration
    weights = data.draw(
        arrays(np.float64, len(X), elements=st.sampled_from([-2.5, -0.1, 0.0, 0.1, 0.3, 1.0, 2.0, 7.25]))
    )
    if not weights.any():
        weights[0] = 1.0
    expected = reference.dbscan(X, eps, min_samples, metric, weights)
    for form in ("cells", "pairs"):
        _assert_same(_run(*configuration, weights, form), expected)


@given(lattices, st.integers(1, 5))
@SETTINGS
def test_weights_are_repetitions(configuration, times):
    """A row of integer weight w is w rows."""
    X, metric, eps, min_samples = configuration
    repeats = np.arange(len(X)) % times + 1
    weighted = _run(*configuration, repeats.astype(np.float64))
    repeated = _run(np.repeat(X, repeats, axis=0), metric, eps, min_samples)
    np.testing.assert_array_equal(repeated.core, np.repeat(weighted.core, repeats))
    np.testing.assert_array_equal(repeated.labels, np.repeat(weighted.labels, repeats))


@given(configurations(), st.integers(-60, 60))
@SETTINGS
def test_scaling_by_a_power_of_two_changes_nothing(configuration, exponent):
    X, metric, eps, min_samples = configuration
    scaled = _run(X.astype(np.float64) * 2.0**exponent, metric, eps * 2.0**exponent, min_samples)
    _assert_same(scaled, _run(*configuration))


@given(configurations(), st.integers(1, 3))
@SETTINGS
def test_a_larger_eps_or_fewer_samples_only_joins(configuration, factor):
    """Core rows stay core, and those of one cluster stay together."""
    X, metric, eps, min_samples = configuration
    tight = _run(*configuration)
    for loose in (_run(X, metric, eps * (1 + factor), min_samples), _run(X, metric, eps, max(1, min_samples - factor))):
        assert not (tight.core & ~loose.core).any()
        assert not ((tight.labels >= 0) & (loose.labels < 0)).any()
        joined = np.unique(np.stack([tight.labels, loose.labels])[:, tight.core], axis=1)
        assert len(np.unique(joined[0])) == joined.shape[1]
