"""Both forms of DBSCAN on rows of many kinds, and the one that is chosen: `python -m bench.forms [N ...]`.

What the constants of `gpuclust.algorithms.form` were fitted to. Times are processor seconds of all threads, which other
work on the machine moves less, the better of two where they are below one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import process_time

import numpy as np
from scipy.spatial import cKDTree

from gpuclust.algorithms.dataset import Dataset
from gpuclust.algorithms.dbscan import dbscan
from gpuclust.algorithms.form import prefers_cells
from gpuclust.engines import get_engine
from gpuclust.engines.neighborhood import Neighborhood, make_grid
from gpuclust.sources import as_source

Kind = Callable[[np.random.Generator, int, int], np.ndarray]

KINDS: dict[str, Kind] = {
    "blobs": lambda rng, n, d: (5 * rng.normal(size=(20, d)))[rng.integers(20, size=n)] + rng.normal(size=(n, d)),
    "uniform": lambda rng, n, d: rng.uniform(size=(n, d)),
    "heavy tails": lambda rng, n, d: rng.standard_t(2, size=(n, d)),
    "a curve": lambda rng, n, d: (
        5 * np.sin(rng.uniform(0, 60, (n, 1)) * rng.uniform(0.2, 2, d) + np.arange(d)) + 0.05 * rng.normal(size=(n, d))
    ),
    "a plane": lambda rng, n, d: rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.02 * rng.normal(size=(n, d)),
    "skewed": lambda rng, n, d: rng.normal(size=(n, d)) * np.exp(-np.arange(d)),
}


def main() -> None:
    """Print a line for each case, and how much slower the choices were than the faster form."""
    parser = argparse.ArgumentParser(prog="python -m bench.forms", description=__doc__)
    parser.add_argument("n_rows", nargs="*", type=int, default=[20_000, 100_000])
    parser.add_argument("--features", nargs="*", type=int, default=[3, 4, 5, 6, 8])
    parser.add_argument("--neighbors", nargs="*", type=int, default=[10, 100, 1000])
    chosen = parser.parse_args()
    _seconds(np.random.default_rng(0).normal(size=(2000, 3)), 0.3, "cells")
    _seconds(np.random.default_rng(0).normal(size=(2000, 3)), 0.3, "pairs")
    losses = []
    print(f"{'rows':12} {'n':>9} {'d':>2} {'neighbours':>10} {'cells, s':>9} {'pairs, s':>9} chosen")
    for n in chosen.n_rows:
        for d in chosen.features:
            for name, kind in KINDS.items():
                X = kind(np.random.default_rng(0), n, d).astype(np.float32)
                for k in chosen.neighbors:
                    eps = _distance_of_neighbor(X, k)
                    times = {form: _seconds(X, eps, form) for form in ("cells", "pairs")}
                    choice = "cells" if _prefers_cells(X, eps) else "pairs"
                    losses.append(times[choice] / min(times.values()))
                    figures = f"{times['cells']:9.3f} {times['pairs']:9.3f}"
                    print(f"{name:12} {n:9} {d:2} {k:10} {figures} {choice} {losses[-1]:.2f}", flush=True)
    within = np.mean(np.array(losses) <= 1.3)
    print(
        f"of {len(losses)}: {within:.1%} within 1.3 of the faster form, mean {np.mean(losses):.3f}, {max(losses):.2f}"
    )


def _distance_of_neighbor(X: np.ndarray, k: int) -> float:
    """The median distance of a row to its k-th neighbour."""
    asked = X[np.random.default_rng(1).permutation(len(X))[:200]]
    return float(np.median(cKDTree(X).query(asked, k=k + 1)[0][:, k]))


def _prefers_cells(X: np.ndarray, eps: float) -> bool:
    low, high = (X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64))
    grid = make_grid(Neighborhood.within(eps, "euclidean"), low, high)
    return grid is not None and prefers_cells(Dataset(get_engine("cpu"), as_source(X)), grid)


def _seconds(X: np.ndarray, eps: float, form: str) -> float:
    data, taken = Dataset(get_engine("cpu"), as_source(X)), list[float]()
    while not taken or (len(taken) < 2 and taken[0] < 1):
        began = process_time()
        dbscan(data, Neighborhood.within(eps, "euclidean"), 10, form=form)
        taken.append(process_time() - began)
    return min(taken)


if __name__ == "__main__":
    main()
