"""Neighbours among blocks of rows by tiles: kernels/dbscan_tiles.cu and kernels/dbscan_pairs.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust._cancel import checkpoint
from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.arrangement import Arrangement, Projection
from gpuclust.engines.cuda.blocks import Block, Limits, prepare_block
from gpuclust.engines.cuda.device import on_device
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.near import NearPanels
from gpuclust.engines.cuda.precision import SINGLE_PRECISION, Precision, padded
from gpuclust.engines.cuda.tiles import pairs_tile
from gpuclust.engines.cuda.variants import Variant, metric_macros
from gpuclust.engines.neighborhood import Neighborhood, Tell, ignore

__all__ = ["CudaPairs"]

_LISTED = Variant("dbscan_pairs")
# Panels that a tile is compared with at a time: enough to make up for reading its rows.
_SPAN = 32
_MOST_PAIRS = 1 << 30


class CudaPairs:
    """See :class:`gpuclust.engines.neighborhood.Pairs`.

    Takes 13 bytes a row, and 8 for every pair that is remembered: at most ``enough - 2`` of them a row. Metrics other
    than "euclidean" are screened in float32, whatever the ``precision``: where that is float16, rows get a second copy.
    ``sample`` (m, d): some of the rows.
    """

    def __init__(
        self,
        kernels: Kernels,
        precision: Precision,
        n_rows: int,
        neighborhood: Neighborhood,
        frame: Frame,
        sample: np.ndarray,
        memory: int,
    ) -> None:
        xp = kernels.xp
        self.device, self._kernels = kernels.device, kernels
        self._neighborhood, self._frame = neighborhood, frame
        self._precision = precision if neighborhood.metric == "euclidean" else SINGLE_PRECISION
        self._tile = pairs_tile(kernels.device, self._precision, padded(sample.shape[1]))
        self._room = min(max(0, memory - 8 * n_rows) // 8, _MOST_PAIRS)
        with kernels.device.active():
            self._projection = Projection(kernels, sample, neighborhood, self._tile)
            self._counts = xp.full(n_rows, 1, np.int32)
            self._parent = xp.arange(n_rows, dtype=np.int32)
            self._pairs = xp.empty((1, 2), np.int32)  # as many as `enough` asks for, from the first count on
            self._listed = xp.zeros(2, np.int32)  # how many pairs, and whether there was no room for others
        self._arrangements: dict[tuple[int, int], Arrangement] = {}
        self._missed: dict[tuple[int, ...], Any] = {}  # by pair of blocks: which tiles and panels have such others

    @on_device
    def block(self, part: Part) -> Block:
        # An arrangement is made once: what was missed is found again by its place in it.
        key = part.start, len(part.rows)
        if key not in self._arrangements:
            self._arrangements[key] = self._projection.arrange(part.rows)
        return prepare_block(
            self._kernels, part, self._arrangements[key], self._neighborhood, self._frame, self._precision
        )

    @on_device
    def count(self, a: Block, b: Block, enough: int, tell: Tell = ignore) -> None:
        xp, near = self._kernels.xp, self._near(a, b)
        if not self._missed:
            room = min(self._room, len(self._counts) * max(0, enough - 2))
            self._pairs = xp.empty((max(1, room), 2), np.int32)
        missed = self._missed[_which(a, b)] = xp.zeros(near.n_parts, np.int32)
        self._compare(
            "count_pairs", a, b, near, tell,
            np.int32(enough), self._counts, self._parent, *self._remembered, missed, np.int32(near.part),
        )  # fmt: skip

    @on_device
    def weigh(self, a: Block, b: Block, values: Any, sums: Any, tell: Tell = ignore) -> None:
        if a.start == b.start:
            own = slice(a.start, a.start + len(a))
            self._kernels.xp.add(sums[own], values[own], out=sums[own])
        self._compare("weigh_pairs", a, b, self._near(a, b), tell, values, sums)

    @on_device
    def cores(self, enough: int) -> Any:
        return (self._counts >= enough).astype(np.uint8)

    @property
    @on_device
    def missed(self) -> bool:
        return not self._missed or bool(self._listed.get()[1])

    @on_device
    def link(self, core: Any) -> None:
        self._kernels.launch(
            _LISTED, "link_listed", self._blocks(len(self._pairs)), 256, *self._remembered, core, self._parent
        )

    @on_device
    def link_missed(self, a: Block, b: Block, core: Any, tell: Tell = ignore) -> None:
        chosen = self._missed.get(_which(a, b))
        self._compare("link_pairs", a, b, self._near(a, b), tell, core, self._parent, chosen=chosen)

    @on_device
    def components(self, core: Any) -> Any:
        n = len(self._parent)
        out = self._kernels.xp.empty(n, np.int32)
        self._kernels.launch(_LISTED, "roots", self._blocks(n), 256, self._parent, np.int32(n), core, out)
        return out

    @on_device
    def claim(self, core: Any, labels: Any) -> None:
        self._kernels.launch(
            _LISTED, "claim_listed", self._blocks(len(self._pairs)), 256, *self._remembered, core, labels
        )

    @on_device
    def claim_missed(self, a: Block, b: Block, core: Any, labels: Any, tell: Tell = ignore) -> None:
        chosen = self._missed.get(_which(a, b))
        self._compare("claim_pairs", a, b, self._near(a, b), tell, core, labels, chosen=chosen)

    @property
    def _remembered(self) -> tuple[Any, np.int32, Any]:
        return self._pairs, np.int32(len(self._pairs)), self._listed

    def _blocks(self, n: int) -> int:
        return self._kernels.blocks(-(-n // 256), 8)

    def _near(self, a: Block, b: Block) -> NearPanels:
        return NearPanels(self._kernels, a, b, self._neighborhood, self._tile)

    def _compare(
        self, name: str, a: Block, b: Block, near: NearPanels, tell: Tell, *args: Any, chosen: Any | None = None
    ) -> None:
        """Launch a kernel of dbscan_tiles.cu on two blocks, for a range of tiles after the other.

        Of each range ``tell`` hears once the next is under way: the device is never idle.
        """
        neighborhood, tile, rows, width = self._neighborhood, self._tile, a.rows, a.screen.width
        limits = Limits.of(neighborhood, self._frame, self._precision, rows.n_features, width)
        variant = Variant("dbscan_tiles", rows.macros + metric_macros(neighborhood.metric) + tile.macros)
        spans = -(-near.n_panels // _SPAN)
        total, before = _pairs_before(len(a), a, b), None
        for first, n, lists in near.ranges(chosen):
            checkpoint()
            self._kernels.launch(
                variant, name, tile.blocks(self.device, n * spans * tile.rows), tile.threads,
                a.screen.values, np.int32(width), a.screen.norms, a.screen.slacks, np.int32(len(a)), np.int32(a.start),
                a.arrangement.order,
                b.screen.values, b.constants, b.twice, np.int32(len(b)), np.int32(b.start), b.arrangement.order,
                a.rows.values, b.rows.values, np.int32(rows.n_features),
                np.float64(neighborhood.scale), np.float64(neighborhood.limit), *limits, *lists, np.int32(_SPAN),
                *args, shared_memory=tile.shared_memory(width),
            )  # fmt: skip
            if before is not None:
                before.synchronize()
                tell(_pairs_before(first * tile.rows, a, b), total)
            before = self._kernels.xp.cuda.Event(disable_timing=True)
            before.record()
        assert before is not None
        before.synchronize()
        tell(total, total)


def _which(a: Block, b: Block) -> tuple[int, ...]:
    return a.start, len(a), b.start, len(b)


def _pairs_before(row: int, a: Block, b: Block) -> int:
    """Pairs of the rows before ``row`` of a: with those of b, or those that are not before them where b is a."""
    return row * len(b) - (row * (row - 1) // 2 if a.start == b.start else 0)
