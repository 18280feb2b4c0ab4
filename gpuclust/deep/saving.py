"""Fitted estimators with a network as what is stored of them: a description that JSON knows, and named arrays.

The description holds the class (from a fixed list), parameters, the network's configuration, the history of its
training, names of features; the arrays are weights and whatever else has many numbers. `gpuclust.save_model` and
`gpuclust.load_model` put both into a file (`gpuclust._container`). Weights on a GPU are stored as those on the host:
a CPU loads what a GPU trained. Of a fit there is left out what belongs to its rows or its process: `labels_`,
`suggestion_`, and the parameters verbose, callback and checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gpuclust.deep._autoencoder import Autoencoder
from gpuclust.deep._base import BaseAutoencoder
from gpuclust.deep._deep_clustering import DeepClustering
from gpuclust.deep._variational import VariationalAutoencoder
from gpuclust.deep.clustering.heads import HEADS
from gpuclust.deep.history import History
from gpuclust.deep.models import VariationalModel, from_configuration
from gpuclust.deep.parameters import built, described
from gpuclust.deep.scaling import Scaling
from gpuclust.errors import MissingDependencyError, ModelError
from gpuclust.protocol import check_parameters

__all__ = ["describe", "rebuild"]

Arrays: TypeAlias = dict[str, np.ndarray]

_FORMAT = 1
_AUTOENCODERS: dict[str, type[BaseAutoencoder]] = {
    kind.__name__: kind for kind in (Autoencoder, VariationalAutoencoder)
}
#: Arrays of the codes of the training rows, of those estimators that have them.
_OF_CODES = ("code_mean_", "code_covariance_")


def describe(estimator: BaseEstimator) -> tuple[dict[str, Any], Arrays]:
    """What is stored of a fitted estimator.

    Raises
    ------
    ParameterError
        A parameter cannot be stored without pickle: a RandomState object, an estimator that is not gpuclust's.
    ModelError
        The clusterer of the codes cannot.
    sklearn.exceptions.NotFittedError
        The estimator is not fitted.
    """
    check_is_fitted(estimator, "history_")
    kind = _of_clustering if isinstance(estimator, DeepClustering) else _of_autoencoder
    stored, arrays = kind(estimator)
    return {"format": _FORMAT, **stored}, {name: np.asarray(values, order="C") for name, values in arrays.items()}


def rebuild(stored: Mapping[str, Any], arrays: Arrays) -> BaseEstimator:
    """The estimator of which `describe` gave these, on the CPU; whether they make sense is checked here.

    Raises
    ------
    ModelError
        They are of another version, or contradict each other.
    """
    if stored["format"] != _FORMAT:
        raise ModelError(f"has format version {stored['format']!r}; this gpuclust reads version {_FORMAT}.")
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ModelError(f"has {name} that is not finite.")
    kind = _clustering if stored["estimator"] == DeepClustering.__name__ else _autoencoder
    try:
        return kind(stored, arrays)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, ModelError | MissingDependencyError):
            raise
        raise ModelError(f"is inconsistent ({type(error).__name__}: {' '.join(str(error).split())}).") from error


# -- autoencoders --------------------------------------------------------------------------------------------------


def _of_autoencoder(estimator: BaseAutoencoder) -> tuple[dict[str, Any], Arrays]:
    names = getattr(estimator, "feature_names_in_", None)
    stored = {
        **described(estimator),
        "network": estimator.model_.configuration(),
        "history": estimator.history_.as_dict(),
        "seed": estimator._seed,
        "feature_names": None if names is None else [str(name) for name in names],
    }
    arrays = {f"network.{name}": _array(value) for name, value in estimator.model_.state_dict().items()}
    arrays |= {f"scaling.{name}": _array(value) for name, value in vars(estimator.scaling_).items()}
    arrays |= {name: getattr(estimator, name) for name in _OF_CODES if hasattr(estimator, name)}
    return stored, arrays


def _autoencoder(stored: Mapping[str, Any], arrays: Arrays) -> BaseAutoencoder:
    estimator = built(stored, _AUTOENCODERS)
    check_parameters(estimator)
    model = from_configuration(stored["network"])
    if (model.latent, isinstance(model, VariationalModel)) != (estimator.n_components, estimator._variational):
        raise ModelError("has another network than its parameters say.")
    model.load_state_dict(_tensors(arrays, "network."))
    scaling, d = Scaling(**_tensors(arrays, "scaling.")), model.n_features
    if not scaling.shift.shape == scaling.factor.shape == (d,) or not bool(scaling.factor.all()):
        raise ModelError(f"has a scaling that is not one of {d} features.")
    estimator.model_, estimator.scaling_ = model.eval(), scaling
    estimator.history_ = History.from_dict(stored["history"])
    estimator.n_iter_ = len(estimator.history_)
    estimator._seed = int(stored["seed"])
    estimator._modalities = {part.name: part.modality for part in model.parts}
    estimator._widths = {part.name: part.n_features for part in model.parts}
    _set_features(estimator, d, stored["feature_names"])
    if isinstance(estimator, Autoencoder):
        for name, shape in zip(_OF_CODES, ((model.latent,), (model.latent, model.latent)), strict=True):
            if arrays[name].shape != shape:
                raise ModelError(f"has {name} of shape {arrays[name].shape}, which should be {shape}.")
            setattr(estimator, name, arrays[name].copy())
    return estimator


# -- clusterings of codes ------------------------------------------------------------------------------------------


def _of_clustering(estimator: DeepClustering) -> tuple[dict[str, Any], Arrays]:
    autoencoder, arrays = _of_autoencoder(estimator.autoencoder_)
    head, decoded = estimator.head_, estimator.decoded_centers_
    stored = {
        **described(estimator),
        "autoencoder": autoencoder,
        "head": {"name": head.name, "settings": head.settings()},
        "history": estimator.history_.as_dict(),
        "restarts": estimator.restarts_,
    }
    arrays = {f"autoencoder.{name}": values for name, values in arrays.items()}
    arrays |= {f"head.{name}": _array(value) for name, value in head.tensors().items()}
    named = decoded if isinstance(decoded, dict) else {"": decoded}
    arrays |= {f"decoded_centers.{name}": values for name, values in named.items()}
    return stored, arrays


def _clustering(stored: Mapping[str, Any], arrays: Arrays) -> DeepClustering:
    estimator = built(stored, {DeepClustering.__name__: DeepClustering})
    check_parameters(estimator)
    autoencoder = _autoencoder(stored["autoencoder"], _under(arrays, "autoencoder."))
    head = HEADS[stored["head"]["name"]].restore(stored["head"]["settings"], _tensors(arrays, "head."))
    k, latent = head.centers.shape
    if latent != autoencoder.n_components:
        raise ModelError(f"has centres of {latent} numbers for codes of {autoencoder.n_components}.")
    decoded = {name: values.copy() for name, values in _under(arrays, "decoded_centers.").items()}
    widths = {"": autoencoder.n_features_in_} if autoencoder.modalities is None else autoencoder._widths
    if {name: values.shape for name, values in decoded.items()} != {name: (k, d) for name, d in widths.items()}:
        raise ModelError("has decoded centres that are not those of its centres.")
    estimator.autoencoder_, estimator.head_ = autoencoder, head
    estimator.cluster_centers_, estimator.n_clusters_ = head.centers.numpy(force=True), k
    estimator.decoded_centers_ = decoded if autoencoder.modalities is not None else decoded[""]
    estimator.history_ = History.from_dict(stored["history"])
    estimator.restarts_ = [dict(restart) for restart in stored["restarts"]]
    _set_features(estimator, autoencoder.n_features_in_, stored["autoencoder"]["feature_names"])
    return estimator


def _set_features(estimator: Any, n_features: int, names: list[str] | None) -> None:
    estimator.n_features_in_ = n_features
    if names is not None:
        if len(names) != n_features:
            raise ModelError(f"has {len(names)} feature names for {n_features} features.")
        estimator.feature_names_in_ = np.array(names, dtype=object)


def _array(value: Tensor) -> np.ndarray:
    return value.numpy(force=True)


def _tensors(arrays: Arrays, prefix: str) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value.copy()) for name, value in _under(arrays, prefix).items()}


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
