"""What criteria choose, and what is recommended: tables by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpuclust.errors import ParameterError
from gpuclust.select.criteria import CRITERIA, check_criteria, choice
from gpuclust.select.recommend import recommend

KS = np.arange(2, 7)


def _table(**columns):
    return {"k": KS[: len(next(iter(columns.values())))]} | {
        name: np.array(values, float) for name, values in columns.items()
    }


@pytest.mark.parametrize(
    ("criterion", "values", "k"),
    [
        ("silhouette", [0.1, 0.4, 0.4, 0.2, 0.0], 3),
        ("silhouette", [math.nan, 0.4, 0.5, math.nan, 0.0], 4),
        ("calinski_harabasz", [1, 2, math.inf, 3, 0], 4),
        ("davies_bouldin", [0.3, 0.2, 0.1, 0.1, 5], 4),
        ("stability", [1.0, 0.5, 1.0, 0.9, math.nan], 4),
        ("inertia", [100.0, 10.0, 9.0, 8.0, 7.0], 3),
        ("inertia", [100.0, 10.0, 0.0], 4),
    ],
)
def test_choices(criterion, values, k):
    assert choice(criterion, _table(**{criterion: values})) == k


def test_the_gap_stops_where_the_next_is_no_higher_than_its_error():
    table = _table(gap=[1.0, 2.0, 2.05, 3.0, 3.0], gap_error=[0.1] * 5)
    assert choice("gap", table) == 3
    assert choice("gap", _table(gap=[1.0, 2.0, 3.0, 4.0, 5.0], gap_error=[0.1] * 5)) == 6
    assert choice("gap", _table(gap=[math.nan] * 5, gap_error=[math.nan] * 5)) is None


def test_the_knee_of_inertia_is_in_logarithms():
    """The largest fall is from 2 to 3, but by a smaller factor for the step in k than from 3 to 4."""
    assert choice("inertia", _table(inertia=[1000, 300, 100, 95, 90])) == 4


def test_the_best_of_the_stable():
    table = _table(
        calinski_harabasz=[10, 20, 30, 40, 50], stability=[1.0, 0.9, 0.79, 0.7, 0.1], stability_error=[0, 0, 0.02, 0, 0]
    )
    k, reason = recommend(table)
    assert k == 4  # by its standard error
    assert reason == "k=4, of 2 to 6: 2 to 4 are stable (at least 0.8); of these it has the largest " + (
        "Calinski-Harabasz index, 30."
    )


def test_no_stability_is_high():
    table = _table(calinski_harabasz=[50, 20, 30], stability=[0.1, 0.2, 0.3], stability_error=[0.0] * 3)
    k, reason = recommend(table)
    assert k == 4
    assert "no stability reaches 0.8, so that clusters are not clear; it is highest here, 0.30" in reason


def test_words_for_one_some_and_all():
    rest = {"stability_error": [0.0] * 5, "silhouette": [0.1, 0.2, 0.3, 0.4, 0.5]}
    assert (
        "it alone is stable (at least 0.8); its silhouette is 0.2"
        in recommend(_table(stability=[0, 0.9, 0, 0, 0], **rest))[1]
    )
    assert "2, 4 and 5 are stable" in recommend(_table(stability=[1, 0, 1, 1, 0], **rest))[1]
    assert "all are stable" in recommend(_table(stability=[1.0] * 5, **rest))[1]


def test_judges_in_their_order():
    everything = {
        "calinski_harabasz": [1, 2, 3, 2, 1],
        "silhouette": [0.1, 0.9, 0, 0, 0],
        "davies_bouldin": [0.1, 1, 1, 1, 1],
        "gap": [1, 2, 3, 4, 5],
    }
    errors = {"gap_error": [0.0] * 5}
    for expected in (4, 3, 2, 6):
        assert recommend(_table(**everything, **errors))[0] == expected
        everything.pop(next(iter(everything)))
    assert recommend(_table(inertia=[math.nan] * 5))[0] == 2
    only = _table(stability=[0.1, 0.3, 0.2, 0.3, 0.0], stability_error=[0.0] * 5)
    assert recommend(only) == (5, "k=5, of 2 to 6: its clusters are the most stable.")


def test_names_of_criteria():
    assert check_criteria("all") == CRITERIA
    assert check_criteria("gap") == ("gap",)
    assert check_criteria(["gap", "inertia"]) == ("inertia", "gap")
    for wrong in ("elbow", [], ["gap", "elbow"], None, 3):
        with pytest.raises(ParameterError, match=r"criteria=.*'silhouette'"):
            check_criteria(wrong)
