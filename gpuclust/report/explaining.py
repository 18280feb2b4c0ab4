"""Explain a clustering: for each cluster its size, its centre, the features that make it, and rows that show it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpuclust.errors import ParameterError
from gpuclust.metrics import silhouette_samples
from gpuclust.report.clusters import Clusters, column_means, find_clusters
from gpuclust.report.explanation import METHODS, ClusterExplanation, Explanation, Feature
from gpuclust.report.permutation import leaving
from gpuclust.report.sample import names_left_out
from gpuclust.validation import check_positive_int

__all__ = ["attributions_of", "explain"]


def explain(
    estimator: Any,
    X: Any,
    *,
    labels: Any = None,
    method: str = "auto",
    steps: int = 8,
    n_repeats: int = 5,
    n_features: int = 5,
    n_examples: int = 5,
    sample_size: int = 10_000,
    random_state: int = 0,
) -> Explanation:
    """Tell what makes each cluster: its size, its centre, its most telling features, and the rows nearest its centre.

    Parameters
    ----------
    estimator : fitted estimator
        `DeepClustering`; or any with ``predict``, such as `KMeans` and `GaussianMixture`; or an `Autoencoder` together
        with ``labels``.
    X : array-like, table, path or Source of shape (n_samples, n_features), or mapping of these
        Rows, as the estimator takes them.
    labels : int array of shape (n_samples,), optional
        Cluster of each row, -1 for none. By default what the estimator predicts.
    method : {"auto", "gradient", "permutation"}, default="auto"
        How features are rated. "gradient": gradient x input of the soft assignment to the cluster, by Student's t
        around its centre among the codes, whatever the clustering method; input is measured from the mean row; see
        :mod:`gpuclust.deep.attribution`. "permutation": the share of the cluster's rows whose predicted label changes
        when the feature is permuted within the rows. "auto" is "gradient" for estimators with codes, and "permutation"
        for others.
    steps : int, default=8
        Of "gradient": places between the mean row and a row at which the gradient is taken. 1: at the row itself.
    n_repeats : int, default=5
        Of "permutation": permutations of each feature.
    n_features : int, default=5
        Features told of each cluster; ``attributions`` holds all.
    n_examples : int, default=5
        Rows told of each cluster.
    sample_size : int, default=10000
        Most rows that anything but the sizes of clusters rests on; X is sampled where it has more.
    random_state : int, default=0
        Seed of sample and permutations: by default always the same.

    Returns
    -------
    Explanation
        ``print`` it, or take ``to_dict()``.

    Raises
    ------
    ParameterError
        A parameter breaks its rule; the method does not suit the estimator.
    DataError
        X is not what the estimator was fitted on; another number of labels than rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpuclust import KMeans, explain
    >>> iris = load_iris(as_frame=True)
    >>> explanation = explain(KMeans(3, random_state=0).fit(iris.data), iris.data)
    >>> [cluster.features[0].name for cluster in explanation.clusters]
    ['petal length (cm)', 'petal length (cm)', 'petal length (cm)']
    """
    check_is_fitted(estimator)
    for name, value in (
        ("steps", steps),
        ("n_repeats", n_repeats),
        ("n_features", n_features),
        ("n_examples", n_examples),
        ("sample_size", sample_size),
    ):
        check_positive_int(value, name)
    method = _resolved(method, estimator)
    found = find_clusters(estimator, X, labels, sample_size, random_state)
    attributions = attributions_of(estimator, found, method, steps=steps, n_repeats=n_repeats, seed=random_state)
    silhouettes, overall = _silhouettes(found), column_means(found.sample.flat)
    sample = found.sample
    clusters = []
    for label, size in enumerate(found.sizes.tolist()):
        members = found.members(label)
        means = column_means(sample.flat[members])
        most = np.argsort(-np.abs(attributions[label]), kind="stable")[: n_features if len(members) else 0]
        clusters.append(
            ClusterExplanation(
                label=label,
                size=size,
                share=size / sample.n_rows,
                silhouette=None if silhouettes is None or not len(members) else float(silhouettes[members].mean()),
                center=found.decoded[label],
                features=[
                    Feature(sample.names[j], int(j), *map(float, (attributions[label, j], means[j], overall[j])))
                    for j in most
                ],
                examples=sample.numbers[found.nearest(label, n_examples)].tolist(),
            )
        )
    return Explanation(clusters, method, attributions, sample.names, sample.n_rows, found.n_noise, len(sample))


def attributions_of(
    estimator: Any, found: Clusters, method: str, *, steps: int = 8, n_repeats: int = 5, seed: int = 0
) -> np.ndarray:
    """Attribution of each cluster to each feature, (k, d) float64, by one of `METHODS`; see `explain`."""
    sample = found.sample
    with names_left_out():
        if method == "gradient":
            from gpuclust.deep.attribution import attribute

            autoencoder = getattr(estimator, "autoencoder_", estimator)
            rows = autoencoder.rows(sample.rows)
            # Clusters without rows in the sample may have no centre: then the others are all there are.
            there = ~np.isnan(found.centers).any(axis=1)
            labels = np.where(found.labels >= 0, (np.cumsum(there) - 1)[found.labels], -1)
            attributions = np.full((len(found), sample.flat.shape[1]), np.nan)
            attributions[there] = attribute(autoencoder.model_, rows, found.centers[there], labels, steps=steps)
            return attributions

        def predict(flat: np.ndarray) -> np.ndarray:
            return np.asarray(estimator.predict(sample.like(flat)))

        return leaving(predict, sample.flat, found.labels, len(found), n_repeats=n_repeats, seed=seed)


def _resolved(method: str, estimator: Any) -> str:
    has_codes, kind = hasattr(estimator, "codes"), type(estimator).__name__
    if method == "auto":
        method = "gradient" if has_codes else "permutation"
    if method not in METHODS:
        raise ParameterError(f"method={method!r} should be 'auto' or one of {sorted(METHODS)}.")
    if method == "gradient" and not has_codes:
        raise ParameterError(f"method='gradient' needs codes, which {kind} has not: use method='permutation'.")
    if method == "permutation" and not hasattr(estimator, "predict"):
        raise ParameterError(f"method='permutation' needs predict, which {kind} has not.")
    return method


def _silhouettes(found: Clusters) -> np.ndarray | None:
    clustered = found.labels[found.labels >= 0]
    if not 2 <= len(np.unique(clustered)) < len(clustered):
        return None
    # On the CPU, where the sampled codes are: their comparison with a few centres is no work for a GPU.
    return silhouette_samples(found.codes, found.labels, form="simplified", noise="ignore", device="cpu")
