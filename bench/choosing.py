"""How often the suggested number of clusters is the known one, and what DBSCAN's suggested eps is worth.

``python -m bench.choosing`` writes the tables of docs/choosing.md, in about half an hour of one core; ``--only`` and
``--seeds`` make less of them, and ``--quick`` prints those of a few datasets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from gpuclust import DBSCAN, KMeans, suggest_eps, suggest_k

__all__ = ["main"]

PAGE = Path(__file__).parents[1] / "docs" / "choosing.md"
CRITERIA = ("inertia", "silhouette", "calinski_harabasz", "davies_bouldin", "stability", "gap")

Rows = tuple[np.ndarray, np.ndarray]


class Blobs(NamedTuple):
    """Gaussian blobs with centres drawn uniformly from a cube of side 20."""

    n_clusters: int
    n_features: int
    spread: float

    def rows(self, seed: int) -> Rows:
        """Rows and their blobs."""
        return datasets.make_blobs(
            (100 if self.n_clusters < 12 else 60) * self.n_clusters,
            self.n_features,
            centers=self.n_clusters,
            cluster_std=self.spread,
            random_state=seed,
        )[:2]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    tables = {"eps": radii, "real": known, "blobs": blobs}
    parser.add_argument("--only", nargs="+", choices=tables, default=list(tables), help="tables to make")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each dataset")
    parser.add_argument("--quick", action="store_true", help="few blobs, nothing is written")
    options = parser.parse_args()
    for name in options.only:
        lines = tables[name](options.seeds, quick=options.quick)
        print("\n".join(lines), end="\n\n")
        if not options.quick:
            _write(name, lines)


def _write(name: str, lines: list[str]) -> None:
    """Put a table between its marks on the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"<!-- {name} -->")
    _, _, after = rest.partition(f"<!-- /{name} -->")
    text = "\n".join([f"{before}<!-- {name} -->", *lines, f"<!-- /{name} -->{after}"])
    PAGE.write_text(text, encoding="utf-8")


def known(n_seeds: int, *, quick: bool = False) -> list[str]:
    """The table of scikit-learn's datasets: what is suggested, and what each criterion chooses, for several seeds."""
    lines = [f"| data | classes | suggested | {' | '.join(name.replace('_', ' ') for name in CRITERIA)} |"]
    lines += ["|---" * (3 + len(CRITERIA)) + "|"]
    for name, rows, n_classes in list(_real())[: 2 if quick else None]:
        found = [suggest_k(rows, random_state=seed) for seed in range(n_seeds)]
        own = [_listed([one.choices[criterion] for one in found]) for criterion in CRITERIA]
        lines.append(f"| {name} | {n_classes} | **{_listed([one.value for one in found])}** | {' | '.join(own)} |")
    return lines


def blobs(n_seeds: int, *, quick: bool = False) -> list[str]:
    """The table of blobs: shares of datasets in which the number of blobs is suggested."""
    counts = (3, 8) if quick else (3, 5, 8, 12, 20, 35, 50)
    criteria = ("calinski_harabasz", "silhouette", "davies_bouldin", "inertia", "stability")
    lines = [
        "| features | spread | ARI with the known k | suggested: right | within 1 | "
        + " | ".join(f"{name.replace('_', ' ')} alone: right" for name in criteria)
        + " |",
        "|---" * (5 + len(criteria)) + "|",
    ]
    for n_features in (2, 5, 20):
        for spread in (0.5, 1.0, 2.0):
            right, near, own, ari = [], [], [], []
            for n_clusters in counts:
                for seed in range(n_seeds):
                    rows, truth = Blobs(n_clusters, n_features, spread).rows(seed)
                    found = suggest_k(rows, criteria=criteria, random_state=seed)
                    right.append(found.value == n_clusters)
                    near.append(abs(found.value - n_clusters) <= 1)
                    own.append([found.choices[name] == n_clusters for name in criteria])
                    labels = KMeans(n_clusters, n_init=5, random_state=seed).fit(rows).labels_
                    ari.append(adjusted_rand_score(truth, labels))
            alone = " | ".join(f"{share:.0%}" for share in np.mean(own, axis=0))
            lines.append(
                f"| {n_features} | {spread:g} | {np.mean(ari):.2f} | **{np.mean(right):.0%}** | {np.mean(near):.0%} | "
                f"{alone} |"
            )
            print(lines[-1], flush=True)
    return lines


def radii(n_seeds: int, *, quick: bool = False) -> list[str]:
    """The table of eps: ARI of DBSCAN with it against the truth, mean and least of several seeds."""
    lines = [
        '| data | `DBSCAN(eps="auto")` | `DBSCAN(**suggest_eps(X).values)` | clusters found |',
        "|---|---|---|---|",
    ]
    for name, make in list(_shapes())[: 6 if quick else None]:
        automatic, suggested, found = [], [], []
        for seed in range(n_seeds):
            rows, truth = make(seed)
            fitted = DBSCAN(eps="auto").fit(rows)
            automatic.append(adjusted_rand_score(truth, fitted.labels_))
            found.append(int(fitted.labels_.max()) + 1)
            labels = DBSCAN(**suggest_eps(rows).values).fit(rows).labels_  # type: ignore[arg-type]
            suggested.append(adjusted_rand_score(truth, labels))
        lines.append(f"| {name} | {_spread(automatic)} | {_spread(suggested)} | {_listed(found)} |")
    return lines


def _real() -> Iterator[tuple[str, np.ndarray, int]]:
    for name in ("iris", "wine", "breast_cancer", "digits"):
        bunch = getattr(datasets, f"load_{name}")()
        title, n_classes = name.replace("_", " "), len(bunch.target_names)
        yield title, bunch.data, n_classes
        yield f"{title}, standardised", StandardScaler().fit_transform(bunch.data), n_classes


def _shapes() -> Iterator[tuple[str, Callable[[int], Rows]]]:
    for n_rows in (500, 2000, 20_000):
        for noise in (0.03, 0.05, 0.08):
            yield f"two moons, {n_rows:,} rows, noise {noise}", _drawn(datasets.make_moons, n_rows, noise)
        for noise in (0.03, 0.05, 0.07):
            rings = _drawn(datasets.make_circles, n_rows, noise, factor=0.5)
            yield f"two rings, {n_rows:,} rows, noise {noise}", rings
    for k, n_features in ((3, 2), (5, 2), (5, 5), (10, 10), (10, 30)):
        yield f"{k} blobs, {150 * k:,} rows, {n_features} features, spread 0.6", _blobs_of(k, n_features)
    yield "5 blobs and 10 % uniform noise, 1,100 rows, 2 features", _noisy_blobs


def _drawn(function: Callable[..., Rows], n_rows: int, noise: float, **options: float) -> Callable[[int], Rows]:
    return lambda seed: function(n_rows, noise=noise, random_state=seed, **options)


def _blobs_of(k: int, n_features: int) -> Callable[[int], Rows]:
    def make(seed: int) -> Rows:
        return datasets.make_blobs(150 * k, n_features, centers=k, cluster_std=0.6, random_state=seed)[:2]

    return make


def _noisy_blobs(seed: int) -> Rows:
    rows, truth = datasets.make_blobs(1000, 2, centers=5, cluster_std=0.5, random_state=seed)[:2]
    noise = np.random.default_rng(seed).uniform(rows.min(axis=0) - 1, rows.max(axis=0) + 1, (100, 2))
    return np.concatenate([rows, noise]), np.append(truth, np.full(100, -1))


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} (least {min(values):.3f})"


def _listed(values: list[int]) -> str:
    """Values that occur, the most frequent first, with how often if that is not always."""
    found, times = np.unique(values, return_counts=True)
    order = np.lexsort((found, -times))
    return ", ".join(f"{found[at]}" + (f" ({times[at]}x)" if len(found) > 1 else "") for at in order)


if __name__ == "__main__":
    main()
