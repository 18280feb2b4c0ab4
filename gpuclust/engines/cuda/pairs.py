"""Neighbours among blocks of rows by tiles: kernels/dbscan_tiles.cu and kernels/dbscan_pairs.cu."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.blocks import Block, Limits, prepare_block
from gpuclust.engines.cuda.device import on_device
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.precision import SINGLE_PRECISION, Precision
from gpuclust.engines.cuda.tiles import Tile, pairs_tile
from gpuclust.engines.cuda.variants import Variant, metric_macros
from gpuclust.engines.neighborhood import Neighborhood

__all__ = ["CudaPairs"]

_LISTED = Variant("dbscan_pairs")
# Panels that a tile is compared with at a time: as many as make no more than _MOST_SPANS, and no fewer than this.
_SPAN, _MOST_SPANS = 32, 16
_MOST_PAIRS = 1 << 30


class _Comparison(NamedTuple):
    """How a kernel is launched that compares two blocks, and what all of them are given."""

    variant: Variant
    tile: Tile
    n_items: int  # tiles times spans
    blocks: int
    shared_memory: int
    arguments: tuple[Any, ...]


class CudaPairs:
    """See :class:`gpuclust.engines.neighborhood.Pairs`.

    Takes 8 bytes a row, and 8 for every pair that is remembered: at most ``enough - 2`` of them a row. Metrics other
    than "euclidean" are screened in float32, whatever the ``precision``: where that is float16, rows get a second copy.
    """

    def __init__(
        self,
        kernels: Kernels,
        precision: Precision,
        n_rows: int,
        neighborhood: Neighborhood,
        frame: Frame,
        memory: int,
    ) -> None:
        xp = kernels.xp
        self.device, self._kernels = kernels.device, kernels
        self._neighborhood, self._frame = neighborhood, frame
        self._precision = precision if neighborhood.metric == "euclidean" else SINGLE_PRECISION
        self._room = min(max(0, memory - 8 * n_rows) // 8, _MOST_PAIRS)
        self._counts = xp.full(n_rows, 1, np.int32)
        self._parent = xp.arange(n_rows, dtype=np.int32)
        self._pairs = xp.empty((1, 2), np.int32)  # as many as `enough` asks for, from the first count on
        self._listed = xp.zeros(2, np.int32)  # how many pairs, and whether there was no room for others
        self._missed: dict[tuple[int, ...], Any] = {}  # by pair of blocks: which tiles and spans have such others

    @on_device
    def block(self, part: Part) -> Block:
        return prepare_block(self._kernels, part, self._neighborhood, self._frame, self._precision)

    @on_device
    def count(self, a: Block, b: Block, enough: int) -> None:
        xp, compared = self._kernels.xp, self._compared(a, b)
        if not self._missed:
            room = min(self._room, len(self._counts) * max(0, enough - 2))
            self._pairs = xp.empty((max(1, room), 2), np.int32)
        missed = self._missed[_which(a, b)] = xp.zeros(compared.n_items, np.int32)
        self._kernels.launch(
            compared.variant, "count_pairs", compared.blocks, compared.tile.threads, *compared.arguments, None,
            np.int32(enough), self._counts, self._parent, *self._remembered, missed,
            shared_memory=compared.shared_memory,
        )  # fmt: skip

    @on_device
    def weigh(self, a: Block, b: Block, values: Any, sums: Any) -> None:
        if a.start == b.start:
            own = slice(a.start, a.start + len(a))
            self._kernels.xp.add(sums[own], values[own], out=sums[own])
        compared = self._compared(a, b)
        self._kernels.launch(
            compared.variant, "weigh_pairs", compared.blocks, compared.tile.threads, *compared.arguments, None,
            values, sums, shared_memory=compared.shared_memory,
        )  # fmt: skip

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
    def link_missed(self, a: Block, b: Block, core: Any) -> None:
        compared = self._compared(a, b)
        self._kernels.launch(
            compared.variant, "link_pairs", compared.blocks, compared.tile.threads, *compared.arguments,
            self._missed.get(_which(a, b)), core, self._parent, shared_memory=compared.shared_memory,
        )  # fmt: skip

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
    def claim_missed(self, a: Block, b: Block, core: Any, labels: Any) -> None:
        compared = self._compared(a, b)
        self._kernels.launch(
            compared.variant, "claim_pairs", compared.blocks, compared.tile.threads, *compared.arguments,
            self._missed.get(_which(a, b)), core, labels, shared_memory=compared.shared_memory,
        )  # fmt: skip

    @property
    def _remembered(self) -> tuple[Any, np.int32, Any]:
        return self._pairs, np.int32(len(self._pairs)), self._listed

    def _blocks(self, n: int) -> int:
        return self._kernels.blocks(-(-n // 256), 8)

    def _compared(self, a: Block, b: Block) -> _Comparison:
        device, neighborhood, rows, width = self._kernels.device, self._neighborhood, a.rows, a.screen.width
        tile = pairs_tile(device, self._precision, width)
        limits = Limits.of(neighborhood, self._frame, self._precision, rows.n_features, width)
        n_panels = -(-len(b) // tile.panel)
        span = max(_SPAN, -(-n_panels // _MOST_SPANS))
        n_items = -(-len(a) // tile.rows) * -(-n_panels // span)
        return _Comparison(
            Variant("dbscan_tiles", rows.macros + metric_macros(neighborhood.metric) + tile.macros),
            tile, n_items, tile.blocks(device, n_items * tile.rows), tile.shared_memory(width),
            (
                a.screen.values, np.int32(width), a.screen.norms, a.screen.slacks, np.int32(len(a)), np.int32(a.start),
                b.screen.values, b.constants, b.twice, np.int32(len(b)), np.int32(b.start),
                a.rows.values, b.rows.values, np.int32(rows.n_features),
                np.float64(neighborhood.scale), np.float64(neighborhood.limit), *limits, np.int32(span),
            ),
        )  # fmt: skip


def _which(a: Block, b: Block) -> tuple[int, ...]:
    return a.start, len(a), b.start, len(b)
