"""Who searches: FAISS on the host for any engine, or FAISS on the GPU for rows that lie there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Protocol

import numpy as np

from gpuclust._cancel import checkpoint
from gpuclust.engines.base import Conditioned, Engine
from gpuclust.errors import DeviceError
from gpuclust.neighbors.bounds import LARGEST_COORDINATE
from gpuclust.neighbors.library import faiss_library, has_gpu, searching, warn_once

__all__ = ["HostSearcher", "Searcher", "index_searcher", "make_searcher"]


class Searcher(Protocol):
    """Finds conditioned rows near queries; both lie where the engine computes.

    Attributes
    ----------
    most : int
        Most rows that it can return for a query.
    """

    most: int

    def search(self, queries: Conditioned, k: int) -> tuple[np.ndarray, Any]:
        """The ``k`` rows of the lowest scores: scores (m, k) float32 rising, and indices (m k,) int64, engine array."""


class HostSearcher:
    """An index of FAISS in host memory.

    Parameters
    ----------
    engine : Engine
        Where queries lie and indices are wanted.
    index : faiss.Index
    """

    most = 1 << 30

    def __init__(self, engine: Engine, index: Any) -> None:
        self._engine, self.index = engine, index

    @classmethod
    def flat(cls, engine: Engine, rows: Conditioned) -> HostSearcher:
        """Over all of the rows, exact but for rounding."""
        with searching(0) as faiss:
            index = faiss.IndexFlatL2(int(rows.values.shape[1]))
            index.add(engine.to_host(rows.values))
        return cls(engine, index)

    def search(self, queries: Conditioned, k: int) -> tuple[np.ndarray, Any]:
        """See `Searcher`."""
        values = self._values(queries)
        with searching(values.size * self.index.ntotal):
            scores, indices = self.index.search(values, k)
        return scores, self._engine.array(indices.ravel())

    def within(self, queries: Conditioned, wanted: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a score of at most ``limit`` for the ``wanted`` (m,) bool queries.

        How many for each, int64, and their indices, int64, those of all queries in one.
        """
        # Twice: FAISS wants scores below, and the limit itself is rounded.
        above = np.nextafter(np.nextafter(np.float32(limit), np.float32(np.inf)), np.float32(np.inf))
        values = self._values(queries)[wanted]
        with searching(values.size * self.index.ntotal):
            ends, _, indices = self.index.range_search(values, float(above))
        return np.diff(ends.astype(np.int64)), indices

    def _values(self, queries: Conditioned) -> np.ndarray:
        """The queries on the host, such that FAISS survives them. `Bound` excludes those that this changes."""
        values = np.ascontiguousarray(self._engine.to_host(queries.values)[:, : self.index.d])
        if not (self._engine.to_host(queries.squares) <= LARGEST_COORDINATE**2).all():
            values = np.nan_to_num(values.clip(-LARGEST_COORDINATE, LARGEST_COORDINATE))
        return values


class DeviceSearcher:
    """FAISS over rows in the memory of a GPU, by pointers: only the results pass through the host.

    Pointers, and the stream that the engine works on, are those of ``__cuda_array_interface__``, version 3.
    """

    most = 2048  # getMaxKSelection of faiss/gpu/utils/DeviceDefs.cuh

    def __init__(self, engine: Engine, rows: Conditioned, faiss: Any) -> None:
        self._engine, self._rows, self._faiss = engine, rows, faiss
        self._device = int(rows.values.device.id)

    def search(self, queries: Conditioned, k: int) -> tuple[np.ndarray, Any]:
        """See `Searcher`."""
        faiss, engine, m = self._faiss, self._engine, len(queries.values)
        scores, indices = engine.full(m * k, np.inf, np.float32), engine.full(m * k, -1, np.int64)
        order = faiss.GpuDistanceParams()
        order.metric, order.k, order.dims, order.device = faiss.METRIC_L2, k, queries.values.shape[1], self._device
        order.vectorType = order.queryType = faiss.DistanceDataType_F32
        order.vectorsRowMajor = order.queriesRowMajor = True
        order.use_cuvs = False  # its brute force takes other k, and promises no float32
        order.vectors, order.numVectors = faiss.cast_integer_to_float_ptr(_address(self._rows.values)), len(self)
        order.queries, order.numQueries = faiss.cast_integer_to_float_ptr(_address(queries.values)), m
        order.outDistances = faiss.cast_integer_to_float_ptr(_address(scores))
        order.outIndices, order.outIndicesType = (
            faiss.cast_integer_to_idx_t_ptr(_address(indices)),
            faiss.IndicesDataType_I64,
        )
        stream = queries.values.__cuda_array_interface__.get("stream") or 1  # 1: the default stream
        checkpoint()
        with _lock:  # the resources' memory and stream are those of one search at a time
            resources = _resources(faiss, self._device)
            resources.setDefaultStream(self._device, faiss.cast_integer_to_cudastream_t(stream))
            try:
                faiss.bfKnn(resources, order)
            except RuntimeError as error:
                raise DeviceError(f"FAISS failed on cuda:{self._device}: {error}.") from error
        return engine.to_host(scores).reshape(m, k), indices

    def __len__(self) -> int:
        return len(self._rows.values)


_lock = Lock()


@cache
def _resources(faiss: Any, device: int) -> Any:
    """Scratch memory and streams of FAISS on a device."""
    return faiss.StandardGpuResources()


def _address(array: Any) -> int:
    return int(array.__cuda_array_interface__["data"][0])


def _on_device(engine: Engine, rows: Conditioned) -> Searcher:
    faiss = faiss_library()
    if has_gpu(faiss):
        return DeviceSearcher(engine, rows, faiss)
    warn_once(faiss)
    return HostSearcher.flat(engine, rows)


def _ivf_on_device(engine: Engine, index: Any) -> HostSearcher:
    """A copy of an IVF index in the device's memory; graphs stay on the host."""
    faiss = faiss_library()
    if not has_gpu(faiss):
        warn_once(faiss)
    elif isinstance(index, faiss.IndexIVF):
        number = int(engine.full(1, 0, np.int32).device.id)
        searcher = HostSearcher(engine, faiss.index_cpu_to_gpu(_resources(faiss, number), number, index))
        searcher.most = DeviceSearcher.most
        return searcher
    return HostSearcher(engine, index)


# By the name of the engine.
_FLAT: dict[str, Callable[[Engine, Conditioned], Searcher]] = {"cpu": HostSearcher.flat, "cuda": _on_device}

_INDEXED: dict[str, Callable[[Engine, Any], HostSearcher]] = {"cpu": HostSearcher, "cuda": _ivf_on_device}


def make_searcher(engine: Engine, rows: Conditioned) -> Searcher:
    """A searcher of all of the rows, exact but for rounding."""
    return _FLAT[engine.name](engine, rows)


def index_searcher(engine: Engine, index: Any) -> HostSearcher:
    """A searcher that asks an index of FAISS that holds all of the rows."""
    return _INDEXED[engine.name](engine, index)
