"""Initial parameters of a mixture that the caller gives: checked, in float64, with scikit-learn's messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.algorithms.covariances import shape_of
from gpuclust.errors import ParameterError

__all__ = ["given_means", "given_precisions", "given_weights"]


def given_weights(weights: Any, n_components: int) -> np.ndarray:
    """Weights (k,), between 0 and 1, that sum to one.

    Raises
    ------
    ParameterError
        They are not.
    """
    single = getattr(weights, "dtype", None) == np.float32
    values = _checked(weights, "weights", (n_components,))
    if (values < 0).any() or (values > 1).any():
        raise ParameterError(
            f"The parameter 'weights' should be in the range [0, 1], but got max value {values.max():.5f}, min value "
            f"{values.min():.5f}"
        )
    if abs(1.0 - values.sum()) > (1e-6 if single else 1e-8):
        raise ParameterError(f"The parameter 'weights' should be normalized, but got sum(weights) = {values.sum():.5f}")
    return values


def given_means(means: Any, n_components: int, n_features: int) -> np.ndarray:
    """Means (k, d).

    Raises
    ------
    ParameterError
        They have another shape or are not finite.
    """
    return _checked(means, "means", (n_components, n_features))


def given_precisions(precisions: Any, kind: str, n_components: int, n_features: int) -> np.ndarray:
    """Precisions in the shape of covariances of this kind.

    Raises
    ------
    ParameterError
        They have another shape, are not finite, or not positive (definite).
    """
    values = _checked(precisions, f"{kind} precision", shape_of(kind, n_components, n_features))
    if kind in ("diag", "spherical"):
        if (values <= 0).any():
            raise ParameterError(f"'{kind} precision' should be positive")
    elif not np.allclose(values, values.swapaxes(-1, -2)) or (np.linalg.eigvalsh(values) <= 0).any():
        raise ParameterError(f"'{kind} precision' should be symmetric, positive-definite")
    return values


def _checked(given: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise ParameterError(f"The parameter '{name}' should be an array of numbers, but got {given!r}") from None
    if values.shape != shape:
        raise ParameterError(f"The parameter '{name}' should have the shape of {shape}, but got {values.shape}")
    if not np.isfinite(values).all():
        raise ParameterError(f"The parameter '{name}' contains NaN or infinity; every value must be finite")
    return values
