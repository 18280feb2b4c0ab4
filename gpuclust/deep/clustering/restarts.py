"""Which of several restarts to keep: a criterion that knows no labels, in one space that all restarts share.

Codes of different networks cannot be compared, so clusterings are judged among the rows as the networks see them:
scaled, the same for all restarts. The criterion is the modularity of the clusters in the graph of nearest neighbours
of a sample of the rows: how many more of a row's neighbours are in its own cluster than would be by chance. It asks
nothing of the shape of clusters, unlike the silhouette, which among rows prefers what k-means would have found without
any network (measured: docs/deep.md).

E. Leicht, M. Newman, "Community structure in directed networks", Physical Review Letters 100, 2008.
"""

from __future__ import annotations

import numpy as np
import torch

from gpuclust.algorithms.random import purpose_stream
from gpuclust.algorithms.sampling import distinct
from gpuclust.deep.clustering.soft import squared_distances
from gpuclust.deep.rows import Rows

__all__ = ["Judge"]

#: Rows that are compared with each other, and how many of them at a time.
_SAMPLE, _BLOCK = 4096, 512
#: Neighbours of a row; an eighth of the rows where there are few.
_NEIGHBORS = 15


class Judge:
    """Judges clusterings of the same rows.

    Parameters
    ----------
    rows : Rows
        Scaled; a value of a missing modality counts as 0.
    """

    def __init__(self, rows: Rows) -> None:
        size = min(_SAMPLE, rows.n_rows)
        self._index = np.sort(distinct(purpose_stream(0, "rows to judge by"), rows.n_rows, size))
        sample = rows.take(torch.from_numpy(self._index).to(rows.device)).nan_to_num()
        k, found = min(_NEIGHBORS, max(1, size // 8), size - 1), []
        for first in range(0, size, _BLOCK):
            distances = squared_distances(sample[first : first + _BLOCK], sample)
            own = torch.arange(len(distances), device=sample.device)
            distances[own, first + own] = torch.inf
            found.append(distances.topk(k, largest=False).indices)
        self._graph = torch.cat(found).numpy(force=True)

    def __call__(self, labels: np.ndarray) -> float:
        """Modularity of labels (n,) int32: at most 1, the larger the better, 0 for one cluster alone.

        Noise (-1) counts as a cluster.
        """
        names, found = np.unique(labels[self._index], return_inverse=True)
        near = found[self._graph]
        if not near.size:  # one row has no neighbours
            return 0.0
        inside = (near == found[:, None]).mean()
        leaving, arriving = (np.bincount(ends.ravel(), minlength=len(names)) / ends.size for ends in (found, near))
        return float(inside - leaving @ arriving)
