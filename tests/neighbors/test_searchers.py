"""Who searches for which engine: FAISS's GPU calls, seen through a module that stands in for faiss-gpu."""

from __future__ import annotations

import ctypes
import warnings
from threading import Lock
from types import SimpleNamespace

import numpy as np
import pytest

from gpuclust.engines import get_engine
from gpuclust.engines.base import Conditioned
from gpuclust.engines.cuda.engine import CudaEngine
from gpuclust.errors import DeviceError, FallbackWarning
from gpuclust.neighbors import library, searchers
from gpuclust.neighbors.flat import FlatIndex
from gpuclust.neighbors.library import faiss_library
from gpuclust.neighbors.searchers import DeviceSearcher, HostSearcher, make_searcher
from tests.datasets import hard
from tests.emulation import EmulatedCuPy
from tests.neighbors.reference import brute_force, opened, own


class FaissGpu:
    """What gpuclust uses of a GPU build of FAISS 1.11; the search itself is done by the real one, on the host."""

    __version__ = "1.11.0"
    METRIC_L2, DistanceDataType_F32, IndicesDataType_I64 = 1, 1, 7
    GpuDistanceParams = SimpleNamespace

    def __init__(self, xp):
        self.xp, self.streams, self.orders, self.failure = xp, [], [], None

    def get_num_gpus(self):
        return 1

    def StandardGpuResources(self):
        return SimpleNamespace(setDefaultStream=lambda device, stream: self.streams.append((device, stream)))

    cast_integer_to_float_ptr = cast_integer_to_idx_t_ptr = cast_integer_to_cudastream_t = staticmethod(int)

    def bfKnn(self, resources, order):
        if self.failure:
            raise RuntimeError(self.failure)
        self.xp.cuda.get_current_stream().synchronize()  # in the order of the stream that was set
        self.orders.append(order)
        rows = _array(order.vectors, (order.numVectors, order.dims), np.float32)
        queries = _array(order.queries, (order.numQueries, order.dims), np.float32)
        scores, indices = faiss_library().knn(queries, rows, order.k)
        _array(order.outDistances, scores.shape, np.float32)[:] = scores
        _array(order.outIndices, indices.shape, np.int64)[:] = indices


def _array(address, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


@pytest.fixture
def gpu(monkeypatch):
    """Return an engine on an emulated device, and the FAISS that it finds."""
    xp = EmulatedCuPy(asynchronous=True, memory=1 << 30)
    array = type(xp.empty(1, np.float32))
    interface = property(lambda self: {"data": (self.data.ptr, False), "stream": 77, "version": 3})
    monkeypatch.setattr(array, "__cuda_array_interface__", interface, raising=False)
    faiss = FaissGpu(xp)
    monkeypatch.setattr(searchers, "faiss_library", lambda: faiss)
    return CudaEngine(0, xp), faiss


def test_the_cpu_is_searched_by_the_host():
    engine = get_engine("cpu")
    data = opened(np.eye(3))
    rows = engine.conditioned(data.single, data.frame(data.sample.astype(np.float64)))
    assert isinstance(make_searcher(engine, rows), HostSearcher)


def test_faiss_sees_no_value_that_ends_the_process():
    engine = get_engine("cpu")
    rows = engine.conditioned(np.eye(2), opened(np.eye(2)).frame(np.ones((1, 2))))
    far = Conditioned(
        np.array([[1e30, np.inf], [-np.inf, np.nan], [1.0, -2.0]], np.float32), np.array([np.inf, np.nan, 5.0])
    )
    seen = HostSearcher.flat(engine, rows)._values(far)
    assert np.abs(seen).max() <= 2.0**52
    assert seen[2].tolist() == [1.0, -2.0]


@pytest.mark.emulated
def test_rows_on_a_gpu_are_searched_there(gpu):
    """By pointers, on the engine's stream, and certified."""
    engine, faiss = gpu
    X = hard("ties", np.float32).X[:90]
    data = opened(X, engine)
    index = FlatIndex(data)
    _, searcher = index._kept[0]
    assert isinstance(searcher, DeviceSearcher)
    found = index.nearest(data, 5, own(X))
    distances, indices = brute_force(X, 5)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(np.sqrt(found.distances) / index.frame.scale, distances)
    order = faiss.orders[0]
    assert set(faiss.streams) == {(0, 77)}
    assert (order.dims, order.k, order.numVectors, order.numQueries, order.device) == (16, 13, 90, 90, 0)
    assert order.metric == faiss.METRIC_L2
    assert order.vectorsRowMajor
    assert order.queriesRowMajor
    assert order.vectorType == order.queryType == faiss.DistanceDataType_F32
    assert order.outIndicesType == faiss.IndicesDataType_I64


@pytest.mark.emulated
def test_what_fails_on_the_gpu_is_a_device_error(gpu):
    engine, faiss = gpu
    data = opened(hard("ties", np.float32).X[:9], engine)
    index = FlatIndex(data)
    faiss.failure = "out of memory"
    with pytest.raises(DeviceError, match="FAISS failed on cuda:0: out of memory"):
        index.nearest(data, 1)


@pytest.mark.emulated
@pytest.mark.parametrize("build", ["for the CPU alone", "finds no GPU"])
def test_without_a_gpu_build_the_host_searches_and_one_warning_says_so(gpu, monkeypatch, build):
    engine, faiss = gpu
    real = faiss_library()
    if build == "finds no GPU":
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    else:
        monkeypatch.setattr(searchers, "faiss_library", lambda: real)
    monkeypatch.setattr(library, "_unsaid", Lock())
    data = opened(hard("ties", np.float32).X[:20], engine)
    with pytest.warns(FallbackWarning, match=f"searches neighbours on the CPU.*{build}"):
        index = FlatIndex(data)
    assert isinstance(index._kept[0][1], HostSearcher)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FlatIndex(data)


@pytest.mark.emulated
def test_cells_are_searched_on_the_gpu_and_graphs_on_the_host(gpu, monkeypatch):
    engine, faiss = gpu
    real, moved = faiss_library(), []
    faiss.IndexIVF = real.IndexIVF
    faiss.index_cpu_to_gpu = lambda resources, number, index: moved.append((number, index)) or "on the GPU"
    cells = real.IndexIVFFlat(real.IndexFlatL2(3), 3, 2)
    searcher = searchers.index_searcher(engine, cells)
    assert (searcher.index, searcher.most) == ("on the GPU", 2048)
    assert moved == [(0, cells)]
    graph = real.IndexHNSWFlat(3, 8)
    assert searchers.index_searcher(engine, graph).index is graph


def test_threads_are_those_of_the_cpu_engine_or_fewer(monkeypatch):
    faiss = faiss_library()
    before = faiss.omp_get_max_threads()
    monkeypatch.setattr(library, "n_threads", lambda: before + 3)
    for work, threads in ((10**15, before + 3), (2**27, 2), (10, 1)):
        with library.searching(work) as inside:
            assert inside.omp_get_max_threads() == threads
        assert faiss.omp_get_max_threads() == before


@pytest.mark.gpu
def test_faiss_on_a_gpu():
    """The real thing: certified neighbours of rows on the device, and none of them through the host."""
    cupy = pytest.importorskip("cupy")
    faiss = faiss_library()
    if not library.has_gpu(faiss):
        pytest.skip("this build of FAISS cannot use a GPU")
    from gpuclust import NearestNeighbors

    for name in ("shift_1e6", "two_blocks_1e4", "almost_ties"):
        X = hard(name, np.float32).X
        expected = NearestNeighbors(7, device="cpu").fit(X).kneighbors()
        fitted = NearestNeighbors(7, device="cuda").fit(cupy.asarray(X))
        assert isinstance(fitted._opened.exact._kept[0][1], DeviceSearcher)
        for found, wanted in zip(fitted.kneighbors(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
