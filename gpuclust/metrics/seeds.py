"""Stability: does a clustering depend on its seed?

The same rows are clustered again from other seeds, and every two clusterings compared by the adjusted Rand index. Where
they disagree, so may any one of them with the truth; where they agree, they may still all be wrong in the same way.

(How stable a *number* of clusters is, seen on halves of the rows, is another question: `gpuclust.suggest_k` asks it.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from gpuclust.errors import ParameterError
from gpuclust.metrics.external import adjusted_rand_score
from gpuclust.validation import check_positive_int, to_host

__all__ = ["Stability", "stability"]


@dataclass(frozen=True, eq=False)
class Stability:
    """How far clusterings from several seeds agree.

    Attributes
    ----------
    mean, standard_deviation : float
        Of the adjusted Rand indices of all pairs.
    agreement : float64 array of shape (n_runs, n_runs)
        The index of every two runs; symmetric, 1 on the diagonal.
    seeds : tuple of int
        The `random_state` of each run.
    labels : list of array (n_samples,)
        The clusterings.
    """

    mean: float
    standard_deviation: float
    agreement: np.ndarray
    seeds: tuple[int, ...]
    labels: list[np.ndarray]

    def __str__(self) -> str:
        pairs = f"{math.comb(len(self.seeds), 2)} pairs of {len(self.seeds)} runs"
        return f"adjusted Rand index of {pairs}: {self.mean:.3f} +- {self.standard_deviation:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the labels, ready for JSON."""
        return {
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "agreement": self.agreement.tolist(),
            "seeds": list(self.seeds),
        }


def stability(
    estimator: Any,
    X: Any,
    *,
    n_runs: int = 5,
    random_state: Any = None,
    callback: Callable[[int, int], None] | None = None,
) -> Stability:
    """Cluster the rows of `X` from several seeds and compare the results.

    Parameters
    ----------
    estimator : estimator with `fit_predict` and `random_state`
        gpuclust's, scikit-learn's, or a pipeline; cloned for each run, and left as it is.
    X
        Rows, as the estimator takes them.
    n_runs : int, default=5
        At least 2.
    random_state : int, RandomState or None, default=None
        The seeds are drawn from it.
    callback : callable, optional
        Called as ``callback(done, n_runs)`` after each run. It may raise to stop.

    Returns
    -------
    Stability

    Raises
    ------
    ParameterError
        The estimator has no `fit_predict`, or no `random_state`: then all runs would be the same. `n_runs` is less
        than 2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpuclust import KMeans, stability
    >>> print(stability(KMeans(3), load_iris().data, random_state=0))
    adjusted Rand index of 10 pairs of 5 runs: 0.992 +- 0.010
    """
    n_runs = check_positive_int(n_runs, "n_runs")
    if n_runs < 2:
        raise ParameterError(f"n_runs={n_runs} should be >= 2: there must be two results to compare.")
    if isinstance(estimator, type) or not hasattr(estimator, "fit_predict"):
        raise ParameterError(f"estimator={estimator!r} should be an estimator with fit_predict, such as KMeans(8).")
    seeded = [name for name in estimator.get_params() if name.rpartition("__")[2] == "random_state"]
    if not seeded:
        raise ParameterError(
            f"estimator={estimator!r} has no random_state: nothing in it is left to chance, and all runs would agree."
        )
    draw, labels, seeds = check_random_state(random_state), [], []
    for done in range(n_runs):
        seeds.append(int(draw.randint(2**31 - 1)))
        run = clone(estimator).set_params(**dict.fromkeys(seeded, seeds[-1]))
        labels.append(np.asarray(to_host(run.fit_predict(X))))
        if callback is not None:
            callback(done + 1, n_runs)
    agreement = np.eye(n_runs)
    for one, other in combinations(range(n_runs), 2):
        agreement[one, other] = agreement[other, one] = adjusted_rand_score(labels[one], labels[other])
    pairs = agreement[np.triu_indices(n_runs, 1)]
    return Stability(float(pairs.mean()), float(pairs.std()), agreement, tuple(seeds), labels)
