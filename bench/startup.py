"""How long a user waits before anything happens: imports, ``--help``, the first fit with and without compiled code."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench.report import environment

__all__ = ["measure", "table"]

FIT = """
import time, numpy as np
from gpuclust import KMeans
X = np.random.default_rng(0).standard_normal((5000, 40), dtype=np.float32)
started = time.perf_counter()
KMeans(50, n_init=1, max_iter=5, random_state=0).fit(X)
print(time.perf_counter() - started)
"""


def measure(rounds: int = 7) -> dict[str, Any]:
    """Time each start-up `rounds` times in fresh processes.

    Returns
    -------
    dict
        Ready for JSON; seconds. The interpreter's own start is listed so that it can be subtracted. ``first fit, cold``
        compiles every kernel into an empty cache and runs once; imports are not part of it.
    """
    commands = {
        "python -c pass": ["-c", "pass"],
        "import gpuclust": ["-c", "import gpuclust"],
        "gpuclust --help": ["-c", "from gpuclust.cli import main; main()", "--help"],
    }
    seconds = {name: _summary([_wall(command) for _ in range(rounds)]) for name, command in commands.items()}
    with tempfile.TemporaryDirectory(prefix="gpuclust-bench-") as cache:
        seconds["first fit, cold"] = _summary([_fit(cache)])
        seconds["first fit, cached"] = _summary([_fit(cache) for _ in range(3)])
    return {
        "case": "startup",
        "title": "start-up",
        "rounds": rounds,
        "seconds": seconds,
        "environment": environment(),
    }


def table(result: dict[str, Any]) -> str:
    """`result` as a markdown table under its title."""
    lines = ["### Start-up", "", "| | seconds, median (min to max) |", "|---|---|"]
    for name, entry in result["seconds"].items():
        lines.append(f"| {name} | {entry['median']:.3f} ({entry['min']:.3f} to {entry['max']:.3f}) |")
    return "\n".join([*lines, ""])


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def _wall(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _fit(cache: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", FIT],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"GPUCLUST_CACHE_DIR": cache},
    )
    return float(done.stdout)
