"""Plots of choices: the criteria over the number of clusters, and the curve of distances with its knee."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.report.figures import ACCENT, INK, LINE, bare, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gpuclust.select import EpsSuggestion, Suggestion

__all__ = ["plot_eps", "plot_k"]

_TITLES = {
    "inertia": "Inertia (knee)",
    "silhouette": "Silhouette (high)",
    "calinski_harabasz": "Calinski-Harabasz (high)",
    "davies_bouldin": "Davies-Bouldin (low)",
    "stability": "Stability (high)",
    "gap": "Gap (first to stop rising)",
}


def plot_k(suggestion: Suggestion, to: str | os.PathLike[str] | Figure) -> None:
    """Plot every criterion over the number of clusters; a line marks the recommendation, a dot each one's own choice.

    Parameters
    ----------
    suggestion : Suggestion
        From `gpuclust.select.suggest_k`, or ``selection_`` of a `KMeans`.
    to : path or matplotlib Figure
        File to write (.png, .svg, .pdf), or a figure to draw on.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    names = [name for name in suggestion.table if name in _TITLES]
    if isinstance(to, str | os.PathLike):
        rows = -(-len(names) // 3)
        with written(to, 3.2 * min(len(names), 3), 2.3 * rows + 0.7) as figure:
            plot_k(suggestion, figure)
        return
    columns = min(len(names), 3)
    grid = to.subplots(-(-len(names) // columns), columns, squeeze=False)
    for at, axes in enumerate(grid.flat):
        if at < len(names):
            _plot_criterion(axes, suggestion, names[at])
        else:
            axes.set_axis_off()
    to.suptitle(_wrapped(suggestion.reason, 42 * columns), x=0.01, ha="left", fontsize=10, color=INK)


def plot_eps(suggestion: EpsSuggestion, to: str | os.PathLike[str] | Axes) -> None:
    """Plot the curve of distances, its chord, and the knee that is recommended.

    Parameters
    ----------
    suggestion : EpsSuggestion
        From `gpuclust.select.suggest_eps`, or ``selection_`` of a `DBSCAN`.
    to : path or matplotlib Axes
        File to write (.png, .svg, .pdf), or axes to draw on.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    if isinstance(to, str | os.PathLike):
        with written(to, 6.4, 4.2) as figure:
            plot_eps(suggestion, figure.subplots())
        return
    rank, distance = suggestion.table["rank"], suggestion.table["distance"]
    # The knee is sought in log distances, and is seen where it is sought.
    to.set_yscale("log")
    to.plot(rank, distance, color=LINE, linewidth=1.6)
    to.plot(rank[[0, -1]], distance[[0, -1]], color="#bbbbbb", linewidth=1.0, linestyle="--")
    x, y = rank[suggestion.knee], suggestion.value
    to.axhline(y, color=ACCENT, linewidth=1.0)
    to.plot([x], [y], "o", color=ACCENT, markersize=6)
    to.annotate(
        f"eps = {y:.4g}", (x, y), xytext=(-8, 8), textcoords="offset points", ha="right", fontsize=9, color=ACCENT
    )
    bare(to, _wrapped(suggestion.reason, 78), "share of the rows")
    for axis_ticks in (to.yaxis.set_major_formatter, to.yaxis.set_minor_formatter):
        axis_ticks("{x:g}")
    to.tick_params(axis="y", which="minor", labelsize=8, colors=INK)
    to.set_ylabel(f"{suggestion.metric} distance", fontsize=9, color=INK)


def _plot_criterion(axes: Any, suggestion: Suggestion, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ks, values = suggestion.table["k"], suggestion.table[name]
    shown = np.where(np.isfinite(values), values, np.nan)
    axes.plot(ks, shown, color=LINE, linewidth=1.6)
    error = suggestion.table.get(f"{name}_error")
    if error is not None:
        axes.fill_between(ks, shown - error, shown + error, color=LINE, alpha=0.2, linewidth=0)
    axes.axvline(suggestion.value, color=ACCENT, linewidth=1.2, zorder=1)
    own = suggestion.choices.get(name)
    if own is not None:
        axes.plot([own], shown[ks == own], "o", color=LINE, markersize=5)
    bare(axes, _TITLES[name], "k")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))
