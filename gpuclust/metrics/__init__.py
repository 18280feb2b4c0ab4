"""Is a clustering any good? Internal scores, from the rows and their labels, and external ones, against the truth.

Internal scores run on the engine, in blocks: nothing of size n x n or n x k is ever made, and their values are the same
bits for any engine, chunk size and number of threads. External ones start from a table of pairs of labels that is
counted block by block. Where scikit-learn has a score, the value is its own to 1e-9, on data where float64 keeps so
much of it.
"""

from gpuclust.metrics.contingency import contingency_matrix
from gpuclust.metrics.external import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    clustering_accuracy,
    fowlkes_mallows_score,
    homogeneity_completeness_v_measure,
    normalized_mutual_info_score,
    purity_score,
)
from gpuclust.metrics.internal import (
    calinski_harabasz_score,
    davies_bouldin_score,
    dbcv_score,
    inertia,
    silhouette_samples,
    silhouette_score,
)
from gpuclust.metrics.seeds import Stability, stability

__all__ = [
    "Stability",
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "calinski_harabasz_score",
    "clustering_accuracy",
    "contingency_matrix",
    "davies_bouldin_score",
    "dbcv_score",
    "fowlkes_mallows_score",
    "homogeneity_completeness_v_measure",
    "inertia",
    "normalized_mutual_info_score",
    "purity_score",
    "silhouette_samples",
    "silhouette_score",
    "stability",
]
