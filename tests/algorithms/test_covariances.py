"""Factors of covariances and precisions: by hand, and against LAPACK."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.covariances import (
    KINDS,
    cholesky,
    covariances_of,
    factors_of,
    factors_of_precisions,
    precisions_of,
)
from gpuclust.errors import DataError


def _covariances(kind, k=3, d=5, seed=0):
    root = np.random.default_rng(seed).normal(size=(k, d, d))
    full = root @ root.swapaxes(1, 2) + 0.1 * np.eye(d)
    variances = np.diagonal(full, axis1=1, axis2=2).copy()
    return {"full": full, "tied": full[0], "diag": variances, "spherical": variances[:, 0]}[kind]


def test_by_hand():
    """[[4, 2], [2, 5]] = L L' with L = [[2, 0], [1, 2]]; its inverse is [[1/2, 0], [-1/4, 1/2]]."""
    covariances = np.array([[[4.0, 2.0], [2.0, 5.0]]])
    np.testing.assert_array_equal(cholesky(covariances), [[[2, 0], [1, 2]]])
    np.testing.assert_array_equal(factors_of(covariances, "full"), [[[0.5, -0.25], [0, 0.5]]])
    precision = precisions_of(factors_of(covariances[0], "tied"), "tied")
    np.testing.assert_array_equal(precision, [[0.3125, -0.125], [-0.125, 0.25]])
    np.testing.assert_array_equal(factors_of(np.array([[4.0, 0.25]]), "diag"), [[0.5, 2.0]])


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind):
    covariances = _covariances(kind)
    factors = factors_of(covariances, kind)
    precisions = precisions_of(factors, kind)
    if kind in ("full", "tied"):
        np.testing.assert_array_equal(factors, np.triu(factors))
        np.testing.assert_allclose(precisions, np.linalg.inv(covariances), rtol=1e-11)
    else:
        np.testing.assert_allclose(precisions, 1 / covariances, rtol=1e-14)
    assert factors.shape == precisions.shape == covariances.shape
    np.testing.assert_allclose(covariances_of(factors, kind), covariances, rtol=1e-11)
    np.testing.assert_allclose(factors_of_precisions(precisions, kind), factors, rtol=1e-11, atol=1e-13)


def test_as_lapack():
    matrices = _covariances("full", k=4, d=40, seed=1)
    np.testing.assert_allclose(cholesky(matrices), np.linalg.cholesky(matrices), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_singular_covariances_say_what_to_do(kind):
    covariances = _covariances(kind)
    if kind in ("full", "tied"):
        covariances[..., 0, :] = covariances[..., :, 0] = 0.0
    else:
        covariances[0] = 0.0
    with pytest.raises(DataError, match="increase reg_covar"):
        factors_of(covariances, kind)
