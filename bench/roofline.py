"""How fast a GPU can be at most, and how much of that a kernel reaches in its full pass.

A kernel's *full pass* is its longest launch: in the first iteration every row is screened against every centre and
every row enters a sum; later launches skip what cannot matter, so that their share of a roofline says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.recording import KernelTimes

__all__ = ["PEAKS", "Pass", "Peak", "effective_tflops", "full_pass", "peak_of"]


class Peak(NamedTuple):
    """Memory bandwidth in TB/s, dense TFLOP/s of float32 cores and of float16 tensor cores, by NVIDIA's data sheets."""

    bandwidth: float
    float32: float
    float16: float


# By a part of the device's name; the first that fits.
PEAKS = {
    "H100 PCIe": Peak(2.0, 51, 756),
    "H100 NVL": Peak(3.9, 60, 835),
    "H100": Peak(3.35, 67, 990),
    "GH200": Peak(4.0, 67, 990),
    "H200": Peak(4.8, 67, 990),
    "B200": Peak(8.0, 80, 2250),
    "A100-SXM4-80GB": Peak(2.04, 19.5, 312),
    "A100 80GB": Peak(1.94, 19.5, 312),
    "A100": Peak(1.56, 19.5, 312),
    "L40S": Peak(0.864, 91.6, 362),
    "L4": Peak(0.3, 30.3, 121),
    "T4": Peak(0.32, 8.1, 65),
}


class Pass(NamedTuple):
    """The shape of a pass: rows, features, clusters, bytes of a number of the rows, and of a screened number."""

    n: int
    d: int
    k: int
    row_bytes: int
    screen_bytes: int

    @property
    def width(self) -> int:
        """Numbers of a screen row: features rounded up to a multiple of 16."""
        return -(-self.d // 16) * 16


# Least bytes that a full pass reads and writes, and floating-point operations; kernels whose work depends on the data
# (decide, plan's rechecks) or that are too short to matter have none.
COSTS: dict[str, Callable[[Pass], tuple[int, int]]] = {
    "survey": lambda p: (p.n * p.d * p.row_bytes, 0),
    "prepare_rows": lambda p: (p.n * (p.d * p.row_bytes + p.width * p.screen_bytes + 8), 0),
    "unit_rows": lambda p: (2 * p.n * p.d * p.row_bytes, 0),
    "settle": lambda p: (p.n * (p.width * p.screen_bytes + 20), 2 * p.n * p.k * p.width),
    "count_items": lambda p: (8 * p.n, 0),
    "list_items": lambda p: (16 * p.n, 0),
    "add_items": lambda p: (p.n * (p.d * p.row_bytes + 4), 0),
    "own_distances": lambda p: (p.n * (p.d * p.row_bytes + 12), 0),
}


def peak_of(name: str) -> Peak | None:
    """The peaks of a device by its name, or None for one that is not in the table."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def full_pass(times: KernelTimes, shape: tuple[int, int, int], row_bytes: int, peak: Peak | None) -> dict[str, object]:
    """The kernel's launches, total and longest time in ms and, where it can be told, the share of the roofline.

    ``shape`` is (n, d, k).
    """
    longest = max(times.milliseconds)
    found: dict[str, object] = {
        "kernel": times.name,
        "options": [option for option in times.options if option.startswith("-D")],
        "launches": len(times.milliseconds),
        "total_ms": round(sum(times.milliseconds), 4),
        "longest_ms": round(longest, 4),
    }
    if peak is not None and times.name in COSTS and longest > 0:
        half = "-DSCREEN_HALF=1" in times.options
        n_bytes, flops = COSTS[times.name](Pass(*shape, row_bytes, 2 if half else 4))
        seconds = max(n_bytes / (peak.bandwidth * 1e12), flops / ((peak.float16 if half else peak.float32) * 1e12))
        found["roofline_share"] = round(1000 * seconds / longest, 3)
    return found


def effective_tflops(n: int, d: int, k: int, n_iter: int, seconds: float) -> float:
    """2 n d k operations an iteration over the whole time: what was skipped counts as done."""
    return 2 * n * d * k * n_iter / seconds / 1e12
