"""Clustering of large numeric datasets, with one answer everywhere.

Public names are loaded when they are first used (PEP 562), so that importing gpuclust costs milliseconds and loads no
numba, scikit-learn, torch or CuPy:

- `DBSCAN`, `GaussianMixture`, `KMeans`, `MiniBatchKMeans`, `NearestNeighbors`, `XMeans`: estimators with
  scikit-learn's protocol;
- `Autoencoder`, `VariationalAutoencoder`: the same for codes of rows, learned by a network;
- `DeepClustering`: clusters in such codes, from raw rows to labels;
- `suggest_k`, `suggest_eps`: parameters for them, and why;
- `explain`: what makes each cluster;
- `stability`: how far a clustering depends on its seed;
- `save_model`, `load_model`: fitted estimators on disk;
- `config`: the choice of the device (`config.device`, `config.set_device`);
- `errors`: every exception and warning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpuclust import config, errors

if TYPE_CHECKING:
    from gpuclust.cluster import DBSCAN, GaussianMixture, KMeans, MiniBatchKMeans, XMeans
    from gpuclust.deep import Autoencoder, DeepClustering, VariationalAutoencoder
    from gpuclust.jobs.model import load_model, save_model
    from gpuclust.metrics import stability
    from gpuclust.neighbors import NearestNeighbors
    from gpuclust.report import explain
    from gpuclust.select import suggest_eps, suggest_k

    __version__: str

__all__ = [
    "DBSCAN",
    "Autoencoder",
    "DeepClustering",
    "GaussianMixture",
    "KMeans",
    "MiniBatchKMeans",
    "NearestNeighbors",
    "VariationalAutoencoder",
    "XMeans",
    "__version__",
    "config",
    "errors",
    "explain",
    "load_model",
    "save_model",
    "stability",
    "suggest_eps",
    "suggest_k",
]

_LAZY = {
    "Autoencoder": "gpuclust.deep",
    "DBSCAN": "gpuclust.cluster",
    "DeepClustering": "gpuclust.deep",
    "GaussianMixture": "gpuclust.cluster",
    "KMeans": "gpuclust.cluster",
    "MiniBatchKMeans": "gpuclust.cluster",
    "NearestNeighbors": "gpuclust.neighbors",
    "VariationalAutoencoder": "gpuclust.deep",
    "XMeans": "gpuclust.cluster",
    "explain": "gpuclust.report",
    "load_model": "gpuclust.jobs.model",
    "save_model": "gpuclust.jobs.model",
    "stability": "gpuclust.metrics",
    "suggest_eps": "gpuclust.select",
    "suggest_k": "gpuclust.select",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _installed_version()
    elif name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gpuclust")
    except PackageNotFoundError:  # a bare checkout on sys.path
        return "0+unknown"
