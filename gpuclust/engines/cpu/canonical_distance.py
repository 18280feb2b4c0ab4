"""The canonical distance of any metric."""

from __future__ import annotations

from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.vector import largest_difference, squared_distance, summed_difference
from gpuclust.engines.neighborhood import METRICS

__all__ = ["CHEBYSHEV", "EUCLIDEAN", "MANHATTAN", "canonical_distance"]

EUCLIDEAN, MANHATTAN, CHEBYSHEV = (METRICS.index(name) for name in ("euclidean", "manhattan", "chebyshev"))


@kernel
def canonical_distance(data, row, other, other_row, scale, metric):  # type: ignore[no-untyped-def]
    """The distance of ``data[row]`` to ``other[other_row]`` by the number of the metric in ``METRICS``."""
    if metric == EUCLIDEAN:
        return squared_distance(data, row, other, other_row, scale)
    if metric == MANHATTAN:
        return summed_difference(data, row, other, other_row, scale)
    return largest_difference(data, row, other, other_row, scale)
