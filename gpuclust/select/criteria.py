"""What the criteria say: for each, the number of clusters that it would choose by its own rule.

===================  ===================================================================================================
inertia              the knee of log inertia over log k: without clusters that is a straight line of slope -2/d
                     (W. Krzanowski, Y. Lai, Biometrics 44, 1988), and the knee where it bends most (`select.knee`)
silhouette           the largest (P. Rousseeuw, J. Comput. Appl. Math. 20, 1987)
calinski_harabasz    the largest (T. Caliński, J. Harabasz, Communications in Statistics 3, 1974)
davies_bouldin       the smallest (D. Davies, D. Bouldin, IEEE PAMI 1, 1979)
gap                  the least k with gap(k) >= gap(k + 1) - error(k + 1) (R. Tibshirani, G. Walther, T. Hastie, J. R.
                     Stat. Soc. B 63, 2001)
stability            the largest; of equals the largest k, which says more (A. Ben-Hur, A. Elisseeff, I. Guyon, PSB
                     2002; U. von Luxburg, Clustering stability: an overview, 2010)
===================  ===================================================================================================

The other choices take the least k of equals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuclust.errors import ParameterError
from gpuclust.select.knee import knee

__all__ = ["CRITERIA", "check_criteria", "choice"]

CRITERIA = ("inertia", "silhouette", "calinski_harabasz", "davies_bouldin", "stability", "gap")


def check_criteria(criteria: Any) -> tuple[str, ...]:
    """The names of ``criteria`` ("all", a name, or several) in the order of `CRITERIA`; ParameterError for others."""
    names = CRITERIA if criteria == "all" else (criteria,) if isinstance(criteria, str) else criteria
    if not isinstance(names, Sequence | set | frozenset) or not names or not set(names) <= set(CRITERIA):
        raise ParameterError(f"criteria={criteria!r} should be 'all' or some of {', '.join(map(repr, CRITERIA))}.")
    return tuple(name for name in CRITERIA if name in names)


def choice(criterion: str, table: dict[str, np.ndarray]) -> int | None:
    """The k that a criterion chooses by its own rule; None where it has no value."""
    ks, values = table["k"], table[criterion]
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return None
    ks, values = ks[known], values[known]
    match criterion:
        case "inertia":
            at = _elbow(ks, values)
        case "davies_bouldin":
            at = int(values.argmin())
        case "gap":
            enough = values[:-1] >= values[1:] - table["gap_error"][known][1:]
            at = int(enough.argmax()) if enough.any() else len(ks) - 1
        case "stability":
            at = len(ks) - 1 - int(values[::-1].argmax())
        case _:
            at = int(values.argmax())
    return int(ks[at])


def _elbow(ks: np.ndarray, inertia: np.ndarray) -> int:
    exact = np.flatnonzero(inertia == 0)
    if len(exact):
        return int(exact[0])
    x, y = (np.array([math.log(v) for v in values.tolist()]) for values in (ks, inertia))
    return knee(x, y)
