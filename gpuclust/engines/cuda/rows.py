"""Rows on a device, and what is derived from them: the narrow copies that screens read, and room for lists of rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import Precision, padded
from gpuclust.engines.cuda.variants import Macros, Variant, row_macros

__all__ = ["Lists", "PlacedRows", "ScreenRows", "prepare_rows", "screen_room"]

_WARPS = 8  # rows that a block prepares at a time
_GATHERED = 1 << 24  # elements of rows that are brought in another order at a time


class ScreenRows(NamedTuple):
    """Rows as a screen reads them: ``values`` (m, width) in its precision, ``norms`` and ``slacks`` (m,) float32."""

    values: Any
    norms: Any
    slacks: Any
    precision: Precision

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    def of(self, rows: slice) -> ScreenRows:
        """Some of the rows: views."""
        return self._replace(values=self.values[rows], norms=self.norms[rows], slacks=self.slacks[rows])


class Lists(NamedTuple):
    """Room for lists of a part's rows, (m,) each, and the lengths of the lists; overwritten by every use."""

    needs: Any
    kept: Any
    kept_needs: Any
    open_rows: Any
    open_limits: Any
    again: Any
    counts: Any  # (3,) int32: kept, again, open

    @property
    def lengths(self) -> tuple[Any, Any, Any]:
        """The counts one by one: views."""
        return self.counts[:1], self.counts[1:2], self.counts[2:]


class PlacedRows:
    """Rows (m, d) C-contiguous float32 or float64 on a device.

    `reserve` takes all memory that operations on these rows need: running out of it then shows when a smaller piece
    can still be tried, and not half way through an iteration.
    """

    def __init__(self, kernels: Kernels, values: Any) -> None:
        self._kernels, self.values = kernels, values
        self._screens: dict[Precision, tuple[Frame | None, ScreenRows]] = {}

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, rows: slice) -> PlacedRows:
        """Some of the rows: a view of their values, with screens and lists of its own."""
        return PlacedRows(self._kernels, self.values[rows])

    @property
    def device(self) -> int:
        """Number of the device on which they lie."""
        return self._kernels.device.number

    @property
    def n_features(self) -> int:
        return int(self.values.shape[1])

    @property
    def macros(self) -> Macros:
        """Macros of kernels that read these rows."""
        return row_macros(self.values.dtype)

    @cached_property
    def count(self) -> Any:
        """(1,) int32: the number of rows, for kernels that read counts on the device."""
        return self._kernels.xp.full(1, len(self), np.int32)

    @cached_property
    def lists(self) -> Lists:
        xp, m = self._kernels.xp, len(self)
        numbers = [xp.empty(m, np.int32) for _ in range(5)]
        needs, kept, kept_needs, open_rows, again = numbers
        return Lists(needs, kept, kept_needs, open_rows, xp.empty(m, np.float32), again, xp.zeros(3, np.int32))

    def reserve(self, precision: Precision) -> None:
        """Take the memory for assignments with a screen of this precision."""
        assert self.lists is not None
        assert self.count is not None
        if precision not in self._screens:
            room = screen_room(self._kernels, len(self), self.n_features, precision)
            self._screens[precision] = (None, room)

    def screened(self, frame: Frame, precision: Precision, order: Any | None = None) -> ScreenRows:
        """These rows in a screen's precision, prepared once per frame; in an ``order`` (m,) int32 every time."""
        self.reserve(precision)
        of, screen = self._screens[precision]
        if of is frame and order is None:
            return screen
        origin, factor = self._kernels.frames[frame].origin, frame.scale * frame.unit
        if order is None:
            prepare_rows(self._kernels, self.values, origin, factor, screen)
        else:
            step = max(1, _GATHERED // self.n_features)
            for some in (slice(first, first + step) for first in range(0, len(self), step)):
                prepare_rows(self._kernels, self.values[order[some]], origin, factor, screen.of(some))
        self._screens[precision] = (frame if order is None else None, screen)
        return screen


def screen_room(kernels: Kernels, n_rows: int, n_features: int, precision: Precision) -> ScreenRows:
    """Screen rows that are still to be prepared."""
    xp = kernels.xp
    values = xp.empty((n_rows, padded(n_features)), precision.dtype)
    return ScreenRows(values, xp.empty(n_rows, np.float32), xp.empty(n_rows, np.float32), precision)


def prepare_rows(kernels: Kernels, values: Any, origin: Any, factor: float, screen: ScreenRows) -> None:
    """Fill ``screen`` with ``(values - origin) * factor``."""
    m, d = values.shape
    kernels.launch(
        Variant("rows", row_macros(values.dtype) + screen.precision.macros), "prepare_rows",
        kernels.blocks(-(-m // _WARPS), 8), 32 * _WARPS,
        values, np.int32(m), np.int32(d), np.int32(screen.width), origin, np.float64(factor),
        *screen.precision.constants(screen.width), screen.values, screen.norms, screen.slacks,
    )  # fmt: skip
