"""What libraries cost each other: each alone in a process, and in turns with the others in one process.

Each brings threads of its own (numba's, FAISS', scikit-learn's and torch's OpenMP, two OpenBLAS): they share the cores,
and threads that spin while they wait would take them from the others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from bench.data import Rows, blobs
from bench.report import environment
from bench.timing import ask, workers

__all__ = ["measure", "table"]

_ROWS, _FEATURES, _CLUSTERS = 20_000, 32, 50


def _gpuclust(rows: Rows) -> None:
    from gpuclust import KMeans

    KMeans(_CLUSTERS, n_init=1, max_iter=20, tol=0, random_state=0, device="cpu").fit(rows)


def _sklearn(rows: Rows) -> None:
    from sklearn.cluster import KMeans

    KMeans(_CLUSTERS, n_init=1, max_iter=20, tol=0, random_state=0).fit(rows)


def _faiss(rows: Rows) -> None:
    from gpuclust import NearestNeighbors

    NearestNeighbors(n_neighbors=10, device="cpu").fit(rows[:5000]).kneighbors(rows[:5000])


def _torch(rows: Rows) -> None:
    from gpuclust import Autoencoder

    Autoencoder(10, epochs=2, random_state=0, device="cpu").fit(rows)


_TASKS: dict[str, Callable[[Rows], None]] = {
    "k-means by gpuclust": _gpuclust,
    "k-means by scikit-learn": _sklearn,
    "neighbours by FAISS": _faiss,
    "training by torch": _torch,
}


def measure(rounds: int = 5) -> dict[str, Any]:
    """Median seconds of each task alone and together, and their ratio; ready for JSON."""
    with workers([*_TASKS, "all"], _serve) as connections:
        alone: dict[str, list[float]] = {name: [] for name in _TASKS}
        together: dict[str, list[float]] = {name: [] for name in _TASKS}
        for turn in range(rounds + 1):
            for name in _TASKS:
                found = [ask(connections[process], name)["wall"] for process in (name, "all")]
                if turn:  # the first one loads and compiles; in the process of all of them, every library
                    alone[name].append(found[0])
                    together[name].append(found[1])
    seconds = {
        name: {
            "alone": round(statistics.median(alone[name]), 5),
            "together": round(statistics.median(together[name]), 5),
            "ratio": round(statistics.median(together[name]) / statistics.median(alone[name]), 3),
        }
        for name in _TASKS
    }
    return {
        "case": "together",
        "title": "libraries in one process",
        "rounds": rounds,
        "seconds": seconds,
        "environment": environment(),
    }


def table(result: dict[str, Any]) -> str:
    """`result` as a markdown table under its title."""
    lines = [
        "### Libraries in one process",
        "",
        "| | seconds alone | in turns with the others | ratio |",
        "|---|---|---|---|",
    ]
    for name, entry in result["seconds"].items():
        lines.append(f"| {name} | {entry['alone']:.3f} | {entry['together']:.3f} | {entry['ratio']:.2f} |")
    return "\n".join([*lines, ""])


def _serve(connection: Connection, _: str) -> None:
    """A worker: run tasks by name."""
    rows = np.ascontiguousarray(blobs(_FEATURES, _CLUSTERS, _ROWS))
    try:
        while True:
            task = _TASKS[connection.recv()]
            started = time.perf_counter()
            task(rows)
            connection.send({"wall": time.perf_counter() - started})
    except EOFError:  # the parent is done
        connection.close()
