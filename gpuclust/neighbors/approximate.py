"""Approximate neighbours: indexes of FAISS that look at a part of the rows, with the distances of what they find exact.

=========== ============================== ================================================= ===========================
name        index of FAISS                 parameters (``index_params``) and their defaults  memory beyond the rows
=========== ============================== ================================================= ===========================
"ivf_flat"  IVFFlat: rows in the cells of  ``nlist`` cells: 4 sqrt(n), at most n / 39;       4 d + 8 bytes a row
            centres                        ``nprobe`` cells looked at: nlist / 16, at least 8
"ivf_pq"    IVFPQ: the same, rows coded    ``nlist``, ``nprobe``; ``m`` codes a row: the     m nbits / 8 + 8 bytes a row
            in pieces                      largest divisor of d up to d / 4; ``nbits`` of
                                           each: 8, fewer for less than 256 rows;
                                           ``refine`` candidates a neighbour: 8
"hnsw"      HNSWFlat: a graph of rows      ``M`` links a row: 32; ``efConstruction``: 64;    4 d + 8 M bytes a row
                                           ``efSearch``: 64
=========== ============================== ================================================= ===========================

Cells are trained by gpuclust (:mod:`gpuclust.neighbors.training`), graphs are built by one thread: the same bits at
every run. Canonical distances order what an index finds; where it finds fewer rows than asked for, all are searched.

References: H. Jegou et al., Product quantization for nearest neighbor search, PAMI 2011. Y. Malkov, D. Yashunin,
Efficient and robust approximate nearest neighbor search using hierarchical navigable small world graphs, PAMI 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import Frame
from gpuclust.errors import DataError
from gpuclust.neighbors.distances import some_rows
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.library import searching
from gpuclust.neighbors.search import Neighbors, Progress, blocks, smallest
from gpuclust.neighbors.searchers import index_searcher
from gpuclust.neighbors.training import train_ivf
from gpuclust.protocol import InvalidParameter

__all__ = ["PARAMETERS", "ApproximateIndex", "checked_parameters"]

_MARGIN = 8
_SAMPLED = 256
# Cells only decide who is looked at: FAISS's own number of iterations, and of rows for each cell.
_TRAINING, _TRAINED = 10, 256

#: The parameters of each index, by name.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "ivf_flat": ("nlist", "nprobe"),
    "ivf_pq": ("nlist", "nprobe", "m", "nbits", "refine"),
    "hnsw": ("M", "efConstruction", "efSearch"),
}


def checked_parameters(kind: str, given: Mapping[str, Any] | None, n: int, d: int) -> dict[str, int]:
    """The parameters of an index over ``n`` rows of ``d`` features: those given, and defaults.

    Raises
    ------
    InvalidParameter
        One that the index does not have, or that breaks its rule.
    DataError
        There are too few rows to code.
    """
    given = dict(given or {})
    names = PARAMETERS.get(kind, ())
    if n < 2 and kind == "ivf_pq":
        raise DataError(f"n_samples={n}: index='ivf_pq' needs 2 rows to make codes from; use index='flat'.")
    for name, value in given.items():
        if name not in names:
            raise InvalidParameter(
                f"index_params has {name!r}, which index={kind!r} does not take: {', '.join(names) or 'it takes none'}."
            )
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InvalidParameter(f"index_params: {name}={value!r} should be an int >= 1.")
    nlist = int(given.get("nlist", max(1, min(4 * math.isqrt(n), n // 39))))
    defaults = {
        "nlist": nlist,
        "nprobe": min(nlist, max(8, nlist // 16)),
        "m": max(m for m in range(1, max(1, d // 4) + 1) if d % m == 0),
        "nbits": min(8, n.bit_length() - 1),
        "refine": 8,
        "M": 32,
        "efConstruction": 64,
        "efSearch": 64,
    }
    chosen = {name: int(given.get(name, defaults[name])) for name in names}
    rules = {
        "nlist": (n, f"n_samples={n}"),
        "nprobe": (nlist, f"nlist={nlist}"),
        "m": (d, f"n_features={d}"),
        "nbits": (min(8, n.bit_length() - 1), f"8, and 2**nbits at most n_samples={n}"),
    }
    for name, (most, what) in rules.items():
        if name in chosen and chosen[name] > most:
            raise InvalidParameter(f"index_params: {name}={chosen[name]} should be at most {what}.")
    if d % chosen.get("m", 1):
        raise InvalidParameter(f"index_params: m={chosen['m']} should divide n_features={d}.")
    return chosen


class ApproximateIndex:
    """All rows of a dataset in an index of FAISS.

    Parameters
    ----------
    data : Dataset
    kind : {"ivf_flat", "ivf_pq", "hnsw"}
    params : mapping
        From `checked_parameters`.
    exact : FlatIndex
        Of the same rows.
    """

    def __init__(self, data: Dataset, kind: str, params: Mapping[str, int], exact: FlatIndex) -> None:
        self.data, self._exact, self._refine = data, exact, params.get("refine", 1)
        engine, frame = data.engine, exact.frame
        parts = (engine.to_host(engine.conditioned(part.rows, frame).values) for part in data.parts())
        values = np.concatenate(list(parts))
        self._searcher = index_searcher(engine, _built(kind, values[:, : data.n_features], dict(params), engine.name))

    def nearest(
        self, queries: Dataset, k: int, own: np.ndarray | None = None, tell: Progress | None = None
    ) -> Neighbors:
        """Up to the index, the ``k`` nearest rows of each query. Parameters as `FlatIndex.nearest`."""
        m, engine, frame = queries.n_rows, queries.engine, self._exact.canonical(queries)
        found = Neighbors(np.empty((m, k)), np.empty((m, k), np.int64))
        wanted = min(self._refine * k + _MARGIN, self.data.n_rows, self._searcher.most)
        for part in queries.parts():
            for block in blocks(part, self._exact.memory // (96 * wanted + 16 * self.data.n_features)):
                conditioned = engine.conditioned(block.rows, self._exact.frame)
                _, placed = self._searcher.search(conditioned, wanted)
                indices = engine.to_host(placed).reshape(-1, wanted)
                distances = self._distances(block.rows, indices, frame)
                if own is not None:
                    distances[indices == own[block.rows_slice, None]] = np.inf
                best = smallest(distances, indices, k)
                found.distances[block.rows_slice], found.indices[block.rows_slice] = best
                if tell is not None:
                    tell("search", block.rows_slice.stop, m)
        few = np.flatnonzero(~np.isfinite(found.distances[:, -1]))
        if len(few):
            exact = self._exact.nearest(some_rows(queries, few), k, None if own is None else own[few])
            found.distances[few], found.indices[few] = exact
        return found

    def _distances(self, rows: Any, indices: np.ndarray, frame: Frame) -> np.ndarray:
        """Canonical distances of each row to those that it lists, (m, c)."""
        engine, m = self.data.engine, len(indices)
        if self.data.single is None:
            taken, listed = np.unique(indices, return_inverse=True)
            others = engine.place(self.data.take(np.maximum(taken, 0)))
            listed = np.where(indices >= 0, listed.reshape(indices.shape), -1)
        else:
            others, listed = self.data.single, indices
        which = engine.array(np.repeat(np.arange(m, dtype=np.int32), indices.shape[1]))
        distances = engine.distances_to(rows, others, which, engine.array(listed.ravel()), frame)
        return engine.to_host(distances).reshape(indices.shape)

    def recall(self, k: int) -> float:
        """Share of the ``k`` nearest other rows that are found, on at most 256 rows spread over the data."""
        n = self.data.n_rows
        rows = np.unique(np.linspace(0, n - 1, _SAMPLED).astype(np.int64))
        queries = some_rows(self.data, rows)
        found, exact = (index.nearest(queries, k, rows).distances for index in (self, self._exact))
        return float((found <= exact[:, -1:]).mean())


def _built(kind: str, values: np.ndarray, params: dict[str, int], device: str) -> Any:
    """An index of FAISS with all of the rows, (n, d) float32."""
    values = np.ascontiguousarray(values)
    d = values.shape[1]
    # A graph is built by one thread: its links depend on the order in which rows come.
    with searching(0 if kind == "hnsw" else values.size * params["nlist"]) as faiss:
        if kind == "hnsw":
            index = faiss.IndexHNSWFlat(d, params["M"])
            index.hnsw.efConstruction, index.hnsw.efSearch = params["efConstruction"], params["efSearch"]
        else:
            quantizer = faiss.IndexFlatL2(d)
            if kind == "ivf_flat":
                index = faiss.IndexIVFFlat(quantizer, d, params["nlist"])
            else:
                index = faiss.IndexIVFPQ(quantizer, d, params["nlist"], params["m"], params["nbits"])
                index.pq.cp.min_points_per_centroid = 1  # or FAISS writes warnings to stderr
            index.nprobe = params["nprobe"]
            train_ivf(index, values, niter=_TRAINING, max_points_per_centroid=_TRAINED, device=device)
        index.add(values)
    return index
