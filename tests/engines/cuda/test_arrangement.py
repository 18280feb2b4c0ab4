"""The order of rows for tiles on an emulated device, and that no neighbours are among the panels left out."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.cuda import near
from gpuclust.engines.neighborhood import METRICS
from tests import dbscan_reference as oracle
from tests.engines.cuda.test_pairs import Run, assert_same, blobs, knee

TILE, PANEL = 128, 64  # rows of a tile, columns of a panel, of screens in float32


def listed(run, a=0, b=0):
    """Which tiles of block a are compared with which panels of block b."""
    lists = near.NearPanels(run.pairs._kernels, run.blocks[a], run.blocks[b], run.pairs._neighborhood, run.pairs._tile)
    found = np.zeros((lists.n_tiles, lists.n_panels), bool)
    for first, n, (panels, counts, most, *_) in lists.ranges(None):
        panels, counts = panels.get()[: n * lists.n_panels].reshape(n, -1), counts.get()[:n]
        assert int(most.get()[0]) == counts.max()
        for t in range(n):
            found[first + t, panels[t, : counts[t]]] = True
    return found


def compared(run, a=0, b=0):
    """(rows of a, rows of b) bool: the pairs of rows that are compared, by their numbers in the blocks."""
    tile, panel = run.pairs._tile.rows, run.pairs._tile.panel
    places = [np.argsort(run.blocks[i].arrangement.order.get()) for i in (a, b)]
    pairs = listed(run, a, b)[places[0][:, None] // tile, places[1] // panel]
    return pairs | pairs.T if a == b else pairs


def apart(n=900, d=12, seed=0):
    """Thirty crowds far from each other."""
    rng = np.random.default_rng(seed)
    return (1000 * rng.normal(size=(30, d))[rng.integers(30, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


@pytest.mark.parametrize("cut", [None, 500])
@pytest.mark.parametrize("metric", METRICS)
def test_tiles_that_are_far_apart_are_not_compared(metric, cut):
    X = apart()
    run = Run(X, 9.0, metric, cut=cut)
    orders = [block.arrangement.order.get() for block in run.blocks]
    for block, order in zip(run.blocks, orders, strict=True):
        assert sorted(order) == list(range(len(block)))
    done = sum(listed(run, a, b).sum() for a in range(len(run.blocks)) for b in range(a, len(run.blocks)))
    n_tiles, n_panels = -(-len(X) // run.pairs._tile.rows), -(-len(X) // run.pairs._tile.panel)
    assert done < 0.4 * n_tiles * n_panels
    assert_same(run.clusters(5), oracle.dbscan(X, 9.0, 5, metric))


def test_panels_that_are_not_listed_are_not_compared(monkeypatch):
    """With a limit that promises nothing neighbours are lost."""
    monkeypatch.setattr(near, "_RAISED", 1e-9)
    X = blobs(600, 10)
    found, expected = Run(X, knee(X)).clusters(5), oracle.dbscan(X, knee(X), 5)
    assert found.core.sum() < expected.core.sum()


def hard_sets():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(300, 5))
    curve = np.linspace(0, 30, 300)[:, None] * np.ones(5) + 0.01 * base
    yield "shifted", (base + 1e6).astype(np.float32), 0.5
    yield "blocks", base + 1e4 * np.sign(rng.normal(size=(300, 1))), 0.7
    yield "outlier", np.concatenate([base, [[1e9] * 5, [-1e30] * 5]]), 0.7
    yield "overflow", np.concatenate([base, np.full((9, 5), 2.0**900), np.full((9, 5), -(2.0**900))]), 0.7
    yield "huge", base * 1e300, 0.7e300
    yield "tiny", base * 1e-300, 0.7e-300
    yield "underflow", base * 1e-24, 0.7e-24
    yield "lattice", rng.integers(0, 4, size=(300, 3)).astype(np.float32), 1.0
    yield "curve", curve, 0.4
    yield "one place", np.full((300, 3), 7.0, np.float32), 1e-30


HARD = list(hard_sets())


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("name", "X", "eps"), HARD, ids=[name for name, _, _ in HARD])
def test_no_neighbours_are_left_out(name, X, eps, metric):
    X = X[np.random.default_rng(4).permutation(len(X))]
    for cut, blocks in ((None, [(0, 0)]), (170, [(0, 0), (0, 1), (1, 1)])):
        run = Run(X, eps, metric, cut=cut)
        near_rows = oracle.neighbors(X, eps, metric)
        for a, b in blocks:
            rows, columns = (slice(run.blocks[i].start, run.blocks[i].start + len(run.blocks[i])) for i in (a, b))
            assert (compared(run, a, b) | ~near_rows[rows, columns]).all()
    if name in ("blocks", "curve"):
        assert not compared(Run(X, eps, metric)).all()


def test_an_order_is_the_same_every_time():
    X = blobs(700, 6)
    first, second = (Run(X, knee(X)).blocks[0].arrangement for _ in range(2))
    np.testing.assert_array_equal(first.order.get(), second.order.get())
    np.testing.assert_array_equal(first.tiles.get(), second.tiles.get())


@pytest.mark.parametrize("listed_panels", [1, 20])
def test_ranges_of_tiles(listed_panels, monkeypatch):
    """Tiles compared a few at a time, and the rest again for what was missed: the same clusters."""
    monkeypatch.setattr(near, "_LISTED", listed_panels)
    X = blobs(900, 10)
    expected = oracle.dbscan(X, knee(X), 5)
    assert listed(Run(X, knee(X))).any()
    for memory, cut in ((1 << 20, None), (8 * 100, None), (0, 350)):
        run = Run(X, knee(X), memory=memory, cut=cut)
        assert_same(run.clusters(5), expected)


def test_comparisons_tell_how_far_they_are(monkeypatch):
    monkeypatch.setattr(near, "_LISTED", 1)
    X, seen = blobs(900, 10), []
    run = Run(X, knee(X))
    block = run.blocks[0]

    def told(done, total):
        # Looked at as it is, without waiting for the device.
        assert run.pairs._counts.host.sum() > 900
        seen.append((done, total))

    run.pairs.count(block, block, 5, told)
    n_tiles = -(-len(X) // run.pairs._tile.rows)
    assert len(seen) == n_tiles > 3
    assert {total for _, total in seen} == {900 * 901 // 2}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (seen[-1][1],) * 2

    class StopRun(Exception):
        pass

    def stop(done, total):
        raise StopRun

    launches = len(run.xp.machine.launches)
    with pytest.raises(StopRun):
        run.pairs.count(block, block, 5, stop)
    ran = [launch for launch in run.xp.machine.launches[launches:] if "count_pairs" in str(launch)]
    assert 0 < len(ran) <= 2


def test_screens_in_another_order_are_not_taken_for_those_in_their_own():
    X = blobs(200, 6)
    run = Run(X, knee(X))
    rows, frame, precision = run.blocks[0].rows, run.pairs._frame, run.pairs._precision
    order = run.blocks[0].arrangement.order.get()
    own = rows.screened(frame, precision).values.get()
    assert (order != np.arange(200)).any()
    arranged = rows.screened(frame, precision, run.blocks[0].arrangement.order).values.get()
    np.testing.assert_array_equal(arranged, own[order])
    np.testing.assert_array_equal(rows.screened(frame, precision).values.get(), own)
