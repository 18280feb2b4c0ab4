"""Covariances of Gaussian components, and what is computed from them on the host.

Their shapes are (k, d, d) if they are "full", (d, d) "tied", (k, d) "diag" and (k,) "spherical". A **factor** is what
scikit-learn calls the Cholesky factor of a precision: an upper triangular P with P P' the precision matrix, or the
square roots of precisions; precisions and factors have the shapes of the covariances.

Matrices are small. They are factored here by additions, multiplications, divisions and roots in one order (Golub and
Van Loan 2013, sections 3.1 and 4.2), not by LAPACK, whose bits depend on the machine and on its threads.
"""

from __future__ import annotations

import numpy as np

from gpuclust.errors import DataError

__all__ = ["KINDS", "cholesky", "covariances_of", "factors_of", "factors_of_precisions", "precisions_of", "shape_of"]

KINDS = ("full", "tied", "diag", "spherical")
_MATRICES = ("full", "tied")


def shape_of(kind: str, n_components: int, n_features: int) -> tuple[int, ...]:
    """The shape of covariances of this kind."""
    k, d = n_components, n_features
    return {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]


def factors_of(covariances: np.ndarray, kind: str) -> np.ndarray:
    """The factors of covariances.

    Raises
    ------
    DataError
        A covariance is singular: not positive definite.
    """
    if kind not in _MATRICES:
        if not (covariances > 0).all():
            raise _singular()
        return 1.0 / np.sqrt(covariances)
    factors = _inverse(cholesky(_stacked(covariances))).swapaxes(1, 2)
    return np.ascontiguousarray(factors).reshape(covariances.shape)


def factors_of_precisions(precisions: np.ndarray, kind: str) -> np.ndarray:
    """The factors of precisions: with rows and columns in reverse order, an upper factor is a lower one."""
    if kind not in _MATRICES:
        return np.sqrt(precisions)
    reverse = cholesky(_stacked(precisions)[:, ::-1, ::-1])
    return np.ascontiguousarray(reverse[:, ::-1, ::-1]).reshape(precisions.shape)


def precisions_of(factors: np.ndarray, kind: str) -> np.ndarray:
    """The precisions of factors."""
    return _squared(_stacked(factors)).reshape(factors.shape) if kind in _MATRICES else factors**2


def covariances_of(factors: np.ndarray, kind: str) -> np.ndarray:
    """The covariances of factors."""
    if kind not in _MATRICES:
        return 1.0 / factors**2
    return _squared(_inverse(_stacked(factors).swapaxes(1, 2))).reshape(factors.shape)


def cholesky(matrices: np.ndarray) -> np.ndarray:
    """The lower triangular L with L L' the symmetric ``matrices``, (k, d, d) float64.

    Raises
    ------
    DataError
        One of them is not positive definite.
    """
    a = np.array(matrices, np.float64)
    for j in range(a.shape[1]):
        pivots = a[:, j, j].copy()
        if not (pivots > 0).all():
            raise _singular()
        a[:, j:, j] /= np.sqrt(pivots)[:, None]
        column = a[:, j + 1 :, j]
        a[:, j + 1 :, j + 1 :] -= column[:, :, None] * column[:, None, :]
    return np.tril(a)


def _inverse(lower: np.ndarray) -> np.ndarray:
    """The inverse of lower triangular matrices (k, d, d), by forward substitution."""
    out = np.zeros_like(lower)
    out[:, range(lower.shape[1]), range(lower.shape[1])] = 1.0
    for j in range(lower.shape[1]):
        out[:, j, : j + 1] /= lower[:, j, j, None]
        out[:, j + 1 :, : j + 1] -= lower[:, j + 1 :, j, None] * out[:, j, None, : j + 1]
    return out


def _squared(matrices: np.ndarray) -> np.ndarray:
    """A A' of each matrix, column by column."""
    out = np.zeros_like(matrices)
    for j in range(matrices.shape[2]):
        out += matrices[:, :, j, None] * matrices[:, None, :, j]
    return out


def _stacked(matrices: np.ndarray) -> np.ndarray:
    return matrices[None] if matrices.ndim == 2 else matrices


def _singular() -> DataError:
    return DataError(
        "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
        "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or "
        "scale the input data."
    )
