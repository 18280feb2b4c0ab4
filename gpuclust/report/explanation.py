"""What an explanation of clusters holds, in words, and as JSON knows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ClusterExplanation", "Explanation", "Feature"]

#: What the attributions of each method are.
METHODS = {
    "gradient": "attribution: gradient x input of the soft assignment, measured from the mean row",
    "permutation": "attribution: share of the cluster's rows that leave it when the feature is permuted",
}


@dataclass(frozen=True)
class Feature:
    """A feature that tells a cluster's rows from others.

    Attributes
    ----------
    name : str
    index : int
        Its column.
    attribution : float
        How much it matters to the cluster; see `gpuclust.explain`.
    mean, overall : float
        Mean over the cluster's rows, and over all rows, in the units of the data.
    """

    name: str
    index: int
    attribution: float
    mean: float
    overall: float

    @property
    def sign(self) -> str:
        """Whether the cluster's rows are "high" or "low" in it, against all rows; "-" for neither."""
        return "high" if self.mean > self.overall else "low" if self.mean < self.overall else "-"


@dataclass(frozen=True, eq=False)
class ClusterExplanation:
    """What is told of one cluster.

    Attributes
    ----------
    label : int
    size : int
        Its rows.
    share : float
        Of all rows.
    silhouette : float or None
        Mean of the simplified silhouettes of its rows, among the codes where there are codes; None where there is no
        other cluster.
    center : array of shape (d,)
        The decoded centre, in the units of the data; for estimators without codes, the centre itself.
    features : list of Feature
        Those of the largest attributions, by size, of either sign.
    examples : list of int
        Numbers of the rows nearest to its centre, nearest first.
    """

    label: int
    size: int
    share: float
    silhouette: float | None
    center: np.ndarray
    features: list[Feature]
    examples: list[int]

    def to_text(self) -> str:
        """A line about the cluster, and a table of its features."""
        silhouette = "" if self.silhouette is None else f", silhouette {self.silhouette:.2f}"
        nearest = f"; nearest its centre: rows {', '.join(map(str, self.examples))}" if self.examples else ""
        head = f"cluster {self.label}: {self.size:,} rows ({self.share:.1%}){silhouette}{nearest}"
        cells = [("", "mean", "all rows", "", "attribution")] if self.features else []
        cells += [(f.name, f"{f.mean:.4g}", f"{f.overall:.4g}", f.sign, f"{f.attribution:+.3g}") for f in self.features]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
        return "\n    ".join([head, *lines])


@dataclass(frozen=True, eq=False)
class Explanation:
    """What makes each cluster of a clustering; ``str()`` of it is a table.

    Attributes
    ----------
    clusters : list of ClusterExplanation
        In order of their labels.
    method : {"gradient", "permutation"}
    attributions : float64 array of shape (n_clusters, d)
        Of every feature to every cluster; NaN for a cluster without rows in the sample.
    names : list of str
        Of the features.
    n_rows, n_noise, n_sampled : int
        Rows, those of no cluster (label -1), and how many rows all figures but sizes rest on.
    """

    clusters: list[ClusterExplanation]
    method: str
    attributions: np.ndarray
    names: list[str]
    n_rows: int
    n_noise: int
    n_sampled: int

    def to_text(self) -> str:
        """Every cluster with its most telling features."""
        noise = f", {self.n_noise:,} rows of none" if self.n_noise else ""
        head = f"{len(self.clusters)} clusters of {self.n_rows:,} rows{noise}; {METHODS[self.method]}"
        if self.n_sampled < self.n_rows:
            head += f"; all but sizes from a sample of {self.n_sampled:,} rows"
        return "\n\n".join([head, *(cluster.to_text() for cluster in self.clusters)])

    __str__ = to_text

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts, ready for JSON; None for what is no finite number."""
        return {
            "method": self.method,
            "n_rows": self.n_rows,
            "n_noise": self.n_noise,
            "n_sampled": self.n_sampled,
            "features": list(self.names),
            "clusters": [
                {
                    "label": cluster.label,
                    "size": cluster.size,
                    "share": cluster.share,
                    "silhouette": _plain(cluster.silhouette),
                    "center": [_plain(value) for value in cluster.center],
                    "attributions": [_plain(value) for value in self.attributions[cluster.label]],
                    "features": [
                        {
                            "name": feature.name,
                            "index": feature.index,
                            "attribution": feature.attribution,
                            "mean": feature.mean,
                            "overall": feature.overall,
                            "sign": feature.sign,
                        }
                        for feature in cluster.features
                    ],
                    "examples": cluster.examples,
                }
                for cluster in self.clusters
            ],
        }


def _plain(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
