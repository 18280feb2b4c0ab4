"""The job behind ``gpuclust dbscan``: a file of rows in, a folder with labels, core rows, model and manifest out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gpuclust.jobs.events import Report, stage_callback
from gpuclust.jobs.fit import FitJob
from gpuclust.jobs.manifest import cluster_sizes, selection
from gpuclust.sources import Source

if TYPE_CHECKING:
    from gpuclust.cluster import DBSCAN

__all__ = ["DBSCANJob"]


@dataclass(frozen=True, kw_only=True)
class DBSCANJob(FitJob):
    """DBSCAN of the rows of a file; with ``metric="precomputed"`` the file holds their distances, n x n.

    Attributes
    ----------
    eps : float or "auto"
    min_samples : int
    metric : str
        As in the estimator.
    """

    eps: float | str
    min_samples: int = 5
    metric: str = "euclidean"

    command: ClassVar[str] = "dbscan"
    announced: ClassVar[tuple[str, ...]] = ("eps", "min_samples", "metric")
    arrays: ClassVar[dict[str, str]] = {"core_sample_indices.npy": "core_sample_indices_"}

    def estimator(self, report: Report) -> DBSCAN:
        """Build it with the parameters that were given."""
        from gpuclust import cluster

        return cluster.DBSCAN(
            self.eps,
            min_samples=self.min_samples,
            metric=self.metric,
            device=self.device,
            max_memory=self.max_memory,
            callback=stage_callback(report),
        )

    def results(self, fitted: DBSCAN) -> dict[str, Any]:
        """Return ``n_clusters``, ``n_core``, ``n_noise``, ``cluster_sizes``; with "auto" ``eps`` and ``selection``."""
        n_clusters = int(fitted.labels_.max()) + 1
        found = {
            "n_clusters": n_clusters,
            "n_core": len(fitted.core_sample_indices_),
            "n_noise": int((fitted.labels_ < 0).sum()),
            "cluster_sizes": cluster_sizes(fitted.labels_, n_clusters),
        }
        return found | (selection(fitted.selection_) | {"eps": fitted.eps_} if self.eps == "auto" else {})

    def work(self, source: Source) -> int:
        """Rows x rows x features of all comparisons."""
        return source.n_rows**2 * source.n_features

    @property
    def predicts(self) -> bool:
        """False for precomputed distances, which say nothing about new rows."""
        return self.metric != "precomputed"
