"""DBSCAN by tiles on an emulated device: the clusters of the oracle, however rows are cut and pairs remembered."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.engines.base import Part
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda import pairs
from gpuclust.engines.cuda.blocks import pairs_precision
from gpuclust.engines.cuda.device import Device
from gpuclust.engines.cuda.launch import Kernels
from gpuclust.engines.cuda.pairs import CudaPairs
from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION
from gpuclust.engines.cuda.rows import PlacedRows
from gpuclust.engines.neighborhood import METRICS, Neighborhood
from gpuclust.errors import DeviceMemoryError
from tests import dbscan_reference as oracle
from tests.emulation import EmulatedCuPy

PLENTY = 1 << 20


def frame_of(X, neighborhood):
    """As the CUDA engine is given it: centred, in units that bring most rows near 1."""
    origin = np.median(X.astype(np.float64), axis=0)
    spread = float(np.sqrt(np.median(np.square((X - origin) * neighborhood.scale).mean(axis=1)))) or 1.0
    return Frame(origin, neighborhood.scale, np.ones(X.shape[1]), 1.0, 1.0, 2.0 ** -np.round(np.log2(spread)))


class Run:
    """Neighbours of X, through the protocol; ``cut``: rows of a block."""

    def __init__(
        self, X, eps, metric="euclidean", *, precision=HALF_PRECISION, cut=None, memory=PLENTY, frame=None, **machine
    ):
        self.X, self.eps, self.metric = X, eps, metric
        self.xp = EmulatedCuPy(**{"asynchronous": True, "n_multiprocessors": 1} | machine)
        kernels, neighborhood = Kernels(Device(0, self.xp)), Neighborhood.within(eps, metric)
        frame = frame_of(X, neighborhood) if frame is None else frame
        self.pairs = CudaPairs(kernels, precision, len(X), neighborhood, frame, X[:1024], memory + 8 * len(X))
        cut = cut or len(X)
        self.blocks = [
            self.pairs.block(Part(start, PlacedRows(kernels, self.xp.asarray(X[start : start + cut])), None))
            for start in range(0, len(X), cut)
        ]

    def all_pairs(self, compare, *args):
        for i, a in enumerate(self.blocks):
            for b in self.blocks[i:]:
                compare(a, b, *args)

    def clusters(self, min_samples):
        """As :class:`gpuclust.algorithms.dbscan` goes about it."""
        self.all_pairs(self.pairs.count, min_samples)
        return self._linked(self.pairs.cores(min_samples))

    def weighed(self, min_samples, weights):
        values, sums = self.xp.asarray(weights.astype(np.int64)), self.xp.zeros(len(self.X), np.int64)
        self.all_pairs(self.pairs.weigh, values, sums)
        return self._linked((sums >= min_samples).astype(np.uint8)), sums.get()

    def _linked(self, core):
        self.pairs.link(core)
        if self.pairs.missed:
            self.all_pairs(self.pairs.link_missed, core)
        labels = self.pairs.components(core)
        self.pairs.claim(core, labels)
        if self.pairs.missed:
            self.all_pairs(self.pairs.claim_missed, core, labels)
        return numbered(labels.get(), core.get())


def numbered(components, core):
    """Clusters by their smallest rows, as components are named."""
    names = np.unique(components[core.astype(bool)])
    labels = np.where(components < 0, -1, np.searchsorted(names, components)).astype(np.int32)
    return oracle.Result(labels, core.astype(bool))


def assert_same(found, expected):
    np.testing.assert_array_equal(found.core, expected.core)
    np.testing.assert_array_equal(found.labels, expected.labels)


def blobs(n, d, *, dtype=np.float32, seed=0, shift=3.0):
    """Clusters, dense inside and thin outside, of which some touch; a few rows twice."""
    rng = np.random.default_rng(seed)
    radius = rng.exponential(0.3, n) / np.sqrt(d)
    X = rng.normal(size=(6, d))[rng.integers(6, size=n)] + radius[:, None] * rng.normal(size=(n, d))
    X[n // 2 : n // 2 + n // 20] = X[: n // 20]
    return np.ascontiguousarray(X + shift, dtype)


def knee(X, metric="euclidean", rank=6):
    """A distance within which half of the rows have ``rank`` others."""
    found = oracle.distances(X, X, 1.0, metric) * (4.0 if metric == "euclidean" else 2.0)
    distance = float(np.median(np.sort(found, axis=1)[:, min(rank, len(X) - 1)])) or 1.0
    return distance**0.5 if metric == "euclidean" else distance


def check(X, eps, min_samples=5, metric="euclidean", **options):
    expected = oracle.dbscan(X, eps, min_samples, metric)
    run = Run(X, eps, metric, **options)
    assert_same(run.clusters(min_samples), expected)
    return run, expected


@pytest.mark.parametrize("precision", [HALF_PRECISION, SINGLE_PRECISION], ids=["half", "single"])
@pytest.mark.parametrize(("n", "d", "cut"), [(1, 3, None), (300, 2, None), (300, 20, 130), (150, 70, 64)])
def test_clusters(n, d, cut, precision):
    X = blobs(n, d)
    _, expected = check(X, knee(X), precision=precision, cut=cut)
    border = ~expected.core & (expected.labels >= 0)
    assert n == 1 or (expected.labels.max() > 1 and border.any() and (expected.labels < 0).any())


@pytest.mark.parametrize("metric", METRICS[1:])
@pytest.mark.parametrize(("n", "d", "cut"), [(300, 3, None), (200, 40, 70)])
def test_other_metrics(metric, n, d, cut):
    X = blobs(n, d, dtype=np.float64)
    check(X, knee(X, metric), metric=metric, cut=cut)


@pytest.mark.parametrize(
    ("precision", "shift", "metric"),
    [(HALF_PRECISION, 5001, "euclidean"), *((SINGLE_PRECISION, 2**27 + 6, metric) for metric in METRICS)],
)
def test_distances_of_exactly_eps_are_within(precision, shift, metric):
    """A lattice so far from the origin, in a frame about the origin, that the screen rounds several steps away."""
    X = (np.random.default_rng(1).integers(0, 4, size=(200, 3)) + shift).astype(np.float64)
    for eps in (1.0, np.nextafter(1.0, 0.0)):
        frame = frame_of(X, Neighborhood.within(eps, metric))._replace(origin=np.zeros(3))
        unit = 2.0 ** -np.ceil(np.log2(shift * frame.scale))
        check(X, eps, 8, metric, precision=precision, frame=frame._replace(unit=unit))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1e6), (1e-300, 0.0), (2.0**995, 0.0), (1e-25, 1e-25)], ids=str)
@pytest.mark.parametrize("precision", [HALF_PRECISION, SINGLE_PRECISION], ids=["half", "single"])
def test_scales(scale, shift, precision):
    X = blobs(150, 5, dtype=np.float64) * scale + shift
    eps = knee(blobs(150, 5, dtype=np.float64)) * scale
    check(X, eps, precision=precision)


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_far_away_does_not_spoil_the_others(metric):
    X = blobs(150, 5)
    X[40], X[41], X[42] = 3e38, -1e9, 1e9
    run, _ = check(X, knee(X, metric), metric=metric)
    assert not run.pairs.missed


@pytest.mark.parametrize("memory", [0, 8 * 100])
@pytest.mark.parametrize("cut", [None, 90])
def test_pairs_that_were_not_remembered_are_found_again(memory, cut, monkeypatch):
    monkeypatch.setattr(pairs, "_SPAN", 1)
    X = blobs(300, 10)
    run, _ = check(X, knee(X), memory=memory, cut=cut)
    assert run.pairs.missed


def test_remembered_pairs_are_bounded_by_what_rows_lack():
    """Every row is within eps of every other one."""
    X = blobs(400, 4)
    run, expected = check(X, 1000.0, 7, cut=150)
    assert expected.core.all()
    assert not run.pairs.missed
    assert len(run.pairs._pairs) == 5 * 400


@pytest.mark.parametrize("metric", METRICS)
def test_weights(metric):
    X, weights = blobs(250, 6), np.random.default_rng(2).integers(0, 4, 250)
    eps = knee(X, metric)
    adjacent = oracle.neighbors(X, eps, metric)
    weights[3] = 2**62
    found, sums = Run(X, eps, metric, cut=110).weighed(9, weights)
    np.testing.assert_array_equal(sums, adjacent @ weights)
    assert_same(found, oracle.cluster(adjacent, 9, weights))


@pytest.mark.parametrize(
    "machine", [{"order": "lifo"}, {"order": "random", "resident": 4, "yields": 20, "n_multiprocessors": 2}], ids=str
)
def test_the_order_of_threads_does_not_matter(machine):
    X = blobs(300, 8)
    check(X, knee(X), memory=400, cut=140, **machine)


def test_memory_that_runs_out_is_named():
    run = Run(blobs(300, 4), 1.0)
    run.xp.machine.memory = run.xp.machine.used[0]
    with pytest.raises(DeviceMemoryError, match="cuda:0"):
        run.all_pairs(run.pairs.count, 50)


@pytest.mark.parametrize("capability", [(7, 5), (8, 6), (12, 0)])
def test_devices(capability):
    X = blobs(200, 30)
    check(X, knee(X), capability=capability, precision=SINGLE_PRECISION if capability < (8, 0) else HALF_PRECISION)


def test_the_precision_follows_the_share_of_pairs_in_doubt():
    noise, clusters = np.random.default_rng(3).normal(size=(400, 16)), blobs(400, 16, dtype=np.float64)

    def chosen(X, metric="euclidean", precision=HALF_PRECISION):
        neighborhood = Neighborhood.within(knee(X, metric), metric)
        return pairs_precision(precision, neighborhood, frame_of(X, neighborhood), X)

    assert chosen(noise) is HALF_PRECISION
    assert chosen(clusters) is SINGLE_PRECISION
    assert chosen(noise, "manhattan") is SINGLE_PRECISION
    assert chosen(noise, precision=SINGLE_PRECISION) is SINGLE_PRECISION
