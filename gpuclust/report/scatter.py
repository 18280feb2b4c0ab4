"""Points in the plane, with their clusters and centres: rows or their codes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.errors import DataError, ParameterError
from gpuclust.report.figures import INK, bare, cluster_color, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_clusters"]


def plot_clusters(
    points: Any,
    to: str | os.PathLike[str] | Figure,
    *,
    labels: Any = None,
    centers: Any = None,
    projection: str = "pca",
    sample_size: int = 5000,
    random_state: int = 0,
    title: str = "clusters",
) -> None:
    """Plot rows or their codes as points in the plane, coloured by cluster, the number of each cluster at its centre.

    Parameters
    ----------
    points : array of shape (n, d)
    to : path or matplotlib Figure
        File to write (.png, .svg, .pdf), or a figure to draw on.
    labels : int array of shape (n,), optional
        Cluster of each, -1 for none.
    centers : array of shape (k, d), optional
        Centres of the clusters.
    projection : {"pca", "umap"}, default="pca"
        How points of more than two numbers get to the plane: the two directions of most variance, or UMAP on our
        neighbours. UMAP keeps neighbourhoods, not distances; a centre is then drawn in the middle of its members.
    sample_size : int, default=5000
        Most points that are drawn; of more, a fixed sample, as the title says.
    random_state : int, default=0
        Seed of the sample and of UMAP.
    title : str, default="clusters"
        What is seen.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed; or umap-learn, for ``projection="umap"``.
    DataError, ParameterError
        Points are no matrix, labels are not one for each; the projection is unknown.
    """
    points = np.asarray(points)
    if points.ndim != 2:
        raise DataError(f"points of shape {points.shape} should have two axes.")
    found = np.full(len(points), -1) if labels is None else np.asarray(labels)
    if found.shape != points.shape[:1]:
        raise DataError(f"labels of shape {found.shape} should be one for each of the {len(points)} points.")
    if projection not in ("pca", "umap"):
        raise ParameterError(f"projection={projection!r} should be 'pca' or 'umap'.")
    n = len(points)
    if n > sample_size:
        chosen = np.sort(distinct(purpose_stream(random_state, "scatter"), n, sample_size))
        points, found = points[chosen], found[chosen]
        title += f": a sample of {sample_size:,} of {n:,} rows"
    places, middles, axis = _in_plane(points, found, centers, projection, random_state)
    # Noise first, beneath the clusters; without labels all points are one colour.
    order = np.argsort(found >= 0, kind="stable")
    colors = [cluster_color(0 if labels is None else label) for label in found[order].tolist()]
    size = float(np.clip(20000 / len(points), 4, 30))
    with drawn(to, 6.4, 5.4) as figure:
        axes = figure.subplots()
        axes.scatter(places[order, 0], places[order, 1], c=colors, s=size, linewidths=0, alpha=0.75, rasterized=True)
        for label, place in enumerate(middles):
            if np.isfinite(place).all():
                _mark(axes, place, label)
                axes.update_datalim([place])  # a centre may lie away from its members
        axes.autoscale_view()
        bare(axes, title, axis.format(1))
        axes.set_ylabel(axis.format(2), fontsize=9, color=INK)


def _in_plane(
    points: np.ndarray, labels: np.ndarray, centers: Any, projection: str, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Places of points (n, 2), of centres (k, 2), and what the axes are called, with a place for their number."""
    around = np.empty((0, points.shape[1])) if centers is None else np.asarray(centers, dtype=np.float64)
    if points.shape[1] == 1:  # the second axis only spreads the points
        spread = purpose_stream(seed, "spread").uniform(len(points)) - 0.5
        middles = np.column_stack([around[:, 0], np.zeros(len(around))])
        return np.column_stack([points[:, 0], spread]), middles, "dimension {} (vertical: at random)"
    if points.shape[1] == 2:
        return points, around, "dimension {}"
    if projection == "umap":
        from gpuclust.deep.plane import umap_plane

        places = umap_plane(points, seed)
        middles = np.full((len(around), 2), np.nan)
        for label in np.intersect1d(labels, np.arange(len(around))):
            middles[label] = places[labels == label].mean(axis=0)
        return places, middles, "UMAP {}"
    mean = points.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(np.cov(points.T.astype(np.float64), bias=True))
    axes = vectors[:, [-1, -2]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # either sign is right: always the same one
    share = values[[-1, -2]].sum() / max(values.sum(), np.finfo(float).tiny)
    return (
        (points - mean) @ axes,
        (around - mean) @ axes,
        f"principal component {{}} (both: {share:.0%} of the variance)",
    )


def _mark(axes: Any, place: np.ndarray, label: int) -> None:
    """The number of a cluster, on a disc of its colour."""
    box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": cluster_color(label), "linewidth": 1.6}
    axes.annotate(str(label), place, ha="center", va="center", fontsize=8, color="black", bbox=box, zorder=3)
