"""Loss curves: every term of every stage of a training, and the loss of the rows held out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.errors import ParameterError
from gpuclust.report.figures import ACCENT, CLUSTERS, INK, bare, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gpuclust.deep.history import History

__all__ = ["plot_losses"]

#: From this ratio of the largest to the least value on, a logarithmic axis shows both.
_WIDE = 20


def plot_losses(histories: Mapping[str, History], to: str | os.PathLike[str] | Figure) -> None:
    """Plot the terms of the loss over the epochs, a panel for each stage of the training.

    Parameters
    ----------
    histories : dict of str to History
        By name of the stage: ``{"training": autoencoder.history_}``.
    to : path or matplotlib Figure
        File to write (.png, .svg, .pdf), or a figure to draw on.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    ParameterError
        There is no epoch to plot.
    """
    stages = {name: history for name, history in histories.items() if len(history)}
    if not stages:
        raise ParameterError(f"histories of {list(histories)} should have at least one epoch.")
    with drawn(to, 4.8 * len(stages), 3.4) as figure:
        panels = figure.subplots(1, len(stages), squeeze=False)
        for axes, (name, history) in zip(panels.flat, stages.items(), strict=True):
            _plot_stage(axes, name, history)


def _plot_stage(axes: Any, name: str, history: History) -> None:
    epochs = np.arange(1, len(history) + 1)
    terms = list(history.epochs[0].terms)
    curves = {term: np.array([epoch.terms[term] for epoch in history]) for term in terms}
    if len(terms) > 1:
        axes.plot(epochs, history.losses, color=INK, linewidth=2.2, label="sum")
    for term, color in zip(terms, CLUSTERS, strict=False):
        axes.plot(epochs, curves[term], color=color, linewidth=1.6, label=term)
    drawn = np.concatenate([*curves.values(), history.losses])
    held_out = [epoch.validation for epoch in history]
    if held_out[0] is not None:
        axes.plot(epochs, held_out, color=ACCENT, linewidth=1.4, linestyle="--", label="held out")
        axes.axvline(history.best + 1, color=ACCENT, linewidth=0.8, linestyle=":")
        drawn = np.concatenate([drawn, np.array(held_out, float)])
    if len(history) == 1:
        for line in axes.lines:
            line.set_marker("o")
    if drawn.min() > 0 and drawn.max() > _WIDE * drawn.min():
        axes.set_yscale("log")
    bare(axes, f"{name}: loss after each epoch", "epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)
