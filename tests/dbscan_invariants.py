"""What defines a DBSCAN clustering, checked row by row with scipy's k-d tree: for sizes where nothing else can.

After ArborX's ``ArborX_DBSCANVerification.hpp``: core rows are those with enough neighbours; core rows within eps share
a label, and a label is one connected component; a border row has the lowest label among its core neighbours; noise has
no core neighbour; labels are numbered by their smallest core row. The tree has its own arithmetic, so a pair whose
distance is within ``SLACK`` of eps may be neighbours or not: either is right.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

SLACK = 1e-12
P = {"euclidean": 2.0, "manhattan": 1.0, "chebyshev": np.inf}


def check_dbscan(
    X: np.ndarray,
    labels: np.ndarray,
    core: np.ndarray,
    *,
    eps: float,
    min_samples: int,
    metric: str = "euclidean",
    weights: np.ndarray | None = None,
    chunk_rows: int = 20_000,
) -> None:
    """Raise AssertionError, naming rows, unless ``labels`` (n,) and ``core`` (n,) bool are the DBSCAN of X (n, d).

    ``weights`` must be integers, so that their sums are exact.
    """
    n = len(X)
    assert labels.shape == core.shape == (n,)
    values = np.ones(n) if weights is None else weights
    surely, perhaps = np.zeros(n), np.zeros(n)  # the least and the greatest weight of a row's neighbours
    lowest_sure, lowest, agrees = np.full(n, n), np.full(n, n), labels < 0  # among the labels of core neighbours
    component = np.arange(n)
    for i, j, sure in _pairs(X, eps, P[metric], chunk_rows):
        np.add.at(surely, i, np.where(sure, values[j], np.minimum(values[j], 0)))
        np.add.at(perhaps, i, np.where(sure, values[j], np.maximum(values[j], 0)))
        near, by = i[core[j]], labels[j[core[j]]]
        np.minimum.at(lowest, near, by)
        np.minimum.at(lowest_sure, i[core[j] & sure], labels[j[core[j] & sure]])
        agrees[near[labels[near] == by]] = True
        both = core[i] & core[j]
        apart = both & sure & (labels[i] != labels[j])
        assert not apart.any(), f"core rows {i[apart][0]} and {j[apart][0]} are neighbours with different labels"
        component = _joined(component, i[both], j[both])

    _no_row(core & (perhaps < min_samples), "core, but has too few neighbours")
    _no_row(~core & (surely >= min_samples), "not core, but has enough neighbours")
    _no_row(core & (labels < 0), "core, but noise")
    _no_row((labels < 0) & (lowest_sure < n), "noise, but has a core neighbour")
    _no_row(~agrees, "in a cluster, but has no core neighbour of it")
    _no_row(~core & (labels >= 0) & (labels > lowest_sure), "in a cluster that is not the lowest of its neighbours")

    names, first = np.unique(labels[core], return_index=True)
    np.testing.assert_array_equal(names, np.arange(len(names)), "labels of core rows are not 0, 1, 2, ...")
    assert (np.diff(first) > 0).all(), "clusters are not numbered by their smallest core row"
    n_components = len(np.unique(component[core]))
    assert n_components == len(names), f"{len(names)} labels, but {n_components} components"


def _no_row(wrong: np.ndarray, what: str) -> None:
    assert not wrong.any(), f"row {np.argmax(wrong)} is {what} ({wrong.sum()} such rows)"


def _pairs(X: np.ndarray, eps: float, p: float, chunk_rows: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All pairs (i, j) that may be neighbours, both ways round, and whether they surely are; in chunks of rows i."""
    rows = X.astype(np.float64)
    tree = cKDTree(rows)
    for start in range(0, len(rows), chunk_rows):
        part = cKDTree(rows[start : start + chunk_rows])
        found = part.sparse_distance_matrix(tree, eps * (1 + SLACK), p=p, output_type="ndarray")
        yield found["i"] + start, found["j"], found["v"] <= eps * (1 - SLACK)


def _joined(component: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    n = len(component)
    graph = scipy.sparse.coo_array((np.ones(len(i), bool), (component[i], component[j])), shape=(n, n))
    return connected_components(graph, directed=False)[1][component]
