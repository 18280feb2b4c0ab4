"""A clusterer of codes: gpuclust's own, which takes them where they lie, or any with scikit-learn's protocol.

Those of gpuclust read a tensor through DLPack, without a copy, on its device, and can be stored as tensors and
settings. Others get a NumPy array, and cannot be stored: that would take pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from gpuclust import cluster
from gpuclust.errors import ModelError, ParameterError
from gpuclust.protocol import InvalidParameter
from gpuclust.validation import to_host

__all__ = [
    "centers_of",
    "check_clusterer",
    "fit_predict",
    "means",
    "number_of_clusters",
    "predict",
    "prepared",
    "proba",
    "restore",
    "stored",
]

#: Attributes from which a fitted clusterer predicts: arrays, and single numbers.
_FITTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "DBSCAN": (("components_", "_component_labels"), ("eps_",)),
    "GaussianMixture": (("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"), ()),
    "KMeans": (("cluster_centers_",), ()),
    "MiniBatchKMeans": (("cluster_centers_",), ()),
    "XMeans": (("cluster_centers_",), ()),
}


def check_clusterer(clusterer: Any) -> None:
    """Check that ``clusterer`` is an estimator that clusters.

    Raises
    ------
    InvalidParameter
        It is not.
    """
    if isinstance(clusterer, type) or not (hasattr(clusterer, "fit_predict") and hasattr(clusterer, "get_params")):
        raise InvalidParameter(
            f"clusterer={clusterer!r} should be an estimator with fit_predict and get_params, such as KMeans(8) or "
            "scikit-learn's HDBSCAN()."
        )


def number_of_clusters(clusterer: Any) -> str | None:
    """The parameter that tells a clusterer how many clusters to find; None if it finds out, as DBSCAN does."""
    has = clusterer.get_params()
    return next((name for name in ("n_clusters", "n_components") if has.get(name) is not None), None)


def prepared(clusterer: Any, n_clusters: int, seed: int) -> Any:
    """A clone with this seed, and this number of clusters if it is one that is told a number."""
    found, number = clone(clusterer), number_of_clusters(clusterer)
    known: dict[str, Any] = {} if number is None else {number: n_clusters}
    if "random_state" in found.get_params():
        known["random_state"] = seed
    return found.set_params(**known)


def fit_predict(clusterer: Any, codes: Tensor | np.ndarray) -> np.ndarray:
    """Fit a clusterer, return the labels of the codes (n, latent): (n,) int32, -1 for noise."""
    return _labels(clusterer.fit_predict(_readable(clusterer, codes)))


def predict(clusterer: Any, codes: Tensor | np.ndarray) -> np.ndarray:
    """Labels of new codes, (n,) int32.

    Raises
    ------
    ParameterError
        The clusterer labels only what it was fitted to.
    """
    if not hasattr(clusterer, "predict"):
        raise ParameterError(
            f"clusterer={clusterer!r} has no predict: it labels only the rows that it was fitted to, which are in "
            "labels_. For new rows take one that has, such as KMeans, GaussianMixture or gpuclust's DBSCAN."
        )
    return _labels(clusterer.predict(_readable(clusterer, codes)))


def proba(clusterer: Any, codes: Tensor | np.ndarray) -> np.ndarray | None:
    """Probabilities (n, k) of a clusterer that has them, else None."""
    if not hasattr(clusterer, "predict_proba"):
        return None
    return np.asarray(to_host(clusterer.predict_proba(_readable(clusterer, codes))))


def centers_of(clusterer: Any, codes: Tensor, labels: np.ndarray) -> Tensor:
    """Centres (k, latent) float32: the clusterer's own if it has some in the space of the codes, else `means`."""
    own = getattr(clusterer, "cluster_centers_", getattr(clusterer, "means_", None))
    # Those of cosine distances are directions.
    if own is None or np.ndim(own) != 2 or getattr(clusterer, "metric", "") == "cosine":
        return means(codes, labels)
    return torch.as_tensor(np.asarray(to_host(own), np.float32), device=codes.device)


def means(codes: Tensor, labels: np.ndarray, n_clusters: int | None = None) -> Tensor:
    """Mean of the codes (n, latent) of each cluster, (k, latent) float32 where the codes are.

    Summed in float64, in the order of the rows. Noise counts nowhere; a cluster without rows gets the mean of all.
    """
    values, k = codes.numpy(force=True).astype(np.float64), int(labels.max(initial=-1)) + 1
    k = k if n_clusters is None else n_clusters
    found, member = np.tile(values.mean(0), (k, 1)), labels >= 0
    sizes = np.bincount(labels[member], minlength=k)
    for column, sums in zip(values[member].T, found.T, strict=True):
        sums[sizes > 0] = (np.bincount(labels[member], column, k) / np.maximum(sizes, 1))[sizes > 0]
    return torch.as_tensor(found.astype(np.float32), device=codes.device)


def stored(clusterer: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `restore` needs of a fitted clusterer: settings, as JSON knows them, and tensors.

    Parameters that JSON does not know, initial centres and callbacks, concern fitting: they come back as the defaults.

    Raises
    ------
    ModelError
        It is not gpuclust's.
    """
    name = type(clusterer).__name__
    if not isinstance(clusterer, _OURS) or name not in _FITTED:
        raise ModelError(
            f"clusterer={clusterer!r} cannot be saved without pickle; those that can are {sorted(_FITTED)} of gpuclust."
        )
    arrays, numbers = _FITTED[name]
    usual = type(clusterer)().get_params(deep=False)
    params = {key: value for key, value in clusterer.get_params(deep=False).items() if value is not usual[key]}
    settings = {
        "class": name,
        "params": {key: value for key, value in params.items() if isinstance(value, str | int | float | bool | None)},
        "numbers": {key: float(getattr(clusterer, key)) for key in numbers},
        "n_features": int(clusterer.n_features_in_),
    }
    return settings, {key: torch.from_numpy(np.ascontiguousarray(getattr(clusterer, key))) for key in arrays}


def restore(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    """The clusterer of which ``stored`` tells."""
    arrays, numbers = _FITTED[settings["class"]]
    clusterer = getattr(cluster, settings["class"])(**settings["params"])
    for key in arrays:
        setattr(clusterer, key, tensors[key].numpy(force=True).copy())
    for key in numbers:
        setattr(clusterer, key, settings["numbers"][key])
    clusterer.n_features_in_ = settings["n_features"]
    return clusterer


_OURS = tuple(getattr(cluster, name) for name in _FITTED)


def _readable(clusterer: Any, codes: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """The codes as they lie for one of ours; a NumPy array for others."""
    if isinstance(codes, np.ndarray) or isinstance(clusterer, _OURS):
        return codes
    return codes.numpy(force=True)


def _labels(labels: Any) -> np.ndarray:
    return np.asarray(to_host(labels)).astype(np.int32, copy=False)
