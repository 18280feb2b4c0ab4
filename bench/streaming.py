"""Rows from disk within a memory budget: peak resident memory, time, and whether the bits depend on the budget."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import environment
from bench.timing import peak_memory, restart_peak_memory

__all__ = ["measure", "table"]

N_ROWS, N_FEATURES, N_CLUSTERS, N_ITER = 20_000_000, 32, 64, 5
BUDGETS = ("512MB", "128MB")


def measure(scale: float = 1.0, folder: str | None = None) -> dict[str, Any]:
    """Write a file of 20M x 32 float32 rows (times `scale`), fit it under each budget in a fresh process, delete it.

    Parameters
    ----------
    scale : float
        Fraction of the rows.
    folder : str, optional
        Where the file (2.6 GB) goes for the time being; the system's temporary folder by default.

    Returns
    -------
    dict
        Ready for JSON: per budget the peak resident memory in MB, seconds, and a digest of labels, centres and inertia.
    """
    n_rows = max(10_000, round(N_ROWS * scale))
    with tempfile.TemporaryDirectory(prefix="gpuclust-bench-", dir=folder) as temporary:
        path = Path(temporary) / "rows.npy"
        _write(path, n_rows)
        runs = {}
        for budget in BUDGETS:
            command = [sys.executable, "-m", "bench.streaming", str(path), budget]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"streaming with max_memory={budget} failed:\n{done.stderr}")
            runs[budget] = json.loads(done.stdout.splitlines()[-1])
    return {
        "case": "streaming",
        "title": "rows from disk within a memory budget",
        "n_rows": n_rows,
        "n_features": N_FEATURES,
        "n_clusters": N_CLUSTERS,
        "n_iter": N_ITER,
        "file_mb": round(n_rows * N_FEATURES * 4 / 1e6),
        "budgets": runs,
        "same_bits": len({run["digest"] for run in runs.values()}) == 1,
        "environment": environment(),
    }


def table(result: dict[str, Any]) -> str:
    """`result` as a markdown table under its title."""
    shape = f"{result['n_rows']:,} x {result['n_features']} ({result['file_mb']} MB), k={result['n_clusters']}"
    lines = [
        f"### {result['title']}",
        "",
        f"{shape}, {result['n_iter']} iterations; {result['environment']['machine']}",
        "",
        "| max_memory | peak resident MB | seconds |",
        "|---|---|---|",
        *(f"| {budget} | {run['peak_mb']} | {run['seconds']} |" for budget, run in result["budgets"].items()),
        "",
        f"Same bits under every budget: {'yes' if result['same_bits'] else 'NO'}.",
        "",
    ]
    return "\n".join(lines)


def _write(path: Path, n_rows: int) -> None:
    random = np.random.default_rng(22)
    centers = random.standard_normal((N_CLUSTERS, N_FEATURES), dtype=np.float32)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, N_FEATURES)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n_rows, 500_000):
            m = min(500_000, n_rows - start)
            block = random.standard_normal((m, N_FEATURES), dtype=np.float32)
            block += centers[random.integers(0, N_CLUSTERS, m)]
            file.write(block.tobytes())


def _fit(path: str, budget: str) -> None:
    """In a process of its own: fit, and print the peak of resident memory of the whole process, imports included."""
    import warnings

    from gpuclust import KMeans

    warnings.simplefilter("ignore")
    initial = np.array(np.load(path, mmap_mode="r")[:: 10_000 // N_CLUSTERS][:N_CLUSTERS])
    model = KMeans(N_CLUSTERS, init=initial, n_init=1, max_iter=N_ITER, tol=0, device="cpu", max_memory=budget)
    restart_peak_memory()
    started = time.perf_counter()
    model.fit(path)
    seconds = time.perf_counter() - started
    peak = peak_memory()
    digest = hashlib.sha256(model.labels_.tobytes() + model.cluster_centers_.tobytes() + repr(model.inertia_).encode())
    print(json.dumps({"peak_mb": round(peak / 1e6), "seconds": round(seconds, 2), "digest": digest.hexdigest()}))


if __name__ == "__main__":
    _fit(*sys.argv[1:])
