"""pytest plugin: run scikit-learn's own tests of KMeans, DBSCAN, GaussianMixture, ... against gpuclust's classes.

Loaded in a subprocess by `test_sklearn_own_tests`. It puts our classes in place of those of ``sklearn.cluster`` before
the test module is imported, leaves out the tests that cannot apply, each with its reason, and writes the outcome of
every other test as JSON.
"""

from __future__ import annotations

import fnmatch
import inspect
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import sklearn.mixture
import sklearn.neighbors

import gpuclust

SPARSE = "gpuclust takes dense rows only: sparse input is a typed error"
PRIVATE = "tests private functions of scikit-learn, not the class"
FUNCTION = "tests a function of scikit-learn, not the class"

WIDE = "expects attributes in float32: here they are float64 whatever the rows, so that no digit is lost"

METRIC = "a metric that gpuclust does not compute: a typed error"

ASYMMETRIC = "precomputed distances must be symmetric: those of one way only are a typed error"

_OTHER_METRICS = (
    "braycurtis", "canberra", "correlation", "dice", "hamming", "haversine", "jaccard", "mahalanobis", "nan_euclidean",
    "rogerstanimoto", "russellrao", "seuclidean", "sokalsneath", "sqeuclidean", "yule",
)  # fmt: skip

# By test module: patterns of test ids (fnmatch; brackets are spelled "?") and why these tests cannot apply.
EXCLUDED = {
    "test_k_means": [
        ("*sparse_matrix*", SPARSE),
        ("*sparse_array*", SPARSE),
        ("*csr_matrix*", SPARSE),
        ("*csr_array*", SPARSE),
        ("*csr_container*", SPARSE),
        ("test_dense_sparse*", SPARSE),
        ("test_predict_dense_sparse*", SPARSE),
        ("test_minibatch_update_consistency*", PRIVATE),
        ("test_relocate_empty_clusters*", PRIVATE),
        ("test_minibatch_reassign?*", PRIVATE),
        ("test_euclidean_distance*", PRIVATE),
        ("test_inertia*", PRIVATE),
        ("test_is_same_clustering*", PRIVATE),
        ("test_sample_weight_init*", "calls the private method _init_centroids; the same is tested in tests/cluster"),
        ("test_sample_weight_zero*", "calls the private method _init_centroids; the same is tested in tests/cluster"),
        ("test_k_means_function*", FUNCTION),
        ("test_kmeans_plusplus*", FUNCTION),
        (
            "test_kmeans_verbose*",
            "asserts the inertia of each iteration in verbose output, which would cost a pass over the rows",
        ),
    ],
    "test_dbscan": [
        ("test_dbscan_sparse?*_matrix?", SPARSE),
        ("test_dbscan_sparse?*_array?", SPARSE),
        ("test_dbscan_no_core_samples*", SPARSE),
        ("test_dbscan_input_not_modified?csr_*-minkowski?", SPARSE),
        ("test_dbscan_input_not_modified?*-precomputed?", ASYMMETRIC),
        ("test_dbscan_input_not_modified_precomputed_sparse_nodiag*", ASYMMETRIC),
        ("test_dbscan_no_warning_*", ASYMMETRIC),
        ("test_dbscan_callable*", "a metric that is a Python function cannot run in compiled kernels: a typed error"),
    ],
    "test_gaussian_mixture": [
        ("*array_api*", "scikit-learn's experimental dispatch; other kinds of arrays: tests/cluster/test_mixture.py"),
        ("*float32*", WIDE),
        ("test_check_weights*", "expects a message in which the least weight is called the largest"),
        ("test_gaussian_mixture_precisions_init?*", PRIVATE),
        ("test_gaussian_mixture_all_init_does_not_estimate*", PRIVATE),
        (
            "test_gaussian_mixture_setting_best_params*",
            "components collapse onto one row and reg_covar=0: scikit-learn goes on with what rounding left of their "
            "variances, here it is a typed error",
        ),
    ],
    "test_neighbors": [
        ("*precomputed*", "precomputed distances leave nothing to search for: a typed error"),
        ("test_radius_neighbors_returns_array_of_objects*", "gives precomputed distances"),
        *((f"*-{metric}?", METRIC) for metric in _OTHER_METRICS),
        ("*-float??-minkowski?", "a power of 1.5: a typed error"),
        ("*_p_less_than_1*", "a power of 0.5: a typed error"),
        ("*DM_euclidean*", "a DistanceMetric of scikit-learn, which is a Python object: a typed error"),
        ("test_callable_metric*", "a metric that is a Python function cannot run in compiled kernels: a typed error"),
        ("test_sparse_metric_callable*", SPARSE),
        ("test_valid_brute_metric_for_auto_algorithm*", "fits with every metric of scikit-learn, and to sparse input"),
        ("test_pairwise_boolean_distance*", METRIC),
        ("test_unsupervised_inputs*", "fits to scikit-learn's trees and to fitted estimators"),
        (
            "test_k_and_radius_neighbors_duplicates*",
            "of equally near rows, scikit-learn drops the first instead of itself",
        ),
        (
            "test_radius_neighbors_parallel_array_radius*",
            "a radius for each query, which scikit-learn does not document",
        ),
        ("test_auto_algorithm*", PRIVATE),
    ],
}

# A module that tests other classes too: those tests are left out that do not name ours.
ABOUT = {"test_gaussian_mixture": "GaussianMixture", "test_neighbors": "NearestNeighbors"}


def reason_to_exclude(module: str, test_id: str) -> str | None:
    """Why the test cannot apply to our classes, or None when it must pass."""
    return next((reason for pattern, reason in EXCLUDED[module] if fnmatch.fnmatchcase(test_id, pattern)), None)


def dbscan(X: Any, eps: float = 0.5, *, sample_weight: Any = None, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's function, with our class; it differs from the class in its defaults."""
    fitted = gpuclust.DBSCAN(eps, **{"metric": "minkowski", "p": 2, **options}).fit(X, sample_weight=sample_weight)
    return fitted.core_sample_indices_, fitted.labels_


class _Recorder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.excluded: dict[str, str] = {}
        self.outcomes: dict[str, str] = {}
        self.errors: dict[str, str] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        module = Path(items[0].path).stem
        others = [item for item in items if ABOUT.get(module, "") not in inspect.getsource(item.function)]
        items[:] = [item for item in items if item not in others]
        self.excluded = {item.name: reason for item in items if (reason := reason_to_exclude(module, item.name))}
        config.hook.pytest_deselected(items=[item for item in items if item.name in self.excluded])
        items[:] = [item for item in items if item.name not in self.excluded]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("::")[2]
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[name] = report.outcome
            if report.failed:
                self.errors[name] = report.longreprtext[-2000:]

    def pytest_sessionfinish(self) -> None:
        summary = {"counts": Counter(self.outcomes.values()), "excluded": self.excluded, "errors": self.errors}
        self.path.write_text(json.dumps(summary, indent=1))


def pytest_configure(config: pytest.Config) -> None:
    sklearn.cluster.KMeans = gpuclust.KMeans
    sklearn.cluster.MiniBatchKMeans = gpuclust.MiniBatchKMeans
    sklearn.cluster.DBSCAN, sklearn.cluster.dbscan = gpuclust.DBSCAN, dbscan
    sklearn.neighbors.NearestNeighbors = gpuclust.NearestNeighbors
    sklearn.mixture.GaussianMixture = gpuclust.GaussianMixture
    config.pluginmanager.register(_Recorder(Path(os.environ["GPUCLUST_CONFORMANCE_REPORT"])))
