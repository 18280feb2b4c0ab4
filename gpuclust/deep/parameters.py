"""Parameters of estimators as JSON knows them, and back, bit for bit: tuples, architectures, estimators too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

from gpuclust import cluster
from gpuclust.deep._autoencoder import Autoencoder
from gpuclust.deep._variational import VariationalAutoencoder
from gpuclust.deep.modalities import Modality
from gpuclust.deep.networks import Architecture
from gpuclust.errors import ModelError, ParameterError

__all__ = ["built", "described"]

_Kind = TypeVar("_Kind", bound=BaseEstimator)

#: Estimators that may be a parameter of another.
_PARAMETERS: dict[str, type[BaseEstimator]] = {
    **{kind.__name__: kind for kind in (Autoencoder, VariationalAutoencoder)},
    **{name: getattr(cluster, name) for name in cluster.__all__},
}
_NOT_STORED = {"callback", "checkpoint", "verbose"}  # they concern the process that fits, not the model


def described(estimator: BaseEstimator) -> dict[str, Any]:
    """Class and parameters of an estimator.

    Raises
    ------
    ParameterError
        A parameter cannot be stored without pickle: a RandomState object, an estimator that is not gpuclust's.
    """
    params = estimator.get_params(deep=False)
    return {
        "estimator": type(estimator).__name__,
        "params": {name: _plain(value, name) for name, value in params.items() if name not in _NOT_STORED},
    }


def built(stored: Mapping[str, Any], known: Mapping[str, type[_Kind]]) -> _Kind:
    """The estimator, not fitted, of which `described` gave this; ModelError if it is none of the ``known``."""
    name = stored["estimator"]
    if name not in known:
        raise ModelError(f"holds estimator={name!r}, which should be one of {sorted(known)}.")
    return known[name](**{name: _value(plain) for name, plain in stored["params"].items()})


def _plain(value: Any, name: str) -> Any:
    """A parameter as JSON knows it: numbers and strings as they are, anything else as an object of its kind."""
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case str() | int() | float() | None:
            return value
        case tuple() | list():
            return {type(value).__name__: [_plain(entry, name) for entry in value]}
        case Mapping() if all(isinstance(key, str) for key in value):
            return {"dict": {key: _plain(entry, f"{name}[{key!r}]") for key, entry in value.items()}}
        case Architecture() | Modality():
            fields = {key: getattr(value, key) for key in value.__dataclass_fields__}
            return {type(value).__name__: {key: _plain(entry, name) for key, entry in fields.items()}}
        case np.ndarray() if value.dtype.kind in "fiu":
            return {"array": value.tolist(), "dtype": value.dtype.str}
        case BaseEstimator() if _PARAMETERS.get(type(value).__name__) is type(value):
            return described(value)
    raise ParameterError(
        f"{name}={value!r} cannot be saved with a model; it should be a number, a string, None, or made of these; an "
        f"estimator, one of {sorted(_PARAMETERS)}."
    )


def _value(plain: Any) -> Any:
    """The parameter of which `_plain` gave this."""
    match plain:
        case {"tuple": entries}:
            return tuple(_value(entry) for entry in entries)
        case {"list": entries}:
            return [_value(entry) for entry in entries]
        case {"dict": entries}:
            return {key: _value(entry) for key, entry in entries.items()}
        case {"Architecture": fields}:
            return Architecture(**{key: _value(entry) for key, entry in fields.items()})
        case {"Modality": fields}:
            return Modality(**{key: _value(entry) for key, entry in fields.items()})
        case {"array": entries, "dtype": dtype}:
            return np.array(entries, dtype=dtype)
        case {"estimator": _, "params": _}:
            return built(plain, _PARAMETERS)
        case str() | int() | float() | None:
            return plain
    raise ModelError(f"holds a parameter that is not one: {plain!r}.")
