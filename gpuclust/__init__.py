"""Clustering of large numeric datasets, with one answer everywhere.

Public names are loaded when they are first used (PEP 562), so that importing gpuclust costs milliseconds and loads no
numba, scikit-learn, torch or CuPy:

- `DBSCAN`, `KMeans`, `MiniBatchKMeans`: estimators with scikit-learn's protocol;
- `config`: the choice of the device (`config.device`, `config.set_device`);
- `errors`: every exception and warning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpuclust import config, errors

if TYPE_CHECKING:
    from gpuclust.cluster import DBSCAN, KMeans, MiniBatchKMeans

    __version__: str

__all__ = ["DBSCAN", "KMeans", "MiniBatchKMeans", "__version__", "config", "errors"]

_LAZY = {"DBSCAN": "gpuclust.cluster", "KMeans": "gpuclust.cluster", "MiniBatchKMeans": "gpuclust.cluster"}


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
