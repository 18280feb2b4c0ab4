"""Figures without global state: made, drawn on, written; matplotlib is imported when the first is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuclust.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ACCENT", "INK", "LINE", "bare", "written"]

#: Colours: the curve, what is recommended, and everything else. Told apart without colour vision too.
LINE, ACCENT, INK = "#3b6ea5", "#d1495b", "#444444"


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


def bare(axes: Axes, title: str, label: str) -> None:
    """Leave of an axes' frame what is needed to read it."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(label, fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(labelsize=8, colors=INK)
