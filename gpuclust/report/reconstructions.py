"""Rows beside what is decoded of their codes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from gpuclust.errors import DataError
from gpuclust.report.figures import ACCENT, INK, LINE, drawn, title
from gpuclust.report.look import Look, limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_reconstructions"]

#: Images in a line, and profiles.
_IMAGES, _PROFILES = 10, 4


def plot_reconstructions(
    rows: np.ndarray, decoded: np.ndarray, to: str | os.PathLike[str] | Figure, look: Look | None = None
) -> None:
    """Plot rows, and what is decoded of their codes: images below one another, profiles over one another.

    Parameters
    ----------
    rows, decoded : array of shape (m, d)
        Some rows and their reconstructions, in the same units.
    to : path or matplotlib Figure
        File to write (.png, .svg, .pdf), or a figure to draw on.
    look : Look, optional
        By default rows are profiles.

    Raises
    ------
    DataError
        Rows and reconstructions are not as many, or do not have the shape of images.
    MissingDependencyError
        matplotlib is not installed.
    """
    look = look or Look()
    look.check(rows)
    if rows.shape != decoded.shape:
        raise DataError(f"rows of shape {rows.shape} should have reconstructions of that shape, not {decoded.shape}.")
    if look.is_image:
        _plot_images(rows, decoded, to, look)
    else:
        _plot_profiles(rows, decoded, to, look)


def _plot_images(rows: np.ndarray, decoded: np.ndarray, to: str | os.PathLike[str] | Figure, look: Look) -> None:
    n_lines = -(-len(rows) // _IMAGES)
    assert look.shape is not None
    height = 9.0 * look.shape[0] / (_IMAGES * (look.shape[1] + 1)) + 0.15
    with drawn(to, 9.0, 2 * n_lines * height + 0.4) as figure:
        grid = figure.subplots(2 * n_lines, 1, squeeze=False)
        for at, axes in enumerate(grid.flat):
            first, of_decoded = _IMAGES * (at // 2), at % 2
            strip = look.strip((decoded if of_decoded else rows)[first : first + _IMAGES])
            look.show(axes, strip, limits(rows))
            axes.set_anchor("W")
            axes.set_ylabel("decoded" if of_decoded else "input", fontsize=8, color=INK)
        title(figure, f"inputs, and below them what is decoded of their codes{look.note}")


def _plot_profiles(rows: np.ndarray, decoded: np.ndarray, to: str | os.PathLike[str] | Figure, look: Look) -> None:
    n_lines = -(-len(rows) // _PROFILES)
    with drawn(to, 2.4 * _PROFILES, 1.7 * n_lines + 0.6) as figure:
        grid = figure.subplots(n_lines, _PROFILES, squeeze=False, sharex=True, sharey=True)
        for at, axes in enumerate(grid.flat):
            if at >= len(rows):
                axes.set_axis_off()
                continue
            look.line(axes, rows[at], color=LINE, linewidth=1.4)
            look.line(axes, decoded[at], color=ACCENT, linewidth=1.2, linestyle="--")
            look.dress(axes, rows.shape[1])
        title(figure, f"inputs (blue), and what is decoded of their codes (red, dashed){look.note}")
