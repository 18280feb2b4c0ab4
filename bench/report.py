"""What was measured, as JSON for later and as a markdown table for people."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.cases import Case
from bench.catalog import KINDS
from bench.timing import Measurement, threads

__all__ = ["RESULTS", "environment", "machine", "record", "slug", "summary", "table", "write"]

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor and cores, fit for a folder name: ``amd-epyc-9b14-2-cores``."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(encoding="utf-8"))
        model = found.group(1) if found else model
    model = re.sub(r"\(.*?\)|@.*|processor|cpu|\d+-core", " ", model.lower())
    return slug(f"{model} {threads()} cores")


def slug(name: str) -> str:
    """`name` in small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def environment() -> dict[str, Any]:
    """Date, machine, versions: what a figure means nothing without."""
    contenders = [contender for kind in KINDS.values() for contender in kind.peers.values()]
    packages = {contender.package for contender in contenders} | {"numpy", "scipy", "numba"}
    versions = {}
    for package in sorted(packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    switches = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "threads": threads(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
        "variables": {name: os.environ[name] for name in switches if name in os.environ},
    }


def record(
    case: Case, shape: tuple[int, ...], arguments: tuple[Any, ...], measurements: list[Measurement]
) -> dict[str, Any]:
    """Everything measured on `case`, ready for JSON. Ratios are wall time over that of the first contender."""
    contenders: dict[str, Any] = {}
    first = measurements[0]
    for m in measurements:
        if m.refusal:
            contenders[m.contender] = {"refusal": m.refusal}
            continue
        contenders[m.contender] = {
            "seconds_median": round(m.median, 5),
            "seconds_min": round(min(m.wall), 5),
            "seconds_max": round(max(m.wall), 5),
            "cpu_seconds_median": round(statistics.median(m.cpu), 5),
            "ratio": None if first.refusal else round(m.median / first.median, 3),
            "extra_memory_mb": round(m.extra_memory / 1e6, 1),
            **m.outcome,
            "note": case.peers[m.contender].note,
        }
    return {
        "case": case.name,
        "kind": case.kind,
        "title": case.title,
        "n_rows": shape[0],
        "n_features": shape[1],
        **case.setting(arguments),
        "rounds": max(len(m.wall) for m in measurements),
        "contenders": contenders,
        "environment": environment(),
    }


def table(result: dict[str, Any]) -> str:
    """`result` as a markdown table under its title."""
    kind = KINDS[result.get("kind", "kmeans")]
    shape = f"{result['n_rows']:,} x {result['n_features']}, {kind.described(result)}, float32"
    where = result["environment"]
    lines = [
        f"### {result['title']}",
        "",
        f"{shape}; median of {result['rounds']} rounds; {where['machine']}, {where['date'][:10]}",
        "",
        f"| | seconds (min to max) | ratio | CPU s | extra MB | {' | '.join(kind.headings)} |",
        "|---" * (5 + len(kind.headings)) + "|",
    ]
    entries = result["contenders"]
    first: dict[str, Any] = next((entry for entry in entries.values() if "refusal" not in entry), {})
    for name, entry in entries.items():
        if "refusal" in entry:
            lines.append(f"| {name} | {entry['refusal']} {'| ' * (3 + len(kind.headings))}|")
            continue
        spread = f"{entry['seconds_median']:.3f} ({entry['seconds_min']:.3f} to {entry['seconds_max']:.3f})"
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.2f}"
        own = " *" if name in kind.peers and kind.peers[name].own_way else ""
        lines.append(
            f"| {name}{own} | {spread} | {ratio} | {entry['cpu_seconds_median']:.3f} | {entry['extra_memory_mb']:.0f} "
            f"| {' | '.join(kind.cells(entry, first))} |"
        )
    lines += ["", kind.footnote, ""]
    return "\n".join(lines)


def write(name: str, result: dict[str, Any]) -> Path:
    """Store `result` as ``bench/results/<machine>/<name>.json`` and return the path."""
    path = RESULTS / machine() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def summary() -> Path:
    """Write ``README.md`` beside this machine's results: a table of each, and return its path."""
    folder = RESULTS / machine()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    tables = [table(result) for result in results if "contenders" in result]
    path = folder / "README.md"
    path.write_text("\n".join([f"# {machine()}", "", *tables]), encoding="utf-8")
    return path
