"""The command line: ``gpuclust kmeans | dbscan | predict | info | demo``. Thin: options, a job, its events."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line with ``sys.argv`` and exit with its code."""
    # OpenMP threads that spin while they wait slow shared cores up to four times; OpenMP reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from gpuclust.cli.app import app

    sys.exit(app(prog_name="gpuclust"))
