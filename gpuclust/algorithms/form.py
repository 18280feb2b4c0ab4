"""Which of DBSCAN's two forms is faster: cells or pairs. From a sample, and of no influence on results.

Up to three features it is cells. With more they walk past more cells beside each one that holds rows, and the less is
gained the fewer rows a cell has; pairs hardly feel the features, but cost something for every two tiles. In
microseconds of a core and row, with f occupied cells a row::

    cells  1.2 * 1.7**(d - 4) * (n / 20000)**0.2 * f**1.5        pairs  0.5 + 10e-6 n

fitted to 129 measurements (``python -m bench.forms``; AMD EPYC): six kinds of rows, 3 to 8 features, 20,000 and 100,000
rows, 10 to 1,000 neighbours. What is chosen is the faster form, or within 1.3 times of it, in 98 % of them; it is 1.56
times slower at worst, 2 % on average. Pairs for all from four features on are 10.7 times slower at worst, 78 % on
average. GPUs get the same rule until one has been measured.
"""

from __future__ import annotations

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.neighborhood import Grid

__all__ = ["occupied_cells", "prefers_cells"]

# With no more features cells win whatever the rows are like.
_FEW_FEATURES = 3
_SAMPLED_SHARE, _MOST_SAMPLED = 16, 4096


def prefers_cells(data: Dataset, grid: Grid) -> bool:
    """Whether cells are the faster form for these rows."""
    n, d = data.n_rows, data.n_features
    if d <= _FEW_FEATURES:
        return True
    walk, pairs = 1.2 * 1.7 ** (d - 4) * (n / 20_000) ** 0.2, 0.5 + 10e-6 * n
    if walk <= pairs:
        return True
    small = n <= _SAMPLED_SHARE * len(data.sample) or data.single is None
    rows = data.sample if small else data.sampled(min(n // _SAMPLED_SHARE, _MOST_SAMPLED))
    return walk * (occupied_cells(rows, grid, n) / n) ** 1.5 <= pairs


def occupied_cells(sample: np.ndarray, grid: Grid, n_rows: int) -> float:
    """An estimate of how many cells of the grid hold some of ``n_rows`` rows like those of the ``sample`` (m, d).

    Cells that are not seen are told from those seen once and twice (A. Chao, Scandinavian Journal of Statistics 1984),
    and how many of them more rows would show by extrapolation (R. Colwell et al., Journal of Plant Ecology 2012, (9)).
    """
    cells = np.floor((sample.astype(np.float64) - grid.origin) * grid.inverse_side).astype(np.int64).view(np.uint64)
    keys = np.zeros(len(sample), np.uint64)
    for column in cells.T:
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + column
    seen = np.unique(keys, return_counts=True)[1]
    once, twice = int((seen == 1).sum()), int((seen == 2).sum())
    unseen = once * (once - 1) / (2 * (twice + 1))
    if unseen == 0:
        return float(len(seen))
    more = max(n_rows - len(sample), 0)
    shown = unseen * (1 - (1 - once / (len(sample) * unseen + once)) ** more)
    return float(min(len(seen) + shown, n_rows))
