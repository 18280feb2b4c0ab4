"""The rule by which one number of clusters is recommended.

A number of clusters is worth having if another sample of the same rows would show the same clusters, and among those it
is the best if its clusters are the most compact for the distance between them. So: **of the numbers whose stability is
at least 0.8, up to a standard error, the one with the largest Calinski-Harabasz index; if there is none, the most
stable.** The least k of equals.

Each half of the rule makes up for a weakness of the other. The index alone keeps rising for elongated clusters, which
k-means cuts into ever more slices; but where the cuts fall differs from one half of the rows to the other. Stability
alone is high for many numbers, above all for two, and says little about which is best. The threshold and the standard
error are those of R. Tibshirani and G. Walther ("Cluster validation by prediction strength", J. Comput. Graph. Stat.
14, 2005). docs/choosing.md says how often the rule is right.

Without Calinski-Harabasz the silhouette takes its place, then Davies-Bouldin, then a criterion's own choice.
"""

from __future__ import annotations

import numpy as np

from gpuclust.select.criteria import choice

__all__ = ["STABLE", "recommend"]

STABLE = 0.8
_JUDGES = {
    "calinski_harabasz": ("largest", "Calinski-Harabasz index", 1),
    "silhouette": ("largest", "silhouette", 1),
    "davies_bouldin": ("smallest", "Davies-Bouldin index", -1),
}
_OWN = {
    "gap": "the gap statistic chooses it",
    "inertia": "the knee of the inertia is there",
    "stability": "its clusters are the most stable",
}


def recommend(table: dict[str, np.ndarray]) -> tuple[int, str]:
    """The number of clusters that the rule recommends, and why.

    ``table`` has the column "k" and those of the criteria that were computed; NaN where one has no value.
    """
    ks = table["k"]
    tried = f"{ks[0]} to {ks[-1]}" if len(ks) > 1 else str(ks[0])
    allowed, stable = _stable(table)
    for name, (most, words, sign) in _JUDGES.items():
        values = sign * table[name][allowed] if name in table else np.full(1, np.nan)
        if not np.isnan(values).all():
            at = np.flatnonzero(allowed)[np.nanargmax(values)]
            best = f"it has the {most} {words}, " if allowed.sum() > 1 else f"its {words} is "
            return int(ks[at]), f"k={ks[at]}, of {tried}: {stable}{best}{table[name][at]:.4g}."
    for name, words in _OWN.items():
        own = choice(name, table) if name in table else None
        if own is not None:
            return own, f"k={own}, of {tried}: {words}."
    return int(ks[0]), f"k={ks[0]}, of {tried}: no criterion has a value; it is the smallest."


def _stable(table: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """Which numbers of clusters are stable enough, and how to say it."""
    everything = np.ones(len(table["k"]), bool)
    values = table.get("stability", np.full(len(everything), np.nan))
    if np.isnan(values).all():
        return everything, ""
    allowed = values + table["stability_error"] >= STABLE
    if not allowed.any():
        best = float(np.nanmax(values))
        return (
            values == best,
            f"no stability reaches {STABLE}, so that clusters are not clear; it is highest here, {best:.2f}; ",
        )
    if allowed.sum() == 1:
        return allowed, f"it alone is stable (at least {STABLE}); "
    if allowed.all():
        return allowed, f"all are stable (at least {STABLE}); of these "
    return allowed, f"{_listed(table['k'][allowed])} are stable (at least {STABLE}); of these "


def _listed(ks: np.ndarray) -> str:
    """Numbers in words, runs of them abbreviated: "2, 3 and 5 to 8"."""
    runs = np.split(ks, np.flatnonzero(np.diff(ks) != 1) + 1)
    words = [word for run in runs for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
