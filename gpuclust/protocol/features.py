"""Number and names of the features: recorded by `fit`, compared by everything after it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_feature_names

from gpuclust.errors import DataError, DataTypeError
from gpuclust.sources import Source
from gpuclust.validation import check_n_features

__all__ = ["check_features"]


def check_features(estimator: BaseEstimator, X: Any, source: Source, *, reset: bool) -> None:
    """Record ``n_features_in_`` and ``feature_names_in_`` when `reset`, otherwise compare with them.

    Parameters
    ----------
    X
        What the caller passed; tables are compared as scikit-learn compares them, with its messages.
    source : Source
        `X`, opened.

    Raises
    ------
    DataError
        Another number of features, other names, or another order of names than in `fit`.
    DataTypeError
        Names of which only some are strings.
    """
    if isinstance(X, str | os.PathLike | Source):
        _check_names_of_file(estimator, source, reset=reset)
    else:
        try:
            _check_feature_names(estimator, X, reset=reset)
        except TypeError as error:
            raise DataTypeError(str(error)) from None
        except ValueError as error:
            raise DataError(str(error)) from None
    if reset:
        estimator.n_features_in_ = source.n_features
    else:
        check_n_features(source.n_features, estimator.n_features_in_, type(estimator).__name__)


def _check_names_of_file(estimator: BaseEstimator, source: Source, *, reset: bool) -> None:
    """Names in a file are recorded; a file without names (.npy) says nothing: only other names are an error."""
    names = source.feature_names
    known = getattr(estimator, "feature_names_in_", None)
    if reset:
        if names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
        elif known is not None:
            del estimator.feature_names_in_
    elif names is not None and known is not None and list(names) != list(known):
        raise DataError(
            "The feature names should match those that were passed during fit: "
            f"expected {list(known)}, got {list(names)} from {source.description}."
        )
