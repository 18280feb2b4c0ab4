"""Labels and core rows of DBSCAN equal scikit-learn's on random configurations, and the oracle's on the hardest ones.

scikit-learn gets float64 rows and its k-d tree, which like ours takes differences first; its brute force cancels on
shifted rows. Where distances are within rounding of eps, scikit-learn's own algorithms disagree with each other, so eps
is drawn from a gap between distances (or distances are exact: lattices of small integers) when scikit-learn is asked.
The cases in which rounding decides are the oracle's: the canonical float64 distance, compared with eps * eps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import sklearn.cluster
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import haversine_distances

from gpuclust import DBSCAN
from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import dbscan
from gpuclust.engines.neighborhood import METRICS, Neighborhood, make_grid
from gpuclust.sources import as_source
from tests import datasets
from tests import dbscan_reference as reference


class Case(NamedTuple):
    """A configuration, drawn from a seed."""

    seed: int
    kind: str
    n: int
    d: int
    dtype: str
    metric: str
    min_samples: int
    weights: str

    def __str__(self) -> str:
        return "-".join(map(str, self))


KINDS = ("blobs", "duplicates", "lattice", "shifted", "shifted lattice", "flat", "noise")
ROWS = (3, 20, 60, 120, 250, 600)
FEATURES = (1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 12, 16, 31, 32, 33, 64)
WEIGHTS = ("ones", "ones", "ones", "integers", "eighths", "fractions", "signed")


def _draw(seed: int, metrics: tuple[str, ...], kinds: tuple[str, ...]) -> Case:
    rng = np.random.default_rng(seed)
    metric = str(rng.choice(metrics))
    return Case(
        seed,
        kinds[seed % len(kinds)],
        int(rng.choice(ROWS)),
        2 if metric == "haversine" else int(rng.choice(FEATURES)),
        str(rng.choice(["float32", "float64"])),
        metric,
        int(rng.choice([1, 2, 3, 4, 6, 10, 30])),
        str(rng.choice(WEIGHTS)),
    )


def _drawn(seeds: range, metrics: tuple[str, ...], kinds: tuple[str, ...] = KINDS) -> list:
    return [pytest.param(case, id=str(case)) for case in (_draw(seed, metrics, kinds) for seed in seeds)]


def _rows(case: Case, n: int) -> np.ndarray:
    """Rows (n, d) whose values float32 holds exactly if that is their dtype."""
    rng, d = np.random.default_rng([case.seed, 1]), case.d
    X = rng.normal(size=(5, d))[rng.integers(5, size=n)] * 5 + rng.normal(size=(n, d))
    if case.kind == "duplicates":
        X = X[rng.integers(n, size=n) // 3]
    elif "lattice" in case.kind:
        X = rng.integers(0, 2 + round(8 / d**0.5), size=(n, d)) * 0.25
    elif case.kind == "flat":
        X = X[:, :1] * 2.0 ** -np.arange(d) + 1e-3 * X
    elif case.kind == "noise":
        X = rng.uniform(-1, 1, size=(n, d)) * rng.choice([1e-3, 1, 1e3])
    if "shifted" in case.kind:
        X += 1e6
    return X.astype(case.dtype)


def _weights(case: Case, n: int) -> np.ndarray | None:
    rng = np.random.default_rng([case.seed, 2])
    if case.weights == "ones":
        return None
    if case.weights == "fractions":
        return rng.uniform(0, 3, size=n)
    low, high = {"integers": (0, 5), "eighths": (0, 24), "signed": (-3, 6)}[case.weights]
    return np.r_[1.0, rng.integers(low, high, size=n - 1) / (8 if case.weights == "eighths" else 1)]


def _eps(case: Case, distances: np.ndarray) -> float:
    """One for which a row has about ``min_samples`` neighbours: the distance of many on lattices, else one of none."""
    wanted = case.min_samples * np.random.default_rng([case.seed, 3]).uniform(0.7, 2.5) + 1
    if "lattice" in case.kind:
        exact = np.unique(distances[distances * 4 == np.rint(distances * 4)])[1:]
        found = [(distances <= eps).sum(axis=1).mean() for eps in exact]
        return float(exact[np.argmin(np.abs(np.array(found) - wanted))]) if found else 0.25
    return _between(np.unique(distances), np.quantile(distances, min(1, wanted / len(distances))))


def _between(distances: np.ndarray, near: float) -> float:
    """An eps in the widest gap between distances not far from ``near``, so that rounding decides nothing."""
    middle = int(np.searchsorted(distances, near))
    window = np.append(distances, 2 * distances[-1] + 1)[max(0, middle - 60) : middle + 60]
    widest = int(np.argmax(np.diff(window) / window[1:]))
    low, high = window[widest], window[widest + 1]
    eps = float((low + high) / 2)
    assert min(eps - low, high - eps) > 1e-6 * eps
    return eps


def _scipy_distances(X: np.ndarray, metric: str) -> np.ndarray:
    rows = X.astype(np.float64)
    if metric == "haversine":
        return haversine_distances(rows)
    return cdist(rows, rows, {"manhattan": "cityblock"}.get(metric, metric))


def _scikit_learn(X, eps, case, weights):
    # The ball tree misses rows at a pole, whose longitudes say nothing.
    algorithm = {"cosine": "brute", "haversine": "brute"}.get(case.metric, "kd_tree")
    theirs = sklearn.cluster.DBSCAN(eps, min_samples=case.min_samples, metric=case.metric, algorithm=algorithm)
    theirs.fit(X.astype(np.float64), sample_weight=weights)
    core = np.zeros(len(X), bool)
    core[theirs.core_sample_indices_] = True
    return reference.Result(theirs.labels_, core)


def _check(engine, X, eps, min_samples, metric, weights, expected):
    """Both forms, and what is chosen; from memory and in chunks."""
    third = max(1, len(X) // 3)
    runs = [("pairs", None), ("auto", third)]
    if make_grid(Neighborhood.within(eps, metric), X.min(axis=0).astype(float), X.max(axis=0).astype(float)):
        runs += [("cells", None), ("pairs", third)]
    for form, chunk_rows in runs:
        data = Dataset(engine, as_source(X, chunk_rows=chunk_rows))
        found = dbscan(data, Neighborhood.within(eps, metric), min_samples, weights=weights, form=form)
        what = f"{form}, chunk_rows={chunk_rows}"
        np.testing.assert_array_equal(found.core, expected.core, what)
        np.testing.assert_array_equal(found.labels, expected.labels, what)
        assert found.labels.dtype == np.int32


# -- scikit-learn ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", _drawn(range(210), METRICS))
def test_labels_are_scikit_learns(engine, sized, case):
    n = min(case.n, sized(600, 90))
    X, weights = _rows(case, n), _weights(case, n)
    eps = _eps(case, _scipy_distances(X, case.metric))
    _check(engine, X, eps, case.min_samples, case.metric, weights, _scikit_learn(X, eps, case, weights))


@pytest.mark.parametrize("case", _drawn(range(210, 270), ("cosine", "haversine"), ("blobs",)))
def test_labels_of_angles_are_scikit_learns(case):
    n, rng = case.n, np.random.default_rng([case.seed, 4])
    if case.metric == "haversine":
        middles = np.radians(rng.uniform([-90, -180], [90, 180], size=(5, 2)))
        middles[0] = [math.pi / 2 - 0.01, 0]  # rows around the pole, and some beyond the date line
        X = middles[rng.integers(5, size=n)] + rng.normal(size=(n, 2)) * 0.05
        X = np.clip(X, [-math.pi / 2, -6], [math.pi / 2, 6]).astype(case.dtype)
    else:
        X = _rows(case._replace(d=max(case.d, 2)), n)
        X *= 10.0 ** rng.uniform(-3, 3, size=(n, 1)).astype(X.dtype)
    weights = _weights(case, n)
    eps = _eps(case, _scipy_distances(X, case.metric))
    expected = _scikit_learn(X, eps, case, weights)
    for given in (X, as_source(X, chunk_rows=max(1, n // 3))):
        found = DBSCAN(eps, min_samples=case.min_samples, metric=case.metric).fit(given, sample_weight=weights)
        np.testing.assert_array_equal(found.core_sample_indices_, np.flatnonzero(expected.core))
        np.testing.assert_array_equal(found.labels_, expected.labels)
        np.testing.assert_array_equal(found.components_, X[expected.core])


# -- the oracle --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", _drawn(range(300, 342), METRICS))
def test_rounding_decides_as_the_contract_says(engine, sized, case):
    """eps is the distance of two rows, as it is rounded, and the float64 before and after it."""
    n = min(case.n, sized(120, 40))
    X, weights = _rows(case, n), _weights(case, n)
    found = _scipy_distances(X, case.metric)
    middle = float(np.sort(found, axis=None)[min(n * 6, found.size - 1)]) or 1.0
    for eps in sized((np.nextafter(middle, 0), middle, np.nextafter(middle, np.inf)), (middle,)):
        expected = reference.dbscan(X, float(eps), case.min_samples, case.metric, weights)
        _check(engine, X, float(eps), case.min_samples, case.metric, weights, expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("name", "dtype"), datasets.HARD)
def test_hard_datasets(engine, sized, name, dtype, metric):
    X, _ = datasets.hard(name, dtype)
    X = X[: sized(200, 70)]
    largest = float(np.abs(X).max())
    unit = math.ldexp(1.0, -math.frexp(largest)[1]) if largest else 1.0
    distances = _scipy_distances(X.astype(np.float64) * unit, metric)
    for quantile in sized((0.02, 0.3), (0.1,)):
        eps = (float(np.quantile(distances, quantile, method="nearest")) or 1.0) / unit
        expected = reference.dbscan(X, eps, 5, metric)
        _check(engine, X, eps, 5, metric, None, expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("eps", "unit"), [(5e-324, 5e-324), (1e-310, 1e-311), (2.0**-1000, 2.0**-1001), (1e308, 1e300), (1e300, 1e300)]
)
def test_eps_at_the_ends_of_float64(engine, eps, unit, metric):
    rng = np.random.default_rng(0)
    X = rng.integers(-9, 10, size=(60, 2)) * unit
    for min_samples in (2, 4):
        _check(engine, X, eps, min_samples, metric, None, reference.dbscan(X, eps, min_samples, metric))


def test_rows_far_apart_in_units_of_eps(engine):
    """More cells along a feature than numbers of cells can count, and rows near each other at both ends."""
    rng = np.random.default_rng(1)
    for spread in (1e9, 1e13, 1e15, 1e100):
        X = np.concatenate(
            [rng.uniform(-1, 1, size=(40, 2)), [spread, -spread] + rng.integers(-3, 4, size=(40, 2)) * 0.5]
        )
        for metric in METRICS:
            expected = reference.dbscan(X, 0.75, 3, metric)
            for form in ("auto", "pairs"):
                data = Dataset(engine, as_source(X))
                found = dbscan(data, Neighborhood.within(0.75, metric), 3, form=form)
                np.testing.assert_array_equal(found.labels, expected.labels)
                np.testing.assert_array_equal(found.core, expected.core)
