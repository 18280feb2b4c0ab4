"""How a row looks: an image where it has an image's shape, otherwise a profile, a line over its features."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.errors import DataError, ParameterError
from gpuclust.report.figures import INK, bare

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Look", "is_image", "limits"]

#: Features of a profile, at most, that have a marker each, and their names below.
_FEW = 12


@dataclass(frozen=True)
class Look:
    """What rows are drawn as.

    Parameters
    ----------
    shape : tuple of int, optional
        (height, width), or (height, width, channels) with 1, 3 or 4 channels: an image. With ``sequence`` (length,) or
        (length, channels): a line for each channel. None: one line over all features.
    sequence : bool, default=False
    names : sequence of str, optional
        Of the features; shown where they are few.
    note : str, default=""
        Added to titles: what values are in, if not in the units of the data; of which rows.

    Raises
    ------
    ParameterError
        The shape is not that of an image.
    """

    shape: tuple[int, ...] | None = None
    sequence: bool = False
    names: Sequence[str] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.shape is None or self.sequence:
            return
        if not is_image(self.shape):
            raise ParameterError(
                f"image_shape={self.shape!r} should be (height, width), or (height, width, channels) with 1, 3 or 4 "
                "channels."
            )

    @property
    def is_image(self) -> bool:
        """Whether rows are images."""
        return self.shape is not None and not self.sequence

    def check(self, rows: np.ndarray) -> None:
        """Raise DataError unless rows (m, d) have the shape."""
        if self.shape is not None and math.prod(self.shape) != rows.shape[1]:
            raise DataError(f"image_shape={self.shape!r} does not fit rows of {rows.shape[1]} features.")

    def label(self, feature: int) -> str:
        """What to call a feature."""
        name = f"x{feature}" if self.names is None else self.names[feature]
        return textwrap.shorten(name, 18, placeholder="...") or name[:18]

    def names_shown(self, n_features: int) -> bool:
        """Whether the names of the features stand below a profile."""
        return self.shape is None and self.names is not None and n_features <= _FEW

    def strip(self, rows: np.ndarray) -> np.ndarray:
        """Rows (m, d) as images side by side, one pixel apart: (height, m * (width + 1) - 1, ...); gaps are NaN."""
        assert self.shape is not None
        height, width, channels = (*self.shape, 1)[:3]
        out = np.full((height, len(rows) * (width + 1) - 1, channels), np.nan)
        for at, row in enumerate(rows):
            out[:, at * (width + 1) : at * (width + 1) + width] = row.reshape(height, width, channels)
        return out[..., 0] if channels == 1 else out

    def show(self, axes: Axes, image: np.ndarray, extent: tuple[float, float]) -> None:
        """Draw an image, black at the low end of ``extent`` and white at the high one; NaN is white."""
        low, high = extent
        scaled = ((image - low) / ((high - low) or 1.0)).clip(0, 1)
        axes.imshow(np.where(np.isnan(scaled), 1.0, scaled), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        empty(axes)

    def line(self, axes: Axes, row: np.ndarray, **style: Any) -> None:
        """Draw a row (d,) as a line, or as one for each channel."""
        values = row.reshape(-1, 1) if self.shape is None else row.reshape(self.shape[0], -1)
        few = {"marker": "o", "markersize": 3.0} if len(values) <= _FEW else {}
        axes.plot(values, **{**few, **style})

    def dress(self, axes: Axes, n_features: int) -> None:
        """Take from the axes of a profile what is not needed, and name its features if they are few."""
        bare(axes, "", "")
        axes.tick_params(labelsize=7)
        if self.names_shown(n_features):
            named = [self.label(feature) for feature in range(n_features)]
            axes.set_xticks(range(n_features), named, rotation=40, ha="right", rotation_mode="anchor", fontsize=7)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether images of this shape can be drawn: (height, width), or with 1, 3 or 4 channels."""
    return len(shape) in (2, 3) and shape[2:] in ((), (1,), (3,), (4,))


def empty(axes: Axes) -> None:
    """Leave nothing of the frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK)


def limits(*rows: np.ndarray) -> tuple[float, float]:
    """The least and the largest value of all, without NaN."""
    values = np.concatenate([one[~np.isnan(one)] for one in rows])
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
