"""The sketch: rows in a few principal directions plus their residual norm. Bound: :mod:`gpuclust.engines.canonical`."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.canonical import SKETCH_SLACK, Frame
from gpuclust.engines.cpu.threads import run_blocks
from gpuclust.engines.planner import Costs, Host, SketchPlanner, one_blas_thread

__all__ = ["COSTS", "Sketch", "planner"]

# In nanoseconds of one core, from measurements of the kernels on Zen 5 (bench/).
COSTS = Costs(multiply_add=0.01, score=0.03, distance=10.0, distance_feature=0.16, packed=0.3, planning=2e7)


def planner(rows: np.ndarray | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> SketchPlanner:
    """The planner for rows in host memory; None: they are not resident."""

    def build(basis: np.ndarray) -> Sketch:
        assert rows is not None
        sketch = Sketch(basis, len(rows))
        sketch.fill(rows, 0, frame)
        return sketch

    def take(numbers: np.ndarray) -> np.ndarray:
        assert rows is not None
        return rows[numbers]

    n_rows = 0 if rows is None else len(rows)
    host = Host(n_rows, take, lambda array, numbers: array[numbers], np.asarray, build, COSTS)
    return SketchPlanner(host, sample, n_clusters, frame, mode)


class Sketch:
    """Rows (n, q + 1) float32: q coordinates along ``basis`` (d, q) and the norm of the rest, rounded up.

    ``squares`` (n,) float32 is |t|**2 of each row, ``origin`` the zero shift that ``pack_rows`` needs.
    """

    def __init__(self, basis: np.ndarray, n_rows: int) -> None:
        width = basis.shape[1] + 1
        self.basis = basis
        self.rows = np.empty((n_rows, width), np.float32)
        self.squares = np.empty(n_rows, np.float32)
        self.origin = np.zeros(width)

    @one_blas_thread
    def fill(self, rows: np.ndarray, start: int, frame: Frame) -> None:
        """Sketch rows start..start+m."""

        def block(lo: int, hi: int) -> None:
            scaled = (rows[lo:hi].astype(np.float64) - frame.origin) * frame.scale
            projected = self.project(scaled)
            self.rows[start + lo : start + hi] = projected[:, :-1]
            self.squares[start + lo : start + hi] = projected[:, -1]

        run_blocks(block, len(rows), 512)

    @one_blas_thread
    def project_centers(self, scaled: np.ndarray) -> np.ndarray:
        """(k, d) float64 scaled centres -> (k, q + 1) float64: coordinates, residual norm rounded up."""
        return self.project(scaled)[:, :-1]

    def project(self, scaled: np.ndarray) -> np.ndarray:
        """(m, d) float64 scaled rows -> (m, q + 2) float64: coordinates, residual norm rounded up, squared norm."""
        d, q = self.basis.shape
        out = np.empty((len(scaled), q + 2))
        np.matmul(scaled, self.basis, out=out[:, :q])
        squares = np.einsum("ij,ij->i", scaled, scaled)
        inside = np.einsum("ij,ij->i", out[:, :q], out[:, :q])
        slack = SKETCH_SLACK + d * 2.0**-50
        out[:, q] = np.sqrt(np.maximum(squares - inside, 0.0) + slack * squares)
        out[:, q + 1] = squares
        return out
