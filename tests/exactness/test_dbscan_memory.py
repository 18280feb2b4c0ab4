"""DBSCAN stores no graph: peak memory beyond the rows, where the neighbours of all rows would take many gigabytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The first fit compiles and loads what the second needs; 5 resets the peak (proc_pid_clear_refs(5)).
CODE = """
import sys
from pathlib import Path
import numpy as np
from gpuclust import DBSCAN

def status(name):
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

kind, n, d, eps, max_memory = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4]), sys.argv[5]
rng = np.random.default_rng(0)
X = {
    "identical": lambda: np.full((n, d), 3.7),
    "uniform": lambda: rng.random((n, d)),
    "blobs": lambda: (rng.random((50, d)) * 100)[rng.integers(50, size=n)] + rng.normal(size=(n, d)),
}[kind]()
dbscan = DBSCAN(eps, min_samples=10, max_memory=None if max_memory == "None" else max_memory)
dbscan.fit(X[:2000])
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
dbscan.fit(X)
print(status("VmHWM") - before - dbscan.components_.nbytes, dbscan.labels_.max() + 1, len(dbscan.components_))
"""


def _fit(kind: str, n: int, d: int, eps: float, max_memory: str = "None") -> tuple[int, int, int]:
    """Peak bytes beyond the rows and ``components_``, number of clusters and of core rows."""
    arguments = [sys.executable, "-c", CODE, kind, str(n), str(d), str(eps), max_memory]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=300)
    peak, n_clusters, n_core = map(int, done.stdout.split())
    return peak, n_clusters, n_core


pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no VmHWM to reset")


@pytest.mark.parametrize(
    ("kind", "n", "d", "eps", "max_memory", "limit"),
    [
        ("identical", 50_000, 2, 0.5, "None", 100e6),
        ("identical", 20_000, 16, 0.5, "64MB", 150e6),
        ("uniform", 20_000, 16, 10.0, "64MB", 150e6),
        ("uniform", 180_000, 2, 0.136, "None", 200e6),
    ],
)
def test_every_row_near_very_many(kind, n, d, eps, max_memory, limit):
    """Lists of neighbours would take 20 GB, 3 GB, 3 GB and 15 GB."""
    peak, n_clusters, n_core = _fit(kind, n, d, eps, max_memory)
    assert n_clusters == 1
    assert n_core == n
    assert peak < limit, f"{peak / 1e6:.0f} MB"


@pytest.mark.slow
def test_five_million_rows_within_a_gigabyte():
    peak, n_clusters, _ = _fit("blobs", 5_000_000, 3, 0.15)
    assert n_clusters > 10
    assert peak < 1e9, f"{peak / 1e6:.0f} MB"
