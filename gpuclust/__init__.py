"""Clustering of large numeric datasets, with one answer everywhere.

Public names are loaded when they are first used (PEP 562), so that importing gpuclust costs milliseconds and loads no
numba, scikit-learn, torch or CuPy:

- `DBSCAN`, `GaussianMixture`, `KMeans`, `MiniBatchKMeans`, `NearestNeighbors`, `XMeans`: estimators with
  scikit-learn's protocol;
- `Autoencoder`, `VariationalAutoencoder`: the same for codes of rows, learned by a network;
- `suggest_k`, `suggest_eps`: parameters for them, and why;
- `config`: the choice of the device (`config.device`, `config.set_device`);
- `errors`: every exception and warning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpuclust import config, errors

if TYPE_CHECKING:
    from gpuclust.cluster import DBSCAN, GaussianMixture, KMeans, MiniBatchKMeans, XMeans
    from gpuclust.deep import Autoencoder, VariationalAutoencoder
    from gpuclust.neighbors import NearestNeighbors
    from gpuclust.select import suggest_eps, suggest_k

    __version__: str

__all__ = [
    "DBSCAN",
    "Autoencoder",
    "GaussianMixture",
    "KMeans",
    "MiniBatchKMeans",
    "NearestNeighbors",
    "VariationalAutoencoder",
    "XMeans",
    "__version__",
    "config",
    "errors",
    "suggest_eps",
    "suggest_k",
]

_LAZY = {
    "Autoencoder": "gpuclust.deep",
    "DBSCAN": "gpuclust.cluster",
    "GaussianMixture": "gpuclust.cluster",
    "KMeans": "gpuclust.cluster",
    "MiniBatchKMeans": "gpuclust.cluster",
    "NearestNeighbors": "gpuclust.neighbors",
    "VariationalAutoencoder": "gpuclust.deep",
    "XMeans": "gpuclust.cluster",
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
