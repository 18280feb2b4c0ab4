"""Fitted estimators on disk: one safetensors file, never pickle, verified before anything in it is believed.

The file (see `gpuclust._container`) holds the fitted arrays as tensors and a JSON object: format version, estimator
class (from a fixed list), parameters, scalar attributes, feature names. What there is to store of an estimator with a
network, `gpuclust.deep.saving` knows.

``labels_`` is not stored: it belongs to the training rows and is as long as they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from gpuclust._container import pack, unpack
from gpuclust.errors import ModelError, ParameterError
from gpuclust.jobs.files import write_bytes
from gpuclust.jobs.outputs import output_file

if TYPE_CHECKING:
    from gpuclust.cluster import DBSCAN, GaussianMixture, KMeans, MiniBatchKMeans, XMeans
    from gpuclust.deep import Autoencoder, DeepClustering, VariationalAutoencoder

    Network: TypeAlias = Autoencoder | VariationalAutoencoder | DeepClustering
    Model: TypeAlias = KMeans | MiniBatchKMeans | XMeans | DBSCAN | GaussianMixture | Network

__all__ = ["MODEL_FILE", "configured", "load_model", "save_model"]

MODEL_FILE = "model.safetensors"
_FORMAT = 1


class _Kind(NamedTuple):
    """What makes a fitted estimator.

    Attributes
    ----------
    rows : str
        Attribute (m, n_features), float32 or float64: what new rows are compared with.
    number : str or None
        The parameter that says how many rows these are, unless it is "auto"; None: any number.
    beside : dict
        Attributes with one number >= 0 for each of these rows, and their dtypes.
    scalars : dict
        Attributes that are one number, and their types; None where the estimator has none, as after `partial_fit`.
    covariances : tuple of str
        Attributes of the shape that the covariances of Gaussian components have, float64.
    """

    rows: str
    number: str | None
    beside: dict[str, str]
    scalars: dict[str, type]
    covariances: tuple[str, ...] = ()


_KINDS = {
    "KMeans": _Kind("cluster_centers_", "n_clusters", {}, {"inertia_": float, "n_iter_": int, "n_clusters_": int}),
    "MiniBatchKMeans": _Kind(  # with what `partial_fit` goes on from
        "cluster_centers_",
        "n_clusters",
        {"_counts": "float64"},
        {"inertia_": float, "n_iter_": int, "n_steps_": int, "_rows_since_reassignment": int, "_seed": int},
    ),
    "XMeans": _Kind(
        "cluster_centers_",
        None,
        {},
        {"inertia_": float, "n_iter_": int, "n_clusters_": int, "n_rounds_": int},
    ),
    "DBSCAN": _Kind("components_", None, {"_component_labels": "int32"}, {"eps_": float}),
    "GaussianMixture": _Kind(
        "means_",
        "n_components",
        {"weights_": "float64"},
        {"converged_": bool, "n_iter_": int, "lower_bound_": float},
        ("covariances_", "precisions_", "precisions_cholesky_"),
    ),
}
_NETWORKS = ("Autoencoder", "DeepClustering", "VariationalAutoencoder")
_NOT_STORED = {"callback", "verbose"}  # they concern the process that fits, not the model
_INIT_ARRAY = "init"  # tensor name of an ``init`` given as an array


def save_model(estimator: Model, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to ``path``, replacing an older file there by one rename.

    Raises
    ------
    ParameterError
        A parameter cannot be stored without pickle: a callable ``init``, a RandomState object. Or the estimator was
        fitted to precomputed distances: it has nothing with which new rows could be compared.
    OutputError
        The file cannot be written.
    sklearn.exceptions.NotFittedError
        The estimator is not fitted.
    """
    content = _encode(estimator)
    with output_file(path) as partial:
        write_bytes(partial, content)


def load_model(path: str | os.PathLike[str], *, device: str | None = None) -> Model:
    """Read an estimator written by :func:`save_model`, or the one in a result folder of the command line.

    Parameters
    ----------
    path : path
    device : str, optional
        In place of the ``device`` that the estimator was fitted with, as where that is a GPU and here is none.

    Returns
    -------
    estimator
        Fitted, with the parameters of the one that was saved (but ``verbose``, ``callback`` and ``checkpoint``), and
        the same results to the last bit.

    Raises
    ------
    ModelError
        The file is missing, corrupt in any bit, of an unknown version or class, or inconsistent.
    MissingDependencyError
        It holds a network, and torch cannot be imported.
    """
    file = Path(path)
    if file.is_dir():
        file = file / MODEL_FILE
        if not file.exists():
            raise ModelError(
                f"model={str(path)!r} is a folder without {MODEL_FILE}. (Clusters of precomputed distances leave none: "
                "there is nothing with which new rows could be compared.)"
            )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"model={str(file)!r} cannot be read: {error.strerror or error}.") from error
    try:
        estimator = _decode(content)
    except ModelError as error:
        raise ModelError(f"model={str(file)!r} {error}") from error.__cause__
    return estimator if device is None else configured(estimator, device=device)


def configured(estimator: Model, **params: Any) -> Model:
    """The estimator with other parameters that concern where it computes, those of its network too."""
    for part in (estimator, getattr(estimator, "autoencoder_", None)):
        if part is not None:
            part.set_params(**params)
    return estimator


def _encode(estimator: Model) -> bytes:
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    if name in _NETWORKS:
        from gpuclust.deep import saving

        return pack(*saving.describe(estimator))
    if name not in _KINDS:
        raise ParameterError(
            f"estimator={name!r} cannot be saved; it should be one of {sorted([*_KINDS, *_NETWORKS])}."
        )
    kind = _KINDS[name]
    check_is_fitted(estimator, kind.rows)
    if getattr(estimator, "metric", None) == "precomputed":
        raise ParameterError(
            "metric='precomputed' cannot be saved: there is nothing with which new rows could be compared."
        )
    tensors = {
        key: np.ascontiguousarray(getattr(estimator, key)) for key in (kind.rows, *kind.beside, *kind.covariances)
    }
    params = {key: value for key, value in estimator.get_params(deep=False).items() if key not in _NOT_STORED}
    if np.ndim(params.get(_INIT_ARRAY, 0)):
        tensors[_INIT_ARRAY] = np.ascontiguousarray(params.pop(_INIT_ARRAY), dtype=np.float64)
    names = getattr(estimator, "feature_names_in_", None)
    described = {
        "format": _FORMAT,
        "estimator": name,
        "params": {key: _plain(key, value) for key, value in params.items()},
        "attributes": {key: _plain(key, getattr(estimator, key, None)) for key in kind.scalars},
        "n_features": int(estimator.n_features_in_),
        "dtype": str(tensors[kind.rows].dtype),
        "feature_names": None if names is None else [str(column) for column in names],
    }
    return pack(described, tensors)


def _decode(content: bytes) -> Model:
    described, tensors = unpack(content)
    try:
        if described["estimator"] in _NETWORKS:
            from gpuclust.deep import saving

            return saving.rebuild(described, tensors)
        return _rebuild(described, tensors)
    except ModelError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"is inconsistent ({type(error).__name__}: {error}).") from error


def _rebuild(stored: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    """Build the estimator from contents that are intact; whether they make sense is checked here."""
    from gpuclust import cluster

    if stored["format"] != _FORMAT:
        _refuse(f"has format version {stored['format']!r}; this gpuclust reads version {_FORMAT}.")
    name = stored["estimator"]
    if name not in _KINDS:
        _refuse(f"holds estimator={name!r}, which should be one of {sorted([*_KINDS, *_NETWORKS])}.")
    kind = _KINDS[name]
    rows = tensors[kind.rows]
    if rows.ndim != 2 or rows.shape[1] != stored["n_features"] or str(rows.dtype) != stored["dtype"]:
        _refuse(
            f"has {kind.rows} of shape {rows.shape} and dtype {rows.dtype}, "
            f"which should be (m, {stored['n_features']!r}) and {stored['dtype']}."
        )
    if rows.dtype not in (np.float32, np.float64) or not rows.shape[1] or not np.isfinite(rows).all():
        _refuse(f"has {kind.rows} that are not finite float32 or float64 numbers.")
    params = dict(stored["params"])
    if _INIT_ARRAY in tensors:
        params[_INIT_ARRAY] = tensors[_INIT_ARRAY].copy()
    if kind.number is not None and params[kind.number] not in ("auto", len(rows)):
        _refuse(f"has {len(rows)} {kind.rows} for {kind.number}={params[kind.number]!r}.")
    names = stored["feature_names"]
    if names is not None and len(names) != rows.shape[1]:
        _refuse(f"has {len(names)} feature names for {rows.shape[1]} features.")

    estimator: Model = getattr(cluster, name)(**params)
    estimator._validate_params()
    setattr(estimator, kind.rows, rows.copy())  # what safetensors returns is read-only
    for key, dtype in kind.beside.items():
        values = tensors[key]
        if values.shape != (len(rows),) or values.dtype != dtype or not (values >= 0).all():
            _refuse(f"has {key} that are not {len(rows)} {dtype} numbers >= 0.")
        setattr(estimator, key, values.copy())
    for key in kind.covariances:
        _set_covariances(estimator, key, tensors[key])
    for key, convert in kind.scalars.items():
        value = stored["attributes"][key]
        if value is not None:
            setattr(estimator, key, convert(value))
    estimator.n_features_in_ = rows.shape[1]
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def _set_covariances(mixture: GaussianMixture, name: str, values: np.ndarray) -> None:
    from gpuclust.algorithms.covariances import shape_of

    shape = shape_of(mixture.covariance_type, *mixture.means_.shape)
    if values.shape != shape or values.dtype != np.float64 or not np.isfinite(values).all():
        _refuse(f"has {name} that are not finite float64 numbers of shape {shape}.")
    setattr(mixture, name, values.copy())


def _plain(name: str, value: object) -> object:
    """Return ``value`` as JSON knows it; ParameterError when that would need pickle."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, str | int | float | bool | None):
        raise ParameterError(f"{name}={value!r} cannot be saved with a model; it should be a number, a string or None.")
    return value


def _refuse(message: str) -> NoReturn:
    raise ModelError(message)
