"""Names of metrics: scikit-learn's many, and the first name of each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from typing import Any

from gpuclust import config
from gpuclust.errors import ParameterError
from gpuclust.protocol.parameters import InvalidParameter, check_parameters

__all__ = ["SYNONYMS", "checked_metric"]

SYNONYMS = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan"}
_POWERS = {1: "manhattan", 2: "euclidean", math.inf: "chebyshev"}


def checked_metric(estimator: Any, metrics: Collection[str]) -> str:
    """Check every parameter of an estimator of neighbours; return its metric by its first name.

    Parameters
    ----------
    estimator
        With the parameters `metric`, `p`, `metric_params` and `device`.
    metrics
        What `metric` may be.

    Raises
    ------
    InvalidParameter
        A parameter breaks its rule.
    ParameterError
        `device` names several GPUs.
    """
    metric, p = estimator.metric, estimator.p
    if callable(metric):
        raise InvalidParameter(
            f"metric={metric!r} is callable, which cannot run in compiled kernels: it should be one of "
            f"{sorted(metrics)}."
        )
    check_parameters(estimator)
    device = config.resolve_device(estimator.device)
    if len(config.gpu_numbers(device)) > 1:
        raise ParameterError(f"device={device!r} names several GPUs; neighbours are sought on one.")
    if estimator.metric_params:
        if metric != "minkowski" or set(estimator.metric_params) != {"p"}:
            raise InvalidParameter(
                f"metric_params={estimator.metric_params!r} should be None, or {{'p': p}} with metric='minkowski'."
            )
        if p is not None:
            warnings.warn(
                "Parameter p is found in metric_params. The corresponding parameter from __init__ is ignored.",
                SyntaxWarning,
                stacklevel=3,
            )
        p = estimator.metric_params["p"]
    if metric != "minkowski":
        return SYNONYMS.get(metric, metric)
    if p is not None and p not in _POWERS:
        raise InvalidParameter(f"p={p!r} should be 1, 2 or infinity with metric='minkowski'.")
    return _POWERS[2 if p is None else p]
