"""Figures without global state: made, drawn on, written; matplotlib is imported when the first is made."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuclust.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ACCENT", "CLUSTERS", "INK", "LINE", "NOISE", "bare", "cluster_color", "drawn", "title", "written"]

#: Colours: the curve, what is recommended, and everything else. Told apart without colour vision too.
LINE, ACCENT, INK = "#3b6ea5", "#d1495b", "#444444"
#: Colours of clusters, in order of their labels; twenty that can be told apart on white, then again from the first.
CLUSTERS = (
    *("#3b6ea5", "#d1495b", "#57a04a", "#ef9130", "#7b4fa3", "#35c2d6", "#8c5a2b", "#f07fc4", "#17365a", "#aab21f"),
    *("#1f7f6d", "#f6cf3a", "#8a1538", "#93c5f5", "#c09be8", "#f5a68f", "#22d46a", "#5f5d12", "#f02ee0", "#7d8b99"),
)
#: Colour of rows in no cluster.
NOISE = "#cccccc"


@contextmanager
def written(path: str | os.PathLike[str], width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of so many inches, and write it to ``path`` in the end; the suffix says the format.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("plots need matplotlib: pip install 'gpuclust[viz]'.") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure
    # Without the version and the date of the writer: the same picture is the same file.
    metadata = {"Software": None} if str(path).lower().endswith(".png") else None
    figure.savefig(path, dpi=150, metadata=metadata)


@contextmanager
def drawn(to: str | os.PathLike[str] | Figure, width: float, height: float) -> Iterator[Figure]:
    """Yield the figure that is given, or one that is `written` to the path that is given."""
    if isinstance(to, str | os.PathLike):
        with written(to, width, height) as figure:
            yield figure
    else:
        yield to


def cluster_color(label: int) -> str:
    """Colour of a cluster; of noise for labels below 0."""
    return NOISE if label < 0 else CLUSTERS[label % len(CLUSTERS)]


def bare(axes: Axes, title: str, label: str) -> None:
    """Leave of an axes' frame what is needed to read it."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(label, fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(labelsize=8, colors=INK)


def title(figure: Figure, text: str) -> None:
    """Write a title over all axes of a figure, in as many lines as it takes."""
    lines = textwrap.wrap(text, max(30, int(13 * figure.get_size_inches()[0])))
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10, color=INK)
