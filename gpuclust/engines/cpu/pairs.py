"""Neighbours by pairs of tiles on the CPU: :class:`gpuclust.engines.neighborhood.Pairs`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from gpuclust.engines.base import Part
from gpuclust.engines.cpu.arrangement import Arrangement, Projection, arrange
from gpuclust.engines.cpu.comparison import Side, make_rule
from gpuclust.engines.cpu.pair_units import (
    NO_PAIRS,
    claim_pairs,
    claim_unit,
    count_unit,
    link_pairs,
    link_unit,
    roots,
    weigh_unit,
)
from gpuclust.engines.cpu.remembered import Remembered
from gpuclust.engines.cpu.threads import n_threads, run_blocks
from gpuclust.engines.neighborhood import Neighborhood, Tell, ignore

__all__ = ["CpuPairs"]

Result = TypeVar("Result")

# Bytes of packed columns: half of a second-level cache, so that a tile fits beside them.
PANELS = 512 * 2**10
# Columns are packed once for so many tiles of them at most: more save nothing, fewer balance better.
MOST_TILES = 16
# Units of work a thread gets, or more: the last one to end is then not far behind.
UNITS = 16
# Elements compared in a unit at most: some tenths of a second, the time between two words on how far it is.
LARGEST_UNIT = 1 << 33
# Rows or pairs a thread takes at a time where there is little to do for each.
BLOCK = 1 << 16


class Block(NamedTuple):
    """A part and its arrangement, and what `count_unit` knows of its tiles and groups."""

    side: Side
    n_tiles: int
    known: tuple[np.ndarray, np.ndarray]


class Unit(NamedTuple):
    """A group of columns of one block and tiles ``at`` to ``stop`` of another."""

    group: int
    at: int
    stop: int


class CpuPairs:
    """Neighbours among ``n_rows`` rows like the ``sample`` (m, d); pairs are remembered in ``memory`` bytes."""

    def __init__(self, n_rows: int, neighborhood: Neighborhood, sample: np.ndarray, memory: int) -> None:
        n_features = sample.shape[1]
        row = 4 * (n_features + 1)
        tile = make_rule(neighborhood, n_features, 1).rows
        self._tiles_per_group = min(max(PANELS // (row * tile), 2), MOST_TILES)
        self._rule = make_rule(neighborhood, n_features, self._tiles_per_group)
        self._projection = Projection(sample, neighborhood)
        self._arrangements: dict[tuple[int, int], Arrangement] = {}
        self._counts = np.ones(n_rows, np.int32)
        self._parent = np.arange(n_rows, dtype=np.int32)
        self._remembered = Remembered(max(memory - n_threads() * row * (self._rule.group + tile), 0))
        self._missed: dict[tuple[int, int], list[Unit]] = {}

    def block(self, part: Part) -> Block:
        # An arrangement is made once: what was missed is found again by its place in it.
        key = part.start, len(part.rows)
        if key not in self._arrangements:
            self._arrangements[key] = arrange(part.rows, self._projection, self._rule.rows, self._tiles_per_group)
        arrangement = self._arrangements[key]
        n_tiles = len(arrangement.low)
        return Block(Side(part.rows, *arrangement, part.start), n_tiles, self._nothing_known(n_tiles))

    def count(self, a: Block, b: Block, enough: int, tell: Tell = ignore) -> None:
        known = a.known[0], *b.known

        def run(unit: Unit) -> list[Unit]:
            missed, (group, at, stop) = [], unit
            while at < stop:
                chunk = self._remembered.take(self._rule.rows * self._rule.group)
                pairs, used = (NO_PAIRS, np.zeros(1, np.int64)) if chunk is None else (chunk.pairs, chunk.used)
                at, lost = count_unit(
                    a.side, b.side, group, at, stop, a is b, self._rule, enough, self._counts, self._parent, known,
                    pairs, used,
                )  # fmt: skip
                if chunk is not None:
                    self._remembered.give_back(chunk)
                if lost < stop:
                    missed.append(Unit(group, lost, stop))
            return missed

        missed = _run_units(run, self._units(a, b), tell)
        self._missed[a.side.start, b.side.start] = [unit for units in missed for unit in units]

    def weigh(self, a: Block, b: Block, values: np.ndarray, sums: np.ndarray, tell: Tell = ignore) -> None:
        units = self._units(a, b)
        if a is b:
            rows = slice(a.side.start, a.side.start + len(a.side.data))
            sums[rows] += values[rows]
        _run_units(lambda unit: weigh_unit(a.side, b.side, *unit, a is b, self._rule, values, sums), units, tell)
        self._missed[a.side.start, b.side.start] = units

    def cores(self, enough: int) -> np.ndarray:
        return (self._counts >= enough).view(np.uint8)

    @property
    def missed(self) -> bool:
        return any(self._missed.values())

    def link(self, core: np.ndarray) -> None:
        for pairs in self._remembered.parts():
            run_blocks(lambda lo, hi: link_pairs(pairs[lo:hi], core, self._parent), len(pairs), BLOCK)  # noqa: B023

    def link_missed(self, a: Block, b: Block, core: np.ndarray, tell: Tell = ignore) -> None:
        known = self._nothing_known(a.n_tiles)[0], *self._nothing_known(b.n_tiles)
        _run_units(
            lambda unit: link_unit(a.side, b.side, *unit, a is b, self._rule, core, self._parent, known),
            self._missed[a.side.start, b.side.start],
            tell,
        )

    def components(self, core: np.ndarray) -> np.ndarray:
        out = np.empty(len(core), np.int32)
        run_blocks(lambda lo, hi: roots(self._parent, core, lo, out[lo:hi]), len(core), BLOCK)
        return out

    def claim(self, core: np.ndarray, labels: np.ndarray) -> None:
        for pairs in self._remembered.parts():
            run_blocks(lambda lo, hi: claim_pairs(pairs[lo:hi], core, labels), len(pairs), BLOCK)  # noqa: B023

    def claim_missed(self, a: Block, b: Block, core: np.ndarray, labels: np.ndarray, tell: Tell = ignore) -> None:
        _run_units(
            lambda unit: claim_unit(a.side, b.side, *unit, a is b, self._rule, core, labels),
            self._missed[a.side.start, b.side.start],
            tell,
        )

    def _nothing_known(self, n_tiles: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(n_tiles, np.int32), np.zeros(-(-n_tiles // self._tiles_per_group), np.int32)

    def _units(self, a: Block, b: Block) -> list[Unit]:
        """The work on a and b: each group of b against the tiles of a; where a is b, those not before the group.

        Long units come first.
        """
        per_group = self._tiles_per_group
        groups = range(0, b.n_tiles, per_group)
        firsts = list(groups) if a is b else [0] * len(groups)
        total = sum(a.n_tiles - first for first in firsts)
        largest = LARGEST_UNIT // (self._rule.rows * self._rule.group * a.side.data.shape[1])
        most = max(min(-(-total // (UNITS * n_threads())), largest), 2 * per_group)
        units = []
        for group, first in enumerate(firsts):
            n_parts = -(-(a.n_tiles - first) // most)
            cuts = [first + (a.n_tiles - first) * part // n_parts for part in range(n_parts + 1)]
            units += [Unit(group, at, stop) for at, stop in pairwise(cuts)]
        return units


def _run_units(run: Callable[[Unit], Result], units: list[Unit], tell: Tell) -> list[Result]:
    """Run them on all threads. The calling thread, which works like the others, tells of tiles done between its own."""
    caller, lock = threading.get_ident(), threading.Lock()
    done, total, stopped = 0, sum(unit.stop - unit.at for unit in units), False

    def block(lo: int, hi: int) -> Result | None:
        nonlocal done, stopped
        if stopped:
            return None
        result = run(units[lo])
        with lock:
            done += units[lo].stop - units[lo].at
        if threading.get_ident() == caller:
            try:
                tell(done, total)
            except BaseException:
                stopped = True
                raise
        return result

    return run_blocks(block, len(units), 1)  # type: ignore[arg-type]
