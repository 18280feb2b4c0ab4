"""The job behind ``gpuclust kmeans``: a file of rows in, a folder with labels, centres, model and manifest out."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gpuclust.errors import ParameterError
from gpuclust.jobs.events import Report, batch_callback, finite, iteration_callback
from gpuclust.jobs.fit import FitJob, load_array
from gpuclust.jobs.manifest import cluster_sizes, selection
from gpuclust.sources import Source

if TYPE_CHECKING:
    from gpuclust.cluster import KMeans, MiniBatchKMeans

__all__ = ["KMeansJob"]


@dataclass(frozen=True, kw_only=True)
class KMeansJob(FitJob):
    """k-means of the rows of a file.

    Attributes
    ----------
    n_clusters : int or "auto"
    init : str, optional
        A method, or the path of an .npy file with initial centres (n_clusters, n_features).
    minibatch : bool
        Use MiniBatchKMeans instead of KMeans.
    n_init, max_iter, tol, seed, metric, precision, batch_size
        As in the estimators; ``seed`` is their ``random_state``.
    """

    n_clusters: int | str
    init: str | None = None
    n_init: int | None = None
    max_iter: int | None = None
    tol: float | None = None
    seed: int = 0
    metric: str | None = None
    precision: str | None = None
    minibatch: bool = False
    batch_size: int | None = None

    command: ClassVar[str] = "kmeans"
    announced: ClassVar[tuple[str, ...]] = ("n_clusters", "max_iter")
    arrays: ClassVar[dict[str, str]] = {"centers.npy": "cluster_centers_"}

    def estimator(self, report: Report) -> KMeans | MiniBatchKMeans:
        """Build it with the parameters that were given; ParameterError for one that it does not have."""
        from gpuclust import cluster

        kind = cluster.MiniBatchKMeans if self.minibatch else cluster.KMeans
        names = (
            "n_clusters",
            "init",
            "n_init",
            "max_iter",
            "tol",
            "metric",
            "precision",
            "device",
            "max_memory",
            "batch_size",
        )
        given: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        known = inspect.signature(kind).parameters
        for name, value in given.items():
            if name not in known:
                raise ParameterError(
                    f"{name}={value!r} cannot be used with {kind.__name__}, which has no such parameter."
                )
        if self.init is not None and self.init.endswith(".npy"):
            given["init"] = load_array(self.init, "init", n_axes=2)
        given["callback"] = batch_callback(report) if self.minibatch else iteration_callback(report)
        return kind(**given, random_state=self.seed)

    def results(self, fitted: KMeans | MiniBatchKMeans) -> dict[str, Any]:
        """Return ``n_iter``, ``inertia`` and ``cluster_sizes``; with "auto" also ``n_clusters`` and ``selection``."""
        n_clusters = len(fitted.cluster_centers_)
        found = {
            "n_iter": int(fitted.n_iter_),
            "inertia": finite(fitted.inertia_),
            "cluster_sizes": cluster_sizes(fitted.labels_, n_clusters),
        }
        return found | (selection(fitted.selection_) | {"n_clusters": n_clusters} if self.n_clusters == "auto" else {})

    def work(self, source: Source) -> int:
        """Rows x clusters x features of one pass."""
        from gpuclust.select.choose_k import candidates

        k = candidates(None, source.n_rows)[-1] if self.n_clusters == "auto" else int(self.n_clusters)
        return source.n_rows * source.n_features * k
