"""Pictures with a panel for each cluster: its centre, the rows nearest to it, what its features are worth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpuclust.report.figures import ACCENT, INK, LINE, bare, cluster_color, drawn, title
from gpuclust.report.look import Look, empty, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_attributions", "plot_centers", "plot_examples"]

#: Clusters of a picture, at most: the largest.
_MOST = 40
#: Features of a cluster that have a bar, at most.
_BARS = 8


class _Layout(NamedTuple):
    """Panels in a line, and inches of each."""

    columns: int
    width: float
    height: float


_BAR_CHARTS = _Layout(4, 2.7, 1.9)


def _profiles(look: Look, n_features: int) -> _Layout:
    return _Layout(4, 2.4, 2.2 if look.names_shown(n_features) else 1.8)


def _images(columns: int, width: float, look: Look, in_panel: int = 1) -> _Layout:
    """Panels of so many images each, as high as the images' shape makes them."""
    assert look.shape is not None
    return _Layout(columns, width, width * look.shape[0] / (in_panel * (look.shape[1] + 1)) + 0.3)


def plot_centers(
    centers: np.ndarray,
    sizes: Sequence[int],
    to: str | os.PathLike[str] | Figure,
    look: Look | None = None,
    *,
    mean: np.ndarray | None = None,
) -> None:
    """Plot the decoded centre of each cluster; of the 40 largest, where there are more.

    Parameters
    ----------
    centers : array of shape (k, d)
    sizes : sequence of int
        Rows of each cluster.
    to : path or matplotlib Figure
        File to write (.png, .svg, .pdf), or a figure to draw on.
    look : Look, optional
        By default rows are profiles.
    mean : array of shape (d,), optional
        The mean of all rows, drawn behind profiles in grey.

    Raises
    ------
    DataError
        Centres do not have the shape of images.
    MissingDependencyError
        matplotlib is not installed.
    """
    look = look or Look()
    look.check(centers)
    text = "centres of clusters"
    if not look.is_image:
        text += ("" if mean is None else " (grey: the mean of all rows)") + look.note
    with _panels(
        to,
        sizes,
        _images(8, 1.2, look) if look.is_image else _profiles(look, centers.shape[1]),
        text,
        share=not look.is_image,
    ) as panels:
        extent = limits(centers)
        for label, axes in panels:
            if look.is_image:
                look.show(axes, look.strip(centers[[label]]), extent)
                continue
            if mean is not None:
                look.line(axes, mean, color="#bbbbbb", linewidth=1.2)
            look.line(axes, centers[label], color=cluster_color(label), linewidth=1.8)
            look.dress(axes, centers.shape[1])


def plot_examples(
    examples: Sequence[np.ndarray],
    centers: np.ndarray,
    sizes: Sequence[int],
    to: str | os.PathLike[str] | Figure,
    look: Look | None = None,
) -> None:
    """Plot for each cluster the rows nearest to its centre, and the decoded centre.

    Parameters
    ----------
    examples : sequence of array of shape (m, d)
        Rows of each cluster, nearest first; a cluster may have none.
    centers, sizes, to, look
        As in `plot_centers`.
    """
    look = look or Look()
    look.check(centers)
    where = "first" if look.is_image else "black"
    text = f"rows nearest to the centres of clusters ({where}: the centre){look.note}"
    most = 1 + max(map(len, examples))
    layout = _images(2, 4.8, look, most) if look.is_image else _profiles(look, centers.shape[1])
    with _panels(to, sizes, layout, text, share=not look.is_image) as panels:
        extent = limits(centers, *examples)
        for label, axes in panels:
            if look.is_image:
                strip = np.concatenate([centers[[label]], examples[label]])
                filled = np.concatenate([strip, np.full((most - len(strip), centers.shape[1]), np.nan)])
                look.show(axes, look.strip(filled), extent)
                assert look.shape is not None
                axes.axvline(look.shape[1], color=ACCENT, linewidth=2)
                axes.set_anchor("W")
                continue
            for row in examples[label]:
                look.line(axes, row, color=cluster_color(label), linewidth=0.8, alpha=0.7)
            look.line(axes, centers[label], color="black", linewidth=1.6)
            look.dress(axes, centers.shape[1])


def plot_attributions(
    attributions: np.ndarray,
    sizes: Sequence[int],
    to: str | os.PathLike[str] | Figure,
    look: Look | None = None,
    *,
    text: str = "attributions of clusters to features",
) -> None:
    """Plot what each feature is worth to each cluster: as an image, or as bars of the largest.

    Parameters
    ----------
    attributions : array of shape (k, d)
        As `gpuclust.explain` finds them. Red speaks for the cluster, blue against it; each panel has its own scale.
    sizes, to, look
        As in `plot_centers`.
    text : str
        Title.
    """
    look = look or Look()
    look.check(attributions)
    layout = _images(8, 1.2, look) if look.is_image else _BAR_CHARTS
    with _panels(to, sizes, layout, text) as panels:
        for label, axes in panels:
            found = np.nan_to_num(attributions[label])
            if look.is_image:
                image = look.strip(found[None])
                image = image if image.ndim == 2 else image.sum(axis=-1)
                largest = float(np.abs(image).max()) or 1.0
                axes.imshow(image, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
                empty(axes)
                continue
            order = np.argsort(-np.abs(found), kind="stable")[:_BARS][::-1]
            axes.barh(range(len(order)), found[order], color=[ACCENT if found[at] >= 0 else LINE for at in order])
            bare(axes, "", "")
            axes.axvline(0, color="#bbbbbb", linewidth=0.8)
            axes.set_yticks(range(len(order)), [look.label(feature) for feature in order.tolist()], fontsize=7)
            axes.tick_params(axis="x", labelsize=7)
            axes.locator_params(axis="x", nbins=3)
            axes.ticklabel_format(axis="x", scilimits=(-2, 3))
            axes.xaxis.get_offset_text().set_fontsize(7)


@contextmanager
def _panels(
    to: str | os.PathLike[str] | Figure, sizes: Sequence[int], layout: _Layout, text: str, *, share: bool = False
) -> Iterator[Iterator[tuple[int, Axes]]]:
    """Panels of the largest clusters, in order of their labels, each with its axes; titles are written at the end."""
    shown = sorted(np.argsort(-np.asarray(sizes), kind="stable")[:_MOST].tolist())
    columns = min(layout.columns, len(shown))
    n_lines = -(-len(shown) // columns)
    with drawn(to, max(columns * layout.width, 4.8), n_lines * layout.height + 0.6) as figure:
        grid = figure.subplots(n_lines, columns, squeeze=False, sharex=share, sharey=share)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        yield zip(shown, grid.flat, strict=False)
        for label, axes in zip(shown, grid.flat, strict=False):
            axes.set_title(f"{label}: {sizes[label]:,} rows", loc="left", fontsize=8, color=INK)
        more = f"; the {len(shown)} largest of {len(sizes)} clusters" if len(shown) < len(sizes) else ""
        title(figure, text + more)
