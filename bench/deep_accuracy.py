"""How well deep clustering finds the known classes of handwritten digits: every method, with its defaults, over seeds.

``python -m bench.deep_accuracy`` measures on scikit-learn's digits (1,797 x 64), and on two more sets if these name
``.npz`` files of rows ``X`` and classes ``y``:

GPUCLUST_BENCH_USPS
    The test part of USPS, 2,007 x 256 (J. Hull, "A database for handwritten text recognition research", IEEE TPAMI 16,
    1994; `zip.test` of "The elements of statistical learning").
GPUCLUST_BENCH_PENDIGITS
    Both parts of "Pen-based recognition of handwritten digits", 10,992 x 16 (E. Alpaydin, F. Alimoglu, UCI repository).

Nothing is tuned to a set or a seed: only the number of classes is given; and, of the first two sets, in runs of their
own, that rows are images. It prints markdown tables, mean and standard deviation over the seeds, and writes them as
JSON. Seconds are of one fit with everything after the import of gpuclust; the first fit of a process, which loads
libraries and compiled code, is listed apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from bench.data import Unavailable
from bench.report import RESULTS, environment, machine, write
from gpuclust import Autoencoder, DeepClustering, KMeans
from gpuclust.metrics import adjusted_rand_score, clustering_accuracy, normalized_mutual_info_score

__all__ = ["DATASETS", "METHODS", "main"]

NAME = "deep-accuracy"
SCORES: dict[str, Callable[..., float]] = {
    "ACC": clustering_accuracy,
    "NMI": normalized_mutual_info_score,
    "ARI": adjusted_rand_score,
}


Rows = tuple[np.ndarray, np.ndarray]


def _digits() -> Rows:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data.astype(np.float32), found.target


def _from(variable: str) -> Callable[[], Rows]:
    """Rows and classes of the ``.npz`` file that an environment variable names."""

    def load() -> Rows:
        path = os.environ.get(variable)
        if not path or not Path(path).is_file():
            raise Unavailable(f"set {variable} to the path of an .npz file of X and y")
        with np.load(path) as file:
            return file["X"].astype(np.float32), file["y"].astype(np.int64)

    return load


def _as_images(load: Callable[[], Rows], side: int) -> Callable[[], Rows]:
    """The same rows, with the shape that they have."""

    def shaped() -> Rows:
        X, y = load()
        return X.reshape(-1, side, side), y

    return shaped


_usps = _from("GPUCLUST_BENCH_USPS")
DATASETS = {
    "digits": _digits,
    "digits as images": _as_images(_digits, 8),
    "usps": _usps,
    "usps as images": _as_images(_usps, 16),
    "pendigits": _from("GPUCLUST_BENCH_PENDIGITS"),
}

#: Estimators of (number of classes, seed).
METHODS: dict[str, Callable[[int, int], Any]] = {
    "k-means on the rows": lambda k, seed: KMeans(k, n_init=10, random_state=seed),
    "ae": lambda k, seed: DeepClustering(k, method="ae", random_state=seed),
    "ae, without neighbors": lambda k, seed: DeepClustering(
        k, method="ae", autoencoder=Autoencoder(), random_state=seed
    ),
    "manifold": lambda k, seed: DeepClustering(k, method="manifold", random_state=seed),
    "dec": lambda k, seed: DeepClustering(k, method="dec", random_state=seed),
    "idec": lambda k, seed: DeepClustering(k, method="idec", random_state=seed),
    "dcn": lambda k, seed: DeepClustering(k, method="dcn", random_state=seed),
    "vade": lambda k, seed: DeepClustering(k, method="vade", random_state=seed),
}


def run(method: str, X: np.ndarray, y: np.ndarray, seed: int) -> dict[str, Any]:
    """One fit: seconds and scores."""
    estimator = METHODS[method](len(np.unique(y)), seed)
    rows = X if isinstance(estimator, DeepClustering) else X.reshape(len(X), -1)
    wall, cpu = perf_counter(), process_time()
    labels = estimator.fit_predict(rows)
    seconds = {"seconds": perf_counter() - wall, "cpu_seconds": process_time() - cpu}
    return {"seed": seed, **{name: 100 * score(y, labels) for name, score in SCORES.items()}, **seconds}


def table(dataset: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A line of markdown for each method."""
    lines = [f"| {dataset} | {' | '.join(SCORES)} | seconds | CPU seconds |", "|---" * (3 + len(SCORES)) + "|"]
    for method, runs in found.items():
        cells = [f"{_mean(runs, name):.1f} ± {_deviation(runs, name):.1f}" for name in SCORES]
        cells += [f"{_mean(runs, name):.1f}" for name in ("seconds", "cpu_seconds")]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _mean(runs: list[dict[str, Any]], name: str) -> float:
    return statistics.mean(run[name] for run in runs)


def _deviation(runs: list[dict[str, Any]], name: str) -> float:
    return statistics.stdev(run[name] for run in runs) if len(runs) > 1 else 0.0


def _recorded() -> dict[str, Any]:
    """What was written before on this machine: each run replaces the methods and sets that it measures."""
    path = RESULTS / machine() / f"{NAME}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else {}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    first = run(options.methods[0], *_digits(), options.seeds[0])
    print(f"The first fit, {options.methods[0]} of digits: {first['seconds']:.1f} s.\n", flush=True)
    runs = {} if options.dry else _recorded()
    where = environment()
    where["versions"] |= {package: version(package) for package in ("torch", "umap-learn")}
    for dataset in options.datasets:
        try:
            X, y = DATASETS[dataset]()
        except Unavailable as why:
            print(f"{dataset}: {why}\n")
            continue
        found = runs.setdefault(dataset, {})
        for method in options.methods:
            found[method] = [run(method, X, y, seed) for seed in options.seeds]
            if not options.dry:
                result = {"case": NAME, "title": "accuracy of deep clustering", "torch_threads": options.threads}
                write(NAME, {**result, "first_fit": first, "runs": runs, "environment": where})
        print("\n".join(table(f"{dataset}, {len(X):,} x {X[0].size}", found)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
