"""Every case on a GPU, and the kinds of benchmark that they belong to."""

from __future__ import annotations

from bench import gpu_dbscan, gpu_kmeans, gpu_knn, gpu_silhouette, gpu_training
from bench.gpu_cases import GpuCase

__all__ = ["CASES", "KINDS"]

CASES: dict[str, GpuCase] = {
    **gpu_kmeans.CASES,
    **gpu_dbscan.CASES,
    **gpu_knn.CASES,
    **gpu_silhouette.CASES,
    **gpu_training.CASES,
}
KINDS: dict[str, type[GpuCase]] = {
    kind.kind: kind
    for kind in (
        gpu_kmeans.GpuKMeansCase,
        gpu_dbscan.GpuDBSCANCase,
        gpu_knn.GpuKNNCase,
        gpu_silhouette.GpuSilhouetteCase,
        gpu_training.GpuTrainingCase,
    )
}
