"""What a choice comes to: the value, the figures it rests on, and the reason in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["EpsSuggestion", "Suggestion"]


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A number of clusters.

    Attributes
    ----------
    value : int
        The number of clusters suggested.
    table : dict of ndarray (m,)
        Column "k" (int64), and a column (float64) for each criterion; "stability_error" and "gap_error" are standard
        errors. NaN: not computed.
    choices : dict of int
        The number of clusters that each criterion would choose by its own rule.
    reason : str
        Why it is this value, and what limits what it rests on.
    n_rows, n_sampled : int
        Rows, and how many of them silhouette, gap and stability look at.
    complete : bool
        False if ``max_time`` ended the search early: then the result depends on the speed of the machine.
    """

    value: int
    table: dict[str, np.ndarray]
    choices: dict[str, int]
    reason: str
    n_rows: int
    n_sampled: int
    complete: bool = True

    def to_text(self) -> str:
        """The table, with a star where a criterion's own choice is, and the reason."""
        names = list(self.table)
        lines = [["+-" if name.endswith("_error") else name.replace("_", " ") for name in names]]
        for row, k in enumerate(self.table["k"]):
            cells = [f"{'>' if k == self.value else ' '} {k}"]
            cells += [
                _figure(self.table[name][row]) + ("*" if self.choices.get(name) == k else " ") for name in names[1:]
            ]
            lines.append(cells)
        return f"{_aligned(lines)}\n\n{self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts, ready for JSON; None for what is no finite number."""
        return {
            "n_clusters": self.value,
            "reason": self.reason,
            "choices": dict(self.choices),
            "n_rows": self.n_rows,
            "n_sampled": self.n_sampled,
            "complete": self.complete,
            "table": {name: [_plain(value) for value in column] for name, column in self.table.items()},
        }


@dataclass(frozen=True, eq=False)
class EpsSuggestion:
    """A radius for DBSCAN, and the number of neighbours that goes with it.

    Attributes
    ----------
    value : float
        The eps suggested, in the units of ``metric``.
    min_samples : int
    table : dict of ndarray (m,)
        "rank" (float64, 0 to 1) and "distance" (float64, rising): the curve of the distances of rows to their
        (``min_samples`` - 1)-th nearest other row.
    knee : int
        Position of the knee in the table.
    reason : str
    metric : str
    n_rows, n_sampled : int
        Rows, and how many of them the curve shows; each is compared with all rows.
    """

    value: float
    min_samples: int
    table: dict[str, np.ndarray]
    knee: int
    reason: str
    metric: str
    n_rows: int
    n_sampled: int

    @property
    def values(self) -> dict[str, float | int]:
        """The two parameters of DBSCAN: ``DBSCAN(**suggestion.values)``."""
        return {"eps": self.value, "min_samples": self.min_samples}

    def to_text(self) -> str:
        """The curve at a few places, the knee marked, and the reason."""
        distance, rank = self.table["distance"], self.table["rank"]
        last = len(distance) - 1
        shown = sorted({round(last * share) for share in (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)} | {self.knee})
        lines = [["rows below", "distance"]]
        lines += [[f"{rank[at]:.1%}", _figure(distance[at]) + ("*" if at == self.knee else " ")] for at in shown]
        return f"{_aligned(lines)}\n\n{self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the whole curve, of which 101 points are given, ready for JSON."""
        at = np.unique(np.rint(np.linspace(0, len(self.table["rank"]) - 1, 101)).astype(np.int64))
        return {
            "eps": self.value,
            "min_samples": self.min_samples,
            "metric": self.metric,
            "reason": self.reason,
            "n_rows": self.n_rows,
            "n_sampled": self.n_sampled,
            "table": {name: [_plain(value) for value in column[at]] for name, column in self.table.items()},
        }


def _plain(value: Any) -> int | float | None:
    number = value.item()
    return number if math.isfinite(number) else None


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _aligned(lines: list[list[str]]) -> str:
    """Columns of equal width, to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
