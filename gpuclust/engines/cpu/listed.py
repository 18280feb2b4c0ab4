"""Rows whose neighbours are listed: row ``start + i`` has those of ``indices[indptr[i] : indptr[i + 1]]``."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.compile import kernel
from gpuclust.engines.cpu.union import find, union

__all__ = ["claim_listed", "components", "link_listed", "sum_listed"]


@kernel
def sum_listed(start, indptr, indices, values, sums):  # type: ignore[no-untyped-def]
    for i in range(indptr.size - 1):
        for at in range(indptr[i], indptr[i + 1]):
            sums[start + i] += values[indices[at]]


@kernel
def link_listed(start, indptr, indices, core, parent):  # type: ignore[no-untyped-def]
    for i in range(indptr.size - 1):
        if core[start + i]:
            for at in range(indptr[i], indptr[i + 1]):
                if core[indices[at]]:
                    union(parent, start + i, indices[at])


@kernel
def claim_listed(start, indptr, indices, core, labels):  # type: ignore[no-untyped-def]
    """Give rows that are not core rows the lowest label of those core rows that list them as neighbours."""
    for i in range(indptr.size - 1):
        if core[start + i]:
            for at in range(indptr[i], indptr[i + 1]):
                j = indices[at]
                # No label is -1, which is the largest as an unsigned number.
                if not core[j] and np.uint32(labels[start + i]) < np.uint32(labels[j]):
                    labels[j] = labels[start + i]


@kernel
def components(parent, core, out):  # type: ignore[no-untyped-def]
    for i in range(parent.size):
        out[i] = find(parent, i) if core[i] else -1
