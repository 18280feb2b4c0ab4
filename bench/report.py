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
from bench.peers import CONTENDERS
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
    packages = {contender.package for contender in CONTENDERS.values()} | {"numpy", "scipy", "numba"}
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


def record(case: Case, n_rows: int, n_features: int, measurements: list[Measurement]) -> dict[str, Any]:
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
            "inertia": m.inertia,
            "n_iter": m.n_iter,
            "same_initial_centers": CONTENDERS[m.contender].takes_centers,
            "note": CONTENDERS[m.contender].note,
        }
    return {
        "case": case.name,
        "title": case.title,
        "n_rows": n_rows,
        "n_features": n_features,
        "n_clusters": case.n_clusters,
        "n_iter": case.n_iter,
        "rounds": max(len(m.wall) for m in measurements),
        "contenders": contenders,
        "environment": environment(),
    }


def table(result: dict[str, Any]) -> str:
    """`result` as a markdown table under its title."""
    shape = f"{result['n_rows']:,} x {result['n_features']}, k={result['n_clusters']}"
    work = f"{result['n_iter']} iterations" if result["n_iter"] else "k-means++ only"
    where = result["environment"]
    lines = [
        f"### {result['title']}",
        "",
        f"{shape}, {work}, float32; median of {result['rounds']} rounds; {where['machine']}, {where['date'][:10]}",
        "",
        "| | seconds (min to max) | ratio | CPU s | extra MB | inertia | iterations |",
        "|---|---|---|---|---|---|---|",
    ]
    reference = next((entry["inertia"] for entry in result["contenders"].values() if "inertia" in entry), 1.0)
    for name, entry in result["contenders"].items():
        if "refusal" in entry:
            lines.append(f"| {name} | {entry['refusal']} | | | | | |")
            continue
        spread = f"{entry['seconds_median']:.3f} ({entry['seconds_min']:.3f} to {entry['seconds_max']:.3f})"
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.2f}"
        own = "" if entry["same_initial_centers"] else " *"
        lines.append(
            f"| {name}{own} | {spread} | {ratio} | {entry['cpu_seconds_median']:.3f} | {entry['extra_memory_mb']:.0f} "
            f"| {entry['inertia'] / reference:.5f} | {entry['n_iter']} |"
        )
    lines += ["", "Inertia is relative to the first line. *: chooses its own initial centres.", ""]
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
