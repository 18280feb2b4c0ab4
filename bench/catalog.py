"""Every side-by-side case on the processor, and the kinds of benchmark that they belong to."""

from __future__ import annotations

from bench import dbscan, kmeans, knn, mixture, silhouette, training
from bench.cases import Case

__all__ = ["CASES", "KINDS"]

CASES: dict[str, Case] = {
    **kmeans.CASES,
    **dbscan.CASES,
    **knn.CASES,
    **mixture.CASES,
    **silhouette.CASES,
    **training.CASES,
}
KINDS: dict[str, type[Case]] = {
    kind.kind: kind
    for kind in (
        kmeans.KMeansCase,
        dbscan.DBSCANCase,
        knn.KNNCase,
        mixture.MixtureCase,
        silhouette.SilhouetteCase,
        training.TrainingCase,
    )
}
