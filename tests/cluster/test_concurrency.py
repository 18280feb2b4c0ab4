"""Fits in several Python threads at once, and in a child process after a fit in the parent: right results, no hang."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpuclust import KMeans
from gpuclust.errors import GpuclustError


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)


def _fit(X):
    return KMeans(20, init=X[:20], max_iter=5, tol=0).fit(X)


def test_threads(X):
    expected = _fit(X)
    with ThreadPoolExecutor(4) as pool:
        for fitted in pool.map(_fit, [X] * 8):
            np.testing.assert_array_equal(fitted.labels_, expected.labels_)
            np.testing.assert_array_equal(fitted.cluster_centers_, expected.cluster_centers_)


def _fit_in_child(X, queue):
    try:
        queue.put(_fit(X).labels_)
    except GpuclustError as error:
        queue.put(str(error))


def test_forked_child(X):
    expected = _fit(X)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_fit_in_child, args=(X, queue))
    child.start()
    try:
        np.testing.assert_array_equal(queue.get(timeout=60), expected.labels_)
        child.join(timeout=60)
        assert child.exitcode == 0
    finally:
        child.kill()
