"""Entropies of labelings, their mutual information, and how much of that chance alone would give."""

from __future__ import annotations

import math

import numpy as np

from gpuclust.metrics.contingency import Contingency

__all__ = ["entropy", "expected_mutual_information", "mutual_information"]

# A count lies within so many standard deviations, and so many rows, of its mean but for less than 2**-300 of the cases.
_DEVIATIONS, _MARGIN = 40.0, 1600


def entropy(sizes: np.ndarray) -> float:
    """Entropy of a labeling whose clusters have ``sizes``, in nats."""
    n = int(sizes.sum())
    return math.fsum(-size / n * math.log(size / n) for size in sizes.tolist())


def mutual_information(table: Contingency) -> float:
    """Mutual information of both labelings, in nats, at least 0."""
    n = table.n_rows
    a, b = table.class_sizes[table.rows].tolist(), table.cluster_sizes[table.columns].tolist()
    # The ratio of integers first: it is 1 exactly where labels are independent.
    terms = (c / n * math.log(c * n / (x * y)) for c, x, y in zip(table.counts.tolist(), a, b, strict=True))
    return max(math.fsum(terms), 0.0)


def expected_mutual_information(table: Contingency) -> float:
    """Mean mutual information of labelings with these sizes, all arrangements being equally likely.

    A pair of a class of a rows and a cluster of b rows has c rows in common with the hypergeometric probability of
    drawing them (N. Vinh, J. Epps, J. Bailey, Information theoretic measures for clusterings comparison, JMLR 11, 2010,
    theorem 1). Probabilities follow from their ratios and are scaled to add up to one, over the counts that occur at
    all: work grows with the square root of the number of rows, not with it. Clusters of equal size share it.
    """
    n = table.n_rows
    total = []
    sides = [np.unique(sizes, return_counts=True) for sizes in (table.class_sizes, table.cluster_sizes)]
    for a, times_a in zip(*(column.tolist() for column in sides[0]), strict=True):
        for b, times_b in zip(*(column.tolist() for column in sides[1]), strict=True):
            total.append(times_a * times_b * _expected_term(a, b, n))
    return math.fsum(total)


def _expected_term(a: int, b: int, n: int) -> float:
    mean = a * b / n
    deviation = math.sqrt(mean * (1 - a / n) * (1 - b / n) + 1.0)
    reach = int(_DEVIATIONS * deviation) + _MARGIN
    low, high = max(0, a + b - n, int(mean) - reach), min(a, b, int(mean) + reach)
    counts = np.arange(low, high + 1, dtype=np.float64)
    before = counts[:-1]
    # Neighbouring probabilities: p(c + 1) / p(c).
    steps = np.log((a - before) * (b - before) / ((before + 1) * (n - a - b + before + 1)))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    probabilities = np.exp(logs - logs.max())
    probabilities /= probabilities.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = counts / n * np.log(counts * (n / a / b))
    return float((probabilities * np.where(counts > 0, terms, 0.0)).sum())
