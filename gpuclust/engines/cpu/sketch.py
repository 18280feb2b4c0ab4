"""The sketch: rows in a few principal directions plus their residual norm, and the decision whether it pays.

The bound is in :mod:`gpuclust.engines.canonical`. Nothing here affects a result, so the directions may come from any
factorisation and the decision from a sample.
"""

from __future__ import annotations

import numpy as np

from gpuclust.engines.canonical import SKETCH_SLACK, Frame
from gpuclust.engines.cpu.threads import run_blocks

__all__ = ["Sketch", "SketchPlanner", "principal_directions"]

WIDTHS = (8, 16, 32, 64, 128)
# Cost model in nanoseconds of one core, from measurements of the kernels on Zen 5 (bench/); only ratios matter.
PER_MULTIPLY_ADD = 0.01
PER_SCORE = 0.03
PER_DISTANCE, PER_DISTANCE_FEATURE = 12.0, 0.25
# A sketch has to promise this much less than the full screen before it is built.
MARGIN = 0.8
_SAMPLED_ROWS = 256


def principal_directions(sample: np.ndarray, n_directions: int) -> np.ndarray:
    """Orthonormal (d, q) float64 basis near the leading principal directions of the centred ``sample`` (m, d).

    Block power iteration with Rayleigh-Ritz (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    d = sample.shape[1]
    block = min(d, n_directions + 8)
    random = np.random.default_rng(0).standard_normal((d, block))
    basis = np.linalg.qr(random)[0]
    for _ in range(3):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    image = sample @ basis
    rotation = np.linalg.eigh(image.T @ image)[1][:, ::-1]
    # The product of orthonormal factors is orthonormal to rounding; once more makes the bound's premise sure.
    return np.linalg.qr(basis @ rotation[:, :n_directions])[0]


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

    def fill(self, rows: np.ndarray, start: int, frame: Frame) -> None:
        """Sketch rows start..start+m."""

        def block(lo: int, hi: int) -> None:
            scaled = (rows[lo:hi].astype(np.float64) - frame.origin) * frame.scale
            projected = self.project(scaled)
            self.rows[start + lo : start + hi] = projected[:, :-1]
            self.squares[start + lo : start + hi] = projected[:, -1]

        # One block at a time: the products use all cores by themselves.
        run_blocks(block, len(rows), 4096, workers=1)

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


class SketchPlanner:
    """Chooses, before each assignment, between the full screen and a sketch, from a sample of rows."""

    def __init__(self, rows: np.ndarray | None, sample: np.ndarray, n_clusters: int, frame: Frame, mode: str) -> None:
        self._rows, self._frame, self._mode = rows, frame, mode
        d = sample.shape[1]
        self._possible = mode != "full" and rows is not None and d > 2 * WIDTHS[0] and (n_clusters >= 32 or mode == "sketch")
        self._sample = sample
        self._sketch: Sketch | None = None
        self._basis: np.ndarray | None = None

    def choose(self, centers: np.ndarray, labels: np.ndarray, screened_share: float) -> Sketch | None:
        """The sketch to use with ``centers`` (k, d) and present ``labels`` (n,), or None for the full screen.

        ``screened_share`` is the share of rows that the full screen had to look at last time: rows that keep their label
        unseen make it cheaper, while the sketch, which has no lower bounds to carry, looks at every row.
        """
        if not self._possible or self._rows is None:
            return None
        k, d = centers.shape
        if self._basis is None:
            scaled = (self._sample.astype(np.float64) - self._frame.origin) * self._frame.scale
            widths = [q for q in WIDTHS if 2 * q < d]
            self._basis = principal_directions(scaled - scaled.mean(0), widths[-1])
        n = len(self._rows)
        chosen = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED_ROWS)).astype(np.int64))
        rows = (self._rows[chosen].astype(np.float64) - self._frame.origin) * self._frame.scale
        scaled_centers = (centers - self._frame.origin) * self._frame.scale
        own = np.square(rows - scaled_centers[labels[chosen]]).sum(1)
        widths = [self._sketch.basis.shape[1]] if self._sketch is not None else [q for q in WIDTHS if 2 * q < d]
        costs = {q: self._sketch_cost(q, rows, scaled_centers, own) for q in widths}
        best = min(costs, key=lambda q: costs[q])
        full = screened_share * (k * d * PER_MULTIPLY_ADD + k * 2 * PER_SCORE + d * 0.1)
        if self._mode == "auto" and costs[best] > MARGIN * full:
            return None
        if self._sketch is None:
            self._sketch = Sketch(np.ascontiguousarray(self._basis[:, :best]), n)
            self._sketch.fill(self._rows, 0, self._frame)
        return self._sketch

    def _sketch_cost(self, q: int, rows: np.ndarray, centers: np.ndarray, own: np.ndarray) -> float:
        assert self._basis is not None
        basis = self._basis[:, :q]
        p, c = rows @ basis, centers @ basis
        row_squares, center_squares = np.square(rows).sum(1), np.square(centers).sum(1)
        row_rest = np.sqrt(np.maximum(row_squares - np.square(p).sum(1), 0.0))
        center_rest = np.sqrt(np.maximum(center_squares - np.square(c).sum(1), 0.0))
        score = p @ c.T + np.outer(row_rest, center_rest)
        least = row_squares[:, None] + center_squares - 2.0 * score
        k, d = centers.shape
        survivors = float((least <= own[:, None]).sum()) / len(rows)
        distance = PER_DISTANCE + PER_DISTANCE_FEATURE * d
        return k * (q + 1) * PER_MULTIPLY_ADD + k * PER_SCORE + (survivors + 1) * distance
