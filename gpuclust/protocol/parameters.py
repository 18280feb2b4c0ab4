"""Checks of constructor parameters, with errors that are gpuclust's and scikit-learn's in one."""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import InvalidParameterError

from gpuclust.errors import ParameterError

__all__ = ["InvalidParameter", "check_parameters"]


class InvalidParameter(ParameterError, InvalidParameterError):
    """A constructor parameter breaks its rule: gpuclust's error and scikit-learn's in one."""


def check_parameters(estimator: BaseEstimator) -> None:
    """Check every constructor parameter against its rule.

    Raises
    ------
    InvalidParameter
        The message names the parameter, the rule and the value received.
    """
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        raise InvalidParameter(str(error)) from None
