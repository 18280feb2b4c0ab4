"""DBSCAN's figures in the README: one line for each result stored for this machine, between two marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import report
from bench.dbscan import CASES

__all__ = ["update"]

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- dbscan: python -m bench --readme writes this -->", "<!-- /dbscan -->"
PEERS = {"sklearn": "scikit-learn", "dbscan": "dbscan"}


def update() -> Path:
    """Write the table of what is stored for this machine into the README, and return its path."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    folder = report.RESULTS / report.machine()
    stored = [folder / f"{name}.json" for name in CASES]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in stored if path.is_file()]
    README.write_text("\n".join([before + BEGIN, *_table(results), END + after]), encoding="utf-8")
    return README


def _table(results: list[dict[str, Any]]) -> list[str]:
    """Seconds of gpuclust, how many times longer the others took, and memory of all beyond the data."""
    names = " / ".join(["gpuclust", *PEERS.values()])
    lines = [
        f"| case | eps | gpuclust | {' | '.join(PEERS.values())} | extra MB, {names} | labels |",
        "|---" * (5 + len(PEERS)) + "|",
    ]
    for result in results:
        entries = result["contenders"]
        ours = entries["gpuclust"]
        peers = [entries.get(name, {}) for name in PEERS]
        ratios = [f"{peer['ratio']:.1f}x" if "ratio" in peer else "–" for peer in peers]
        memory = [f"{entry['extra_memory_mb']:,.0f}" if "ratio" in entry else "–" for entry in (ours, *peers)]
        unlike = ours["labels_unlike_sklearn"]
        labels = "not compared" if unlike is None else f"{unlike:,} differ" if unlike else "scikit-learn's"
        title = result["title"].removeprefix("DBSCAN, ")
        lines.append(
            f"| {title} | {result['eps']:.3g} | {ours['seconds_median']:.2f} s | {' | '.join(ratios)} "
            f"| {' / '.join(memory)} | {labels} |"
        )
    return lines
