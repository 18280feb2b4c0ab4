"""Scores that look at every pair of rows need no memory for pairs: peaks beyond the rows, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The first call compiles and loads what the second needs; 5 resets the peak (proc_pid_clear_refs(5)).
CODE = """
import sys
from pathlib import Path
import numpy as np
from gpuclust import metrics

def status(name):
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

score, n, d, k = getattr(metrics, sys.argv[1]), *map(int, sys.argv[2:])
rng = np.random.default_rng(0)
labels = rng.integers(k, size=n)
X = (rng.normal(size=(k, d))[labels] * 5 + rng.normal(size=(n, d))).astype(np.float32)
score(X[: 20 * k], labels[: 20 * k])
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
score(X, labels)
print(status("VmHWM") - before)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no VmHWM to reset")


def _peak(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.parametrize(
    ("score", "n", "d", "k", "limit"),
    [
        ("silhouette_score", 30_000, 4, 20, 40e6),
        pytest.param("silhouette_score", 100_000, 32, 50, 60e6, marks=pytest.mark.slow),
        pytest.param("dbcv_score", 20_000, 4, 3, 100e6, marks=pytest.mark.slow),
    ],
)
def test_no_memory_for_pairs(score, n, d, k, limit):
    """All distances would take 7 GB, 80 GB and 3 GB, and a table of rows and clusters 80 MB."""
    peak = _peak(score, str(n), str(d), str(k))
    assert peak < limit, f"{peak / 1e6:.0f} MB"
