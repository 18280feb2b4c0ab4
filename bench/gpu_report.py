"""What was measured on a GPU, as JSON for later and as markdown tables for people."""

from __future__ import annotations

import json
import statistics
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import report
from bench.gpu_cases import GpuCase
from bench.gpu_catalog import KINDS
from bench.recording import KernelTimes
from bench.roofline import full_pass, peak_of
from bench.timing import Measurement

__all__ = ["device", "folder", "record", "summary", "table", "write"]

PACKAGES = (
    "cupy-cuda12x",
    "cupy-cuda13x",
    "faiss-gpu",
    "faiss-gpu-cu12",
    "fastkmeans",
    "flash-kmeans",
    "torch",
    "triton",
)
MARK = "<!-- results: bench/gpu.sh writes what follows -->"


def device() -> dict[str, Any]:
    """Name, capability, memory, driver and CUDA of the current GPU; or, under "problem", why there is none."""
    from gpuclust.engines.cuda.discovery import current_device, discover

    found = discover()
    versions = {"driver": found.driver, "runtime": found.runtime, "cupy": found.cupy}
    if found.cause:
        return {**versions, "problem": found.cause}
    gpu = found.devices[current_device()]
    capability = "{}.{}".format(*gpu.capability)
    return {"name": gpu.name, "capability": capability, "memory_gb": round(gpu.memory / 1e9, 1), **versions}


def record(
    case: GpuCase, measurements: list[Measurement], kernels: list[dict[str, Any]], gpu: dict[str, Any], *, dry_run: bool
) -> dict[str, Any]:
    """Everything measured on ``case``, ready for JSON. Ratios are wall time over that of the first contender."""
    contenders: dict[str, Any] = {}
    first, peak = measurements[0], peak_of(gpu.get("name", ""))
    for m in measurements:
        if m.refusal:
            contenders[m.contender] = {"refusal": m.refusal}
            continue
        contenders[m.contender] = {
            "seconds_median": round(m.median, 6),
            "seconds_min": round(min(m.wall), 6),
            "seconds_max": round(max(m.wall), 6),
            "cpu_seconds_median": round(statistics.median(m.cpu), 6),
            "ratio": None if first.refusal else round(m.median / first.median, 3),
            **case.rate(m.median, m.outcome),
            "memory_mb": round(m.extra_memory / 1e6, 1),
            **m.outcome,
            "note": case.peers[m.contender].note,
        }
    return {
        "case": case.name,
        "kind": case.kind,
        "title": case.title,
        "dry_run": dry_run,
        "n_rows": case.n_rows,
        "n_features": case.n_features,
        **case.setting(),
        "dtype": case.dtype,
        "rounds": max(len(m.wall) for m in measurements),
        "contenders": contenders,
        # Float16 rows are widened, so that the kernels read float32.
        "kernels": [full_pass(KernelTimes(**times), case.shape, 4, peak) for times in kernels],
        "peaks": None if peak is None else peak._asdict(),
        "gpu": gpu,
        "commit": _commit(),
        "environment": _environment(),
    }


def table(result: dict[str, Any]) -> str:
    """``result`` as markdown tables under its title: contenders, and gpuclust's kernels."""
    kind = KINDS[result.get("kind", "kmeans")]
    shape = f"{result['n_rows']:,} x {result['n_features']}, {result['dtype']}, {kind.described(result)}"
    lines = [
        f"### {result['title']}",
        "",
        f"{shape}; median of {result['rounds']} rounds; {_where(result)}",
        "",
        f"| | seconds (min to max) | ratio | GPU memory, MB | {' | '.join(kind.headings)} |",
        "|---" * (4 + len(kind.headings)) + "|",
    ]
    entries = result["contenders"]
    first: dict[str, Any] = next((entry for entry in entries.values() if "refusal" not in entry), {})
    for name, entry in entries.items():
        if "refusal" in entry:
            lines.append(f"| {name} | {entry['refusal']} {'| ' * (2 + len(kind.headings))}|")
            continue
        spread = f"{entry['seconds_median']:.4f} ({entry['seconds_min']:.4f} to {entry['seconds_max']:.4f})"
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.2f}"
        own = " *" if name in kind.peers and kind.peers[name].own_way else ""
        cells = " | ".join(kind.cells(entry, first))
        lines.append(f"| {name}{own} | {spread} | {ratio} | {entry['memory_mb']:.0f} | {cells} |")
    lines += ["", kind.footnote, ""]
    if result["kernels"]:
        lines += [
            "| kernel | compiled with | launches | total ms | full pass, ms | share of roofline |",
            "|---|---|---|---|---|---|",
            *(
                f"| {k['kernel']} | {' '.join(k['options'])} | {k['launches']} | {k['total_ms']:.3f} "
                f"| {k['longest_ms']:.3f} | {k.get('roofline_share', '–')} |"
                for k in result["kernels"]
            ),
            "",
        ]
    return "\n".join(lines)


def write(name: str, result: dict[str, Any], out: Path | None) -> Path:
    """Store ``result`` as ``<name>.json`` in ``out`` (``bench/results/<gpu>`` by default) and return the path."""
    path = folder(result["gpu"], out) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def summary(gpu: dict[str, Any], out: Path | None) -> Path:
    """Write the tables of all results of this GPU, and one line for each into ``GPU.md``; return the former's path.

    ``checks.md``, which ``bench/gpu.sh`` leaves beside the results, comes first. With ``out``, GPU.md is written there.
    """
    place = folder(gpu, out)
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(place.glob("*.json"))]
    checks = place / "checks.md"
    text = [checks.read_text(encoding="utf-8")] if checks.is_file() else []
    path = place / "README.md"
    path.write_text("\n".join([f"# {_name(gpu)}", "", *text, *map(table, results)]), encoding="utf-8")
    page = (out or report.RESULTS) / "GPU.md"
    places = [place] if out else [path for path in sorted(report.RESULTS.iterdir()) if path.is_dir()]
    before = page.read_text(encoding="utf-8").partition(MARK)[0].rstrip() if page.is_file() else "# What ran on a GPU"
    page.write_text("\n".join([before, "", MARK, "", *_overview(places)]), encoding="utf-8")
    return path


def _overview(places: list[Path]) -> list[str]:
    """One line per case and GPU: gpuclust's time, and how many times longer its peers took."""
    lines = [
        "| GPU | case | date | gpuclust, s | times as long |",
        "|---|---|---|---|---|",
    ]
    for place in places:
        for path in sorted(place.glob("*.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            ours = result["contenders"].get("gpuclust", {}) if "gpu" in result else {}
            if "seconds_median" not in ours:
                continue
            peers = ", ".join(
                f"{name} {entry['ratio']:.2f}x"
                for name, entry in result["contenders"].items()
                if entry.get("ratio") and name != "gpuclust"
            )
            lines.append(
                f"| {_where(result)} | {result['title']} | {result['environment']['date'][:10]} "
                f"| {ours['seconds_median']:.4f} | {peers} |"
            )
    return [*lines, ""]


def folder(gpu: dict[str, Any], out: Path | None) -> Path:
    """Where results of this GPU go, unless ``out`` says so."""
    return out or report.RESULTS / report.slug(_name(gpu))


def _name(gpu: dict[str, Any]) -> str:
    return str(gpu.get("name", "no GPU"))


def _where(result: dict[str, Any]) -> str:
    return "dry run on a processor: no measurement" if result["dry_run"] else _name(result["gpu"])


def _environment() -> dict[str, Any]:
    """As for processors, with the versions that matter here."""
    found = report.environment()
    for package in PACKAGES:
        try:
            found["versions"][package] = version(package)
        except PackageNotFoundError:
            found["versions"][package] = "not installed"
    return found


def _commit() -> str | None:
    command = ["git", "-C", str(report.RESULTS), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
