"""Pairs of neighbours by tiles: each is counted, remembered, joined or claimed once, and the screen decides most."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import dbscan_reference as oracle
from tests.emulation import Module
from tests.emulation.sanitize import sanitized
from tests.kernels.screens import RHO, UNIT_ROUNDOFF, Rows, Vectors, rounded
from tests.kernels.tiles import launch

SCREENS = ["half", "single"]
METRICS = {"euclidean": 0, "manhattan": 1, "chebyshev": 2}
# Widths of a part of a slice, of several, of one too long to stay in shared memory.
SHAPES = [(1, 1), (140, 3), (270, 20), (150, 130), (40, 520)]


def spread_of(screen: str, metric: str, d: int) -> np.float32:
    return np.float32(np.sqrt(2 * RHO[screen] * (d if metric == "manhattan" else 1)) * 1.01)


class Columns:
    """Rows as columns: what `columns` of dbscan_pairs.cu makes of them."""

    def __init__(self, rows: Rows, screen: str, metric: str, d: int, panel: int = 128, **options: Any) -> None:
        n, width = len(rows.norms), int(rows.width)
        self.constants, self.twice = np.full((2, -(-n // panel) * panel), np.nan, np.float32)
        gamma = 2.4 * (1.25 * width + 16) * UNIT_ROUNDOFF[screen] if metric == "euclidean" else 0.0
        Module("dbscan_pairs", {}, **options).get_function("columns")(
            (2,), (256,),
            (rows.norms, rows.slacks, np.int32(n), np.int32(len(self.twice)), np.float64(gamma),
             spread_of(screen, metric, d), self.constants, self.twice),
        )  # fmt: skip


class Case:
    """Rows x, of which some are compared with others, the true neighbours, and what the kernels have an entry for.

    Blocks are in an order of their own.
    """

    def __init__(self, x: np.ndarray, eps: float, screen: str = "half", metric: str = "euclidean", **options: Any):
        self.x, self.screen, self.metric, self.options = x, screen, metric, options
        n = len(x)
        self.scale, self.limit = oracle.scale(eps), oracle.limit(eps, metric)
        self.distances = oracle.distances(x, x, eps, metric)
        self.near = self.distances <= self.limit
        t = (x.astype(np.float64) - np.median(x, axis=0)) * self.scale
        self.unit = 2.0 ** -np.round(np.log2(np.sqrt(np.median((t * t).mean(axis=1))) or 1.0))
        self.vectors = rounded(t * self.unit, screen)
        self.core, self.labels = np.zeros(n, np.uint8), np.arange(n, dtype=np.int32)
        self.panel = 128 if screen == "half" else 64
        self.counts, self.parent = np.ones(n, np.int32), np.arange(n, dtype=np.int32)
        self.pairs, self.listed = np.full((n * n, 2), -1, np.int32), np.zeros(2, np.int32)

    def order(self, rows: slice) -> np.ndarray:
        first, end, _ = rows.indices(len(self.x))
        return np.random.default_rng(first).permutation(end - first).astype(np.int32)

    def part(self, rows: slice) -> tuple[Rows, Columns]:
        vectors = Vectors(*(np.ascontiguousarray(values[rows][self.order(rows)]) for values in self.vectors))
        made = Rows.of(vectors)
        return made, Columns(made, self.screen, self.metric, self.x.shape[1], **self.options)

    def compare(
        self, kernel: str, *args: Any, rows: slice = slice(None), columns: slice | None = None, span: int = 1,
        near: Callable[[int, int], bool] = lambda tile, panel: True, tiles: int = 64, x: np.ndarray | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        """Run a kernel on two blocks; the columns are the rows where they are not given.

        Tiles are compared with the panels that are ``near``, by launches of so many ``tiles``.
        """
        d, n = self.x.shape[1], len(self.x)
        x = self.x if x is None else x
        mine, own_columns = self.part(rows)
        columns = rows if columns is None else columns
        theirs, theirs_as_columns = (mine, own_columns) if columns == rows else self.part(columns)
        factor = self.unit**2 if self.metric == "euclidean" else self.unit
        error = 0.0 if self.metric == "euclidean" else 2.2 * (int(mine.width) + 16) * 2.0**-24
        below, above = np.float32(self.limit * factor * np.array([1 - error, 1 + error]) * [1 - 2**-22, 1 + 2**-22])
        first, second = rows.indices(n)[0], columns.indices(n)[0]
        macros = {"METRIC": METRICS[self.metric], "PANEL": self.panel, **options.pop("macros", {})}
        panel, n_tiles = macros["PANEL"], -(-len(mine.norms) // 128)
        n_panels = -(-len(theirs.norms) // panel)
        for begin in range(0, n_tiles, tiles):
            lists = [
                [p for p in range(begin_panel, n_panels) if near(t, p)]
                for t in range(begin, min(begin + tiles, n_tiles))
                for begin_panel in [128 * t // panel if columns == rows else 0]
            ]
            listed, counts = np.full((len(lists), n_panels), 2**30, np.int32), np.array(list(map(len, lists)), np.int32)
            for t, panels in enumerate(lists):
                listed[t, : len(panels)] = panels
            launch(
                "dbscan_tiles", kernel, SimpleNamespace(screen=self.screen, x=self.x), mine, np.int32(len(mine.norms)),
                np.int32(first), self.order(rows), theirs.values, theirs_as_columns.constants, theirs_as_columns.twice,
                np.int32(len(theirs.norms)), np.int32(second), self.order(columns), x[rows], x[columns], np.int32(d),
                np.float64(self.scale), np.float64(self.limit), below, above,
                spread_of(self.screen, self.metric, d), listed, counts, counts.max(keepdims=True), np.int32(begin),
                np.int32(len(lists)), np.int32(span), *args, macros=dict(macros), **self.options, **options,
            )  # fmt: skip

    def count(self, enough: int, *, capacity: int | None = None, **options: Any) -> np.ndarray:
        """Returns which tiles missed a pair in which panels."""
        columns = options.get("columns") or options.get("rows") or slice(None)
        panel = options.get("macros", {}).get("PANEL", self.panel)
        n_panels = -(-len(range(*columns.indices(len(self.x)))) // panel)
        missed = np.zeros((8, n_panels), np.int32)
        room = np.int32(len(self.pairs) if capacity is None else capacity)
        self.compare(
            "count_pairs", np.int32(enough), self.counts, self.parent, self.pairs, room, self.listed, missed,
            np.int32(1), **options,
        )  # fmt: skip
        return missed

    def remembered(self) -> set[tuple[int, int]]:
        """The lower number first, which a block's own order need not."""
        found = [tuple(sorted(pair)) for pair in self.pairs[: self.listed[0]].tolist()]
        assert len(set(found)) == len(found)
        return set(found)

    def true_pairs(self, near: np.ndarray | None = None) -> set[tuple[int, int]]:
        near = self.near if near is None else near
        return {(int(i), int(j)) for i, j in np.argwhere(np.triu(near, 1))}


def rows_of(n: int, d: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Rows at all scales about a few points, some of them twice."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, d))[rng.integers(3, size=n)] + rng.normal(size=(n, d)) * rng.exponential(0.4, (n, 1))
    x[n // 2 :][: n // 9] = x[: n // 9]
    return np.ascontiguousarray(x, dtype)


def eps_of(x: np.ndarray, metric: str = "euclidean", share: float = 0.06) -> float:
    """A distance within which ``share`` of all pairs are."""
    found = oracle.distances(x, x, 1.0, metric) * (4 if metric == "euclidean" else 2)
    distance = float(np.quantile(found, share)) or 1.0
    return distance**0.5 if metric == "euclidean" else distance


def case(n: int, d: int, screen: str, metric: str = "euclidean", dtype: Any = np.float32, **options: Any) -> Case:
    x = rows_of(n, d, dtype)
    return Case(x, eps_of(x, metric), screen, metric, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("screen", SCREENS)
def test_all_pairs_of_a_block(screen, shape):
    them = case(*shape, screen)
    n = shape[0]
    assert not them.count(n + 1).any()
    assert them.remembered() == them.true_pairs()
    np.testing.assert_array_equal(them.counts, them.near.sum(axis=1))
    np.testing.assert_array_equal(them.parent, np.arange(n))
    assert n == 1 or 10 < len(them.true_pairs()) < n * n / 4


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev"])
@pytest.mark.parametrize("shape", [(140, 3), (150, 130)], ids=str)
def test_other_metrics(metric, shape):
    them = case(*shape, "single", metric, np.float64)
    them.count(1000)
    assert them.remembered() == them.true_pairs()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(
    "options",
    [
        {"blocks": 4, "resident": 4, "order": "random", "macros": {"PANEL": 32}},
        {"order": "lifo", "span": 2, "tiles": 1},
        {"macros": {"RESIDENT": 0, "SLICE_BYTES": 64, "STAGES": 2}, "span": 9},
    ],
    ids=str,
)
def test_blocks_of_float64_rows_in_any_order(screen, options):
    them = case(300, 20, screen, dtype=np.float64)
    first, second = slice(0, 170), slice(170, 300)
    for rows, columns in ((first, None), (first, second), (second, None)):
        them.count(1000, rows=rows, columns=columns, **options)
    assert them.remembered() == them.true_pairs()
    np.testing.assert_array_equal(them.counts, them.near.sum(axis=1))


@pytest.mark.parametrize(("screen", "metric"), [("half", "euclidean"), *(("single", metric) for metric in METRICS)])
def test_the_screen_decides_what_it_can(screen, metric):
    """Canonical distances are told that every pair in doubt is none, and that it is one."""
    x = np.random.default_rng(4).normal(size=(150, 12))
    width = {"half": 0.02, "single": 1e-4}[screen]
    for stand_in, nearer, farther in ((np.nan, 1 - width, 1.0), (0.0, 1.0, 1 + width)):
        them = Case(x, eps_of(x, metric), screen, metric)
        them.count(1000, x=np.full_like(x, stand_in))
        assert them.true_pairs(them.distances <= them.limit * nearer) <= them.remembered()
        assert them.remembered() <= them.true_pairs(them.distances <= them.limit * farther)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("screen", SCREENS)
def test_numbers_that_are_no_bounds_are_no_reason_to_leave_out_a_pair(screen):
    """A row whose norm is infinite in float32 is compared with every other one, but not with the padding of a tile."""
    x = rows_of(140, 4, np.float64)
    x[105], x[106] = 1e30, 1e30
    them = Case(x, eps_of(x[:100]), screen)
    first, second = slice(0, 100), slice(100, 140)
    for rows, columns in ((first, None), (first, second), (second, None)):
        them.count(1000, rows=rows, columns=columns)
    assert them.remembered() == them.true_pairs()
    assert (105, 106) in them.true_pairs()


@pytest.mark.parametrize("enough", [2, 4, 12])
@pytest.mark.parametrize("options", [{}, {"blocks": 4, "resident": 4, "order": "random", "yields": 10}], ids=str)
def test_pairs_of_core_rows_are_joined_or_remembered(enough, options):
    them = case(280, 6, "half")
    them.count(enough, **options)
    counts = them.near.sum(axis=1)
    np.testing.assert_array_equal(them.counts >= enough, counts >= enough)
    np.testing.assert_array_equal(them.counts[counts < enough], counts[counts < enough])
    remembered, core = them.remembered(), counts >= enough
    assert len(remembered) <= len(core) * (enough - 2)
    for i, j in them.true_pairs() - remembered:
        assert core[i]
        assert core[j]
    follow(them, "link_listed", core, them.parent)
    np.testing.assert_array_equal(components(them, core), expected_components(them.near, core))


@pytest.mark.parametrize("options", [{}, {"blocks": 3, "resident": 3, "order": "random", "yields": 10}], ids=str)
@pytest.mark.parametrize("screen", SCREENS)
def test_what_there_is_no_room_for_is_missed(screen, options):
    them = case(280, 6, screen)
    kept = them.pairs.copy()
    missed = them.count(25, capacity=50, **options)
    assert them.listed[0] >= 50
    assert them.listed[1] == 1
    np.testing.assert_array_equal(them.pairs[50:], kept[50:])
    core = them.near.sum(axis=1) >= 25
    them.listed[0] = 50
    lost = {(i, j) for i, j in them.true_pairs() - them.remembered() if not (core[i] and core[j])}
    assert lost
    places = np.argsort(them.order(slice(None)))
    assert all(
        missed[low // 128, high // them.panel] for low, high in map(sorted, (places[list(pair)] for pair in lost))
    )
    follow(them, "link_listed", core, them.parent)
    them.compare("link_pairs", core.astype(np.uint8), them.parent, near=lambda t, p: missed[t, p] != 0, **options)
    np.testing.assert_array_equal(components(them, core), expected_components(them.near, core))
    labels = components(them, core)
    wanted = claimed(them.near, core, labels)
    follow(them, "claim_listed", core, labels)
    assert (labels != wanted).any()
    them.compare("claim_pairs", core.astype(np.uint8), labels, near=lambda t, p: missed[t, p] != 0, **options)
    np.testing.assert_array_equal(labels, wanted)


def test_panels_that_are_not_near_are_left_out():
    them = case(280, 6, "half")
    core = np.ones(280, np.uint8)
    # Of three tiles the second, and the third panel.
    them.compare("link_pairs", core, them.parent, near=lambda tile, panel: (tile, panel) == (1, 2))
    order, only = them.order(slice(None)), np.zeros_like(them.near)
    pairs = np.ix_(order[128:256], order[256:])
    only[pairs] = them.near[pairs]
    np.testing.assert_array_equal(components(them, core.astype(bool)), expected_components(only | only.T, core == 1))


@pytest.mark.parametrize("screen", SCREENS)
def test_weigh(screen):
    them = case(270, 9, screen)
    values = np.random.default_rng(5).integers(-(2**62), 2**62, 270)
    sums = np.zeros(270, np.int64)
    first, second = slice(0, 140), slice(140, 270)
    for rows, columns in ((first, None), (first, second), (second, None)):
        them.compare("weigh_pairs", values, sums, rows=rows, columns=columns, blocks=3)
    others = them.near & ~np.eye(270, dtype=bool)
    np.testing.assert_array_equal(sums, others.astype(np.int64) @ values)


@pytest.mark.parametrize("options", [{}, {"resident": 4, "order": "random", "yields": 30}], ids=str)
def test_claim_takes_the_lowest_label(options):
    rng = np.random.default_rng(6)
    near, core = np.zeros((300, 300), bool), rng.random(300) < 0.5
    pairs = rng.integers(0, 300, (900, 2)).astype(np.int32)
    near[pairs[:, 0], pairs[:, 1]] = near[pairs[:, 1], pairs[:, 0]] = True
    labels = np.where(core, rng.integers(0, 9, 300), -1).astype(np.int32)
    wanted = claimed(near, core, labels)
    them = SimpleNamespace(pairs=pairs, listed=np.array([900, 0], np.int32))
    follow(them, "claim_listed", core, labels, **options)
    np.testing.assert_array_equal(labels, wanted)


def test_columns():
    """The bounds of bounds.cuh: of the score of a row that is also a column, with the row's part of the error."""
    x = rows_of(200, 7, np.float64) * np.geomspace(1e-25, 1e15, 200)[:, None]
    for screen in SCREENS:
        vectors = rounded(x, screen)
        columns = Columns(Rows.of(vectors), screen, "euclidean", 7)
        gamma = 2.4 * (1.25 * 16 + 16) * UNIT_ROUNDOFF[screen]
        least = vectors.slacks + 0.5 * gamma * vectors.norms - 0.5 * vectors.norms
        constants, twice = columns.constants.astype(np.float64), columns.twice.astype(np.float64)
        assert (constants[:200] >= least).all()
        assert (twice[:200] >= constants[:200] + 0.5 * vectors.norms + vectors.slacks).all()
        assert (twice[:200] <= 3 * vectors.slacks + 3 * gamma * vectors.norms + 1e-30).all()
        assert not constants[200:].any()
        assert not twice[200:].any()
        residuals = np.sqrt(np.square(np.pad(x, ((0, 0), (0, 9))) - vectors.values).sum(axis=1))
        assert (Columns(Rows.of(vectors), screen, "chebyshev", 7).twice[:200] >= residuals).all()
        assert (Columns(Rows.of(vectors), screen, "manhattan", 7).twice[:200] >= residuals * 7**0.5).all()


def follow(them: Any, kernel: str, core: np.ndarray, result: np.ndarray, **options: Any) -> None:
    Module("dbscan_pairs", {}, **options).get_function(kernel)(
        (4,), (256,), (them.pairs, np.int32(len(them.pairs)), them.listed, core.astype(np.uint8), result)
    )


def components(them: Case, core: np.ndarray) -> np.ndarray:
    out = np.full(len(core), -7, np.int32)
    Module("dbscan_pairs", {}).get_function("roots")(
        (2,), (256,), (them.parent.copy(), np.int32(len(core)), core.astype(np.uint8), out)
    )
    return out


def expected_components(near: np.ndarray, core: np.ndarray) -> np.ndarray:
    """For each core row the smallest row of its component; -1 for others."""
    smallest = np.where(core, np.arange(len(core)), len(core))
    linked = (near | np.eye(len(core), dtype=bool)) & core[:, None] & core
    while True:
        lower = np.where(linked, smallest[:, None], len(core)).min(axis=0)
        if (lower == smallest).all():
            return np.where(core, smallest, -1).astype(np.int32)
        smallest = lower


def claimed(near: np.ndarray, core: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Other rows with the lowest label of their core neighbours."""
    lowest = np.where(near & core[:, None], labels[:, None], 2**31 - 1).min(axis=0)
    return np.where(core, labels, np.where(lowest == 2**31 - 1, -1, lowest)).astype(np.int32)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_sanitized(sanitizer, screen):
    options = {"blocks": 3, "resident": 3, "order": "random", "yields": 20}
    sanitized(sanitizer, test_what_there_is_no_room_for_is_missed, screen=screen, options=options)
