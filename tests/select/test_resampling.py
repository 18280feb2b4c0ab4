"""Stability and gap: by hand, by oracle, and one answer everywhere."""

from __future__ import annotations

import math
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans as Reference

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.random import purpose_stream
from gpuclust.engines import get_engine
from gpuclust.select import gap as gap_module
from gpuclust.select import stability as stability_module
from gpuclust.select.gap import N_REFERENCES, gap
from gpuclust.select.progress import Progress
from gpuclust.select.stability import n_halvings, stability
from gpuclust.sources import as_source


def _blobs(n, middles=(0.0, 30.0, 100.0), d=2):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(middle, 1, (n, d)) for middle in middles])


def _data(engine, X, chunk_rows=None):
    return Dataset(engine, as_source(np.ascontiguousarray(X), chunk_rows=chunk_rows))


class Late(Progress):
    """Time that is over after some questions."""

    def __init__(self, questions):
        super().__init__()
        self._asked, self._questions = count(1), questions

    def over(self, share=1.0):
        return next(self._asked) > self._questions


@pytest.fixture
def two_halvings(monkeypatch):
    monkeypatch.setattr(stability_module, "n_halvings", lambda n_rows: 2)


def test_clusters_that_every_half_shows_are_stable(engine, two_halvings):
    found, error = stability(_data(engine, _blobs(8)), [2, 3, 4], 0, Progress())
    assert found[0] == found[1] == 1.0
    assert error[0] == error[1] == 0.0
    assert found[2] < 0.9


def test_agreement_is_that_of_each_half_with_the_other(monkeypatch):
    """Rows 0..7 in halves whose clusters differ: by hand. The labels of a half are 0 0 1 1; the other says 0 1 1 1."""
    monkeypatch.setattr(stability_module, "n_halvings", lambda n_rows: 1)
    monkeypatch.setattr(stability_module, "distinct", lambda stream, n, size: np.array([0, 1, 4, 5, 2, 3, 6, 7]))
    X = np.array([[0.0], [1.0], [-9.0], [12.0], [10.0], [11.0], [13.0], [14.0]])
    found, error = stability(_data(get_engine("cpu"), X), [2], 0, Progress())
    # First half: rows 0, 1, 10, 11, centres 0.5 and 10.5. Second: -9, 12, 13, 14, centres -9 and 13. The first says of
    # the second what it says itself: 1. The second says of 0, 1, 10, 11: 0 and 1 are nearer to -9 (limit 2): 1 too.
    assert (found[0], error[0]) == (1.0, 0.0)
    X[2] = -23.0
    # Now the limit is (13 - 23) / 2 = -5: the second half says one cluster of all, which agrees by chance only: 0.
    assert stability(_data(get_engine("cpu"), X), [2], 0, Progress())[0][0] == 0.5


def test_numbers_of_clusters_beyond_a_half_have_no_stability(two_halvings):
    found, _ = stability(_data(get_engine("cpu"), _blobs(2)), [2, 3, 4, 5], 0, Progress())
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, True])


def test_stability_is_one_answer(engine, two_halvings):
    X = _blobs(7).astype(np.float32)
    expected = stability(_data(get_engine("cpu"), X), [2, 4], 5, Progress())
    for chunk_rows in (None, 4):
        np.testing.assert_array_equal(stability(_data(engine, X, chunk_rows), [2, 4], 5, Progress()), expected)


def test_time_that_is_over():
    data = _data(get_engine("cpu"), _blobs(8))
    assert n_halvings(24) == 25
    assert (n_halvings(2000), n_halvings(10**9)) == (10, 5)
    found, _ = stability(data, [2, 3], 0, Late(0))
    assert np.isnan(found).all()
    found, error = stability(data, [2, 3], 0, Late(2))
    assert found[1] == 1.0
    np.testing.assert_array_equal(error, [0, 0])
    assert np.isnan(gap(data, [2, 3], 0, Late(2))[0]).all()
    assert np.isfinite(gap(data, [2, 3], 0, Late(4))[0]).all()


def test_gap_by_hand(monkeypatch):
    """Own inertias e, 1; those of two references e^2, e^2 and e^4, e^1: means 3 and 1.5, deviations 1 and 0.5."""
    inertias = iter([(math.e, 1.0), (math.e**2, math.e**2), (math.e**4, math.e)])
    monkeypatch.setattr(gap_module, "N_REFERENCES", 2)
    monkeypatch.setattr(
        gap_module, "fits", lambda *_, **__: (SimpleNamespace(inertia=value) for value in next(inertias))
    )
    found, error = gap(_data(get_engine("cpu"), _blobs(3)), [2, 3], 0, Progress())
    np.testing.assert_allclose(found, [3 - 1, 1.5 - 0])
    np.testing.assert_allclose(error, np.array([1, 0.5]) * math.sqrt(1.5))


def test_gap_against_scikit_learn():
    """The same reference rows, scikit-learn's k-means, the formulas of the paper."""
    X = _blobs(30) + 1000
    found, error = gap(_data(get_engine("cpu"), X), [2, 3, 4], 3, Progress())

    def logs(rows):
        return [math.log(Reference(k, n_init=3, random_state=0).fit(rows).inertia_) for k in (2, 3, 4)]

    low, high = X.min(axis=0), X.max(axis=0)
    uniform = [purpose_stream(3, f"gap {turn}").uniform(X.size).reshape(X.shape) for turn in range(N_REFERENCES)]
    references = np.array([logs(low + one * (high - low)) for one in uniform])
    np.testing.assert_allclose(found, references.mean(axis=0) - logs(X), atol=0.1)
    np.testing.assert_allclose(error, references.std(axis=0) * math.sqrt(1 + 1 / N_REFERENCES), rtol=0.4)
    assert found.argmax() == 1


def test_gap_is_one_answer(engine, monkeypatch):
    monkeypatch.setattr(gap_module, "N_REFERENCES", 2)
    X = _blobs(7).astype(np.float32)
    expected = gap(_data(get_engine("cpu"), X), [2, 4], 5, Progress())
    for chunk_rows in (None, 4):
        np.testing.assert_array_equal(gap(_data(engine, X, chunk_rows), [2, 4], 5, Progress()), expected)
