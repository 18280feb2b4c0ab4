"""Fitted estimators on disk: one safetensors file, never pickle, verified before anything in it is believed.

The file holds the fitted arrays as tensors and, in the safetensors metadata, two strings:

``gpuclust``
    A JSON object: format version, estimator class (from a fixed list), parameters, scalar attributes, feature names.
``sha256``
    The SHA-256 of that JSON text and of every tensor's name, dtype, shape and bytes.

safetensors itself notices a broken header but no flipped bit in a tensor; the checksum notices both. It protects
against accidents. Against malice, loading runs no code from the file: only numbers and strings come out of it.

``labels_`` is not stored: it belongs to the training rows and is as long as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from gpuclust.errors import ModelError, ParameterError
from gpuclust.jobs.files import write_bytes
from gpuclust.jobs.outputs import output_file

if TYPE_CHECKING:
    from gpuclust.cluster import KMeans, MiniBatchKMeans

__all__ = ["MODEL_FILE", "load_model", "save_model"]

MODEL_FILE = "model.safetensors"
_FORMAT = 1
_MAX_HEADER = 1 << 24  # bytes of JSON; room for some hundred thousand feature names

# What makes a fitted estimator: its arrays, with one row or element per cluster, and its scalars. Those of
# MiniBatchKMeans include what `partial_fit` goes on from.
_ARRAYS: dict[str, tuple[str, ...]] = {
    "KMeans": ("cluster_centers_",),
    "MiniBatchKMeans": ("cluster_centers_", "_counts"),
}
_SCALARS: dict[str, tuple[str, ...]] = {
    "KMeans": ("inertia_", "n_iter_"),
    "MiniBatchKMeans": ("inertia_", "n_iter_", "n_steps_", "_rows_since_reassignment", "_seed"),
}
_NOT_STORED = {"callback", "verbose"}  # they concern the process that fits, not the model
_INIT_ARRAY = "init"  # tensor name of an ``init`` given as an array


def save_model(estimator: KMeans | MiniBatchKMeans, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to ``path``, replacing an older file there by one rename.

    Raises
    ------
    ParameterError
        A parameter cannot be stored without pickle: a callable ``init``, a RandomState object.
    OutputError
        The file cannot be written.
    sklearn.exceptions.NotFittedError
        The estimator is not fitted.
    """
    content = _encode(estimator)
    with output_file(path) as partial:
        write_bytes(partial, content)


def load_model(path: str | os.PathLike[str]) -> KMeans | MiniBatchKMeans:
    """Read an estimator written by :func:`save_model`, or the one in a result folder of ``gpuclust kmeans``.

    Raises
    ------
    ModelError
        The file is missing, corrupt in any bit, of an unknown version or class, or inconsistent.
    """
    file = Path(path)
    if file.is_dir():
        file = file / MODEL_FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"model={str(file)!r} cannot be read: {error.strerror or error}.") from error
    try:
        return _decode(content)
    except ModelError as error:
        raise ModelError(f"model={str(file)!r} {error}") from error.__cause__


def _encode(estimator: KMeans | MiniBatchKMeans) -> bytes:
    from safetensors.numpy import save
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    if name not in _ARRAYS:
        raise ParameterError(f"estimator={name!r} cannot be saved; it should be one of {sorted(_ARRAYS)}.")
    check_is_fitted(estimator, "cluster_centers_")
    tensors = {key: np.ascontiguousarray(getattr(estimator, key)) for key in _ARRAYS[name]}
    params = {key: value for key, value in estimator.get_params(deep=False).items() if key not in _NOT_STORED}
    if not isinstance(params["init"], str) and not callable(params["init"]):
        tensors[_INIT_ARRAY] = np.ascontiguousarray(params.pop("init"), dtype=np.float64)
    names = getattr(estimator, "feature_names_in_", None)
    text = json.dumps(
        {
            "format": _FORMAT,
            "estimator": name,
            "params": {key: _plain(key, value) for key, value in params.items()},
            "attributes": {key: _plain(key, getattr(estimator, key, None)) for key in _SCALARS[name]},
            "n_features": int(estimator.n_features_in_),
            "dtype": str(tensors["cluster_centers_"].dtype),
            "feature_names": None if names is None else [str(column) for column in names],
        }
    )
    return save(tensors, {"gpuclust": text, "sha256": _checksum(text, tensors)})


def _decode(content: bytes) -> KMeans | MiniBatchKMeans:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(content) - 8):
        _refuse("is not a gpuclust model: it does not start with the header of a safetensors file.")
    try:
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        text, checksum = metadata["gpuclust"], metadata["sha256"]
        tensors = load(content)
        intact = _checksum(text, tensors) == checksum
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"is not a gpuclust model, or it is corrupt ({type(error).__name__}: {error}).") from error
    if not intact:
        _refuse("is corrupt: its contents do not match their SHA-256.")
    try:
        return _rebuild(json.loads(text), tensors)
    except ModelError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"is inconsistent ({type(error).__name__}: {error}).") from error


def _rebuild(stored: dict[str, Any], tensors: dict[str, np.ndarray]) -> KMeans | MiniBatchKMeans:
    """Build the estimator from contents that are intact; whether they make sense is checked here."""
    from gpuclust import cluster

    if stored["format"] != _FORMAT:
        _refuse(f"has format version {stored['format']!r}; this gpuclust reads version {_FORMAT}.")
    name = stored["estimator"]
    if name not in _ARRAYS:
        _refuse(f"holds estimator={name!r}, which should be one of {sorted(_ARRAYS)}.")
    centers = tensors["cluster_centers_"]
    if centers.ndim != 2 or centers.shape[1] != stored["n_features"] or str(centers.dtype) != stored["dtype"]:
        _refuse(
            f"has centres of shape {centers.shape} and dtype {centers.dtype}, "
            f"which should be (n_clusters, {stored['n_features']!r}) and {stored['dtype']}."
        )
    if centers.dtype not in (np.float32, np.float64) or not centers.size or not np.isfinite(centers).all():
        _refuse("has centres that are not finite float32 or float64 numbers.")
    params = dict(stored["params"])
    if _INIT_ARRAY in tensors:
        params["init"] = tensors[_INIT_ARRAY].copy()
    if params["n_clusters"] != len(centers):
        _refuse(f"has {len(centers)} centres for n_clusters={params['n_clusters']!r}.")
    names = stored["feature_names"]
    if names is not None and len(names) != centers.shape[1]:
        _refuse(f"has {len(names)} feature names for {centers.shape[1]} features.")

    estimator: KMeans | MiniBatchKMeans = getattr(cluster, name)(**params)
    for key in _ARRAYS[name]:
        if len(tensors[key]) != len(centers):
            _refuse(f"has {len(centers)} centres and {len(tensors[key])} elements of {key}.")
        setattr(estimator, key, tensors[key].copy())  # what safetensors returns is read-only
    for key in _SCALARS[name]:
        value = stored["attributes"][key]
        if value is not None:  # None: the estimator had none, as after partial_fit
            setattr(estimator, key, float(value) if key == "inertia_" else int(value))
    estimator.n_features_in_ = centers.shape[1]
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def _checksum(text: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"\n{name} {tensors[name].dtype.str} {tensors[name].shape}\n".encode())
        digest.update(tensors[name].data)
    return digest.hexdigest()


def _plain(name: str, value: object) -> object:
    """Return ``value`` as JSON knows it; ParameterError when that would need pickle."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, str | int | float | bool | None):
        raise ParameterError(f"{name}={value!r} cannot be saved with a model; it should be a number, a string or None.")
    return value


def _refuse(message: str) -> NoReturn:
    raise ModelError(message)
