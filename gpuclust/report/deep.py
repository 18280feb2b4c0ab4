"""All pictures of a fitted autoencoder or deep clustering, as files of a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpuclust.errors import OutputError
from gpuclust.report.clusters import Clusters, column_means, find_clusters
from gpuclust.report.explaining import attributions_of
from gpuclust.report.explanation import METHODS
from gpuclust.report.losses import plot_losses
from gpuclust.report.panels import plot_attributions, plot_centers, plot_examples
from gpuclust.report.reconstructions import plot_reconstructions
from gpuclust.report.sample import Sample, draw_sample, names_left_out
from gpuclust.report.scatter import plot_clusters
from gpuclust.report.views import View, views_of

__all__ = ["pictures"]

#: Rows of each cluster that are shown.
_EXAMPLES = 8


def pictures(
    estimator: Any,
    X: Any,
    directory: str | os.PathLike[str],
    *,
    labels: Any = None,
    image_shape: Any = None,
    projection: str = "pca",
    suffix: str = ".png",
    sample_size: int = 5000,
    random_state: int = 0,
) -> dict[str, Path]:
    """Write every picture that there is of a fitted estimator.

    - ``losses``: the terms of the loss over the epochs, of each stage of the training;
    - ``codes``: codes in the plane, with clusters and centres; places on the manifold, where it is a plane;
    - ``reconstructions``: rows, and what is decoded of their codes;
    - ``centers``: the decoded centre of each cluster;
    - ``examples``: the rows nearest to the centre of each cluster;
    - ``attributions``: what each feature is worth to each cluster, as `gpuclust.explain` finds it; by one permutation
      of each feature for estimators without codes, and not for those that do not predict.

    The last three are of clusterings only. With modalities, the last four are of each, by name.

    Parameters
    ----------
    estimator : fitted estimator
        `DeepClustering`, `Autoencoder`, `VariationalAutoencoder`; other clusterings have no losses and no
        reconstructions, and their rows are their codes.
    X : array-like, table, path or Source of shape (n_samples, n_features), or mapping of these
        Rows, as the estimator takes them.
    directory : path
        Made if there is none; files of the same names are replaced.
    labels : int array of shape (n_samples,), optional
        Cluster of each row, -1 for none; by default as predicted, if the estimator predicts.
    image_shape : tuple of int, or dict of these by modality, optional
        (height, width) or (height, width, channels) of rows that are images; by default that of the images in X, or
        the shape that the architecture has. Rows without one are drawn as profiles over the features.
    projection : {"pca", "umap"}, default="pca"
        Of codes of more than two numbers; see `plot_clusters`.
    suffix : str, default=".png"
        Format: ".png", ".svg" or ".pdf".
    sample_size : int, default=5000
        Most rows that pictures are made of; of more, a fixed sample.
    random_state : int, default=0
        Seed of the sample.

    Returns
    -------
    files : dict of str to Path
        By name of the picture: ``{"losses": Path("pictures/losses.png"), ...}``.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed; or umap-learn, for ``projection="umap"``.
    ParameterError, DataError
        A parameter breaks its rule; X is not what the estimator was fitted on.
    OutputError
        The directory cannot be made.
    """
    check_is_fitted(estimator)
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"directory={str(directory)!r} cannot be made: {error}.") from error
    files: dict[str, Path] = {}

    def file(name: str, part: str = "") -> Path:
        key = f"{name}_{re.sub(r'[^A-Za-z0-9.-]+', '-', part)}" if part else name
        files[key] = folder / f"{key}{suffix}"
        return files[key]

    autoencoder = getattr(estimator, "autoencoder_", estimator if hasattr(estimator, "model_") else None)
    clustered = labels is not None or hasattr(estimator, "predict")
    found = find_clusters(estimator, X, labels, sample_size, random_state) if clustered else None
    sample = draw_sample(estimator, X, sample_size, random_state) if found is None else found.sample
    views = list(views_of(autoencoder, sample, image_shape))
    if autoencoder is not None:
        stages = {"pretraining" if estimator is not autoencoder else "training": autoencoder.history_}
        if estimator is not autoencoder:
            stages["refinement"] = estimator.history_
        if any(map(len, stages.values())):
            plot_losses(stages, file("losses"))
    _plot_plane(estimator, sample, found, file("codes"), projection, random_state)
    if autoencoder is not None:
        for view in views:
            chosen = view.some(sample)
            with names_left_out():
                codes = autoencoder.codes(sample.like(sample.flat[chosen]))
                decoded = sample.flatten(autoencoder.inverse_transform(codes.cpu().numpy()))
            rows, target = view.seen(sample.flat[chosen]), file("reconstructions", view.name)
            plot_reconstructions(rows, view.seen(decoded), target, view.look)
    if found is not None and len(found):
        _plot_clusters(estimator, found, views, file, random_state)
    return files


def _plot_plane(estimator: Any, sample: Sample, found: Clusters | None, to: Path, projection: str, seed: int) -> None:
    text = f"codes of {sample}" if hasattr(estimator, "codes") else str(sample)
    if found is None:
        with names_left_out():
            codes = estimator.codes(sample.rows).cpu().numpy()
        plot_clusters(codes, to, projection=projection, random_state=seed, title=text)
        return
    codes, centers = found.codes, found.centers
    manifold = getattr(getattr(estimator, "head_", None), "manifold", None)
    if manifold is not None and manifold.embedding.shape[1] == 2:
        with names_left_out():
            codes = manifold.transform(estimator.codes(sample.rows))
        centers = np.stack([column_means(codes[found.members(label)]) for label in range(len(found))])
        text = f"places of {sample} on the manifold of the codes"
    plot_clusters(codes, to, labels=found.labels, centers=centers, projection=projection, random_state=seed, title=text)


def _plot_clusters(
    estimator: Any, found: Clusters, views: list[View], file: Callable[[str, str], Path], seed: int
) -> None:
    sample, sizes = found.sample, found.sizes.tolist()
    of_sample = f"; of {sample}" if len(sample) < sample.n_rows else ""
    near = [sample.flat[found.nearest(label, _EXAMPLES)] for label in range(len(found))]
    method = "gradient" if hasattr(estimator, "codes") else "permutation" if hasattr(estimator, "predict") else None
    attributions = None if method is None else attributions_of(estimator, found, method, n_repeats=1, seed=seed)
    mean = column_means(sample.flat)[None]
    for view in views:
        centers, examples = view.seen(found.decoded), [view.seen(rows) for rows in near]
        plot_centers(centers, sizes, file("centers", view.name), view.look, mean=view.seen(mean)[0])
        look = replace(view.look, note=view.look.note + of_sample)
        plot_examples(examples, centers, sizes, file("examples", view.name), look)
        if method is not None and attributions is not None:
            target, text = file("attributions", view.name), METHODS[method] + of_sample
            plot_attributions(attributions[:, view.columns], sizes, target, view.look, text=text)
