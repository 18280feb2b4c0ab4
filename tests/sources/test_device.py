"""Arrays in the memory of a GPU: they stay there, are widened there exactly, and refused with the usual words.

No GPU is needed: the arrays imitate torch's CUDA tensors (around a CPU tensor) and CuPy's arrays (around NumPy's), down
to their refusal to become NumPy arrays by themselves.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpuclust.errors import DataError, DataTypeError, DeviceError, DeviceMemoryError
from gpuclust.sources import Source, as_source
from gpuclust.sources.device import DeviceArraySource
from gpuclust.validation import check_sample_weight, cuda_device, to_host
from tests.sources.helpers import assert_same_bits

FOUR = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


class CupyDevice:
    """``cupy.cuda.Device(1)``: current inside of ``with``."""

    id = 1
    current = False

    def __enter__(self) -> None:
        CupyDevice.current = True

    def __exit__(self, *_: object) -> None:
        CupyDevice.current = False


class CupyArray:
    """What gpuclust may use of a ``cupy.ndarray`` on GPU 1; CuPy computes with it while that is the current device."""

    __module__ = "cupy"
    device = CupyDevice()

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype, self.flags = values.shape, values.dtype, values.flags

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> CupyArray:
        assert CupyDevice.current or isinstance(key, slice)
        return CupyArray(self._values[key])

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 1)

    def astype(self, dtype: Any) -> CupyArray:
        assert CupyDevice.current
        return CupyArray(self._values.astype(dtype))

    def copy(self, order: str = "C") -> CupyArray:
        assert CupyDevice.current
        return CupyArray(self._values.copy(order))

    def min(self) -> Any:
        assert CupyDevice.current
        return self._values.min()

    def max(self) -> Any:
        return self._values.max()

    def get(self) -> np.ndarray:
        return self._values


class CudaTensor:
    """What gpuclust may use of a ``torch.Tensor`` on GPU 0, around one on the CPU."""

    __module__ = "torch"

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        self.shape, self.dtype, self.layout = tensor.shape, tensor.dtype, tensor.layout
        self.device = SimpleNamespace(type="cuda", index=0)

    def __len__(self) -> int:
        return len(self._tensor)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def __getitem__(self, key: Any) -> CudaTensor:
        return CudaTensor(self._tensor[key])

    def __dlpack_device__(self) -> tuple[int, int]:
        raise AssertionError("torch is asked for its device directly")

    def __getattr__(self, name: str) -> Any:
        if name in ("detach", "float", "double", "contiguous"):
            return lambda: CudaTensor(getattr(self._tensor, name)())
        if name in ("min", "max"):
            return getattr(self._tensor, name)
        if name == "cpu":
            return lambda: self._tensor
        raise AttributeError(name)


def cupy_array(values: np.ndarray) -> CupyArray:
    return CupyArray(values)


def cuda_tensor(values: np.ndarray) -> CudaTensor:
    return CudaTensor(pytest.importorskip("torch").from_numpy(values))


KINDS = pytest.mark.parametrize("make", [cupy_array, cuda_tensor])


def on_host(source: Source) -> np.ndarray:
    """The rows of all chunks, which must be arrays of one library on one device, C-contiguous."""
    parts = []
    for chunk in source.chunks():
        assert cuda_device(chunk.rows) == source.device
        part = np.asarray(to_host(chunk.rows))
        assert part.flags.c_contiguous
        assert chunk.start == sum(map(len, parts))
        parts.append(part)
    return np.concatenate(parts)


@KINDS
def test_four_rows_by_hand(make: Any) -> None:
    X = make(FOUR)
    source = as_source(X)
    device = cuda_device(X)
    assert isinstance(source, DeviceArraySource)
    assert (source.n_rows, source.n_features, source.dtype, source.device) == (4, 2, np.float64, device)
    assert source.resident
    assert source.feature_names is None
    (chunk,) = source.chunks()
    assert chunk.start == 0
    assert np.shares_memory(to_host(chunk.rows), FOUR), "the array itself, without a copy"
    assert source.take(np.array([1, 3])).tolist() == [[3.0, 4.0], [7.0, 8.0]]
    assert source.take(np.empty(0, np.int64)).shape == (0, 2)


def test_device_and_description() -> None:
    assert as_source(cupy_array(FOUR)).device == "cuda:1"
    assert as_source(cupy_array(FOUR)).description == "cupy CupyArray (4, 2) float64 on cuda:1"
    assert as_source(cuda_tensor(FOUR)).device == "cuda:0"
    assert as_source(cuda_tensor(FOUR)).description == "torch CudaTensor (4, 2) float64 on cuda:0"
    assert as_source(FOUR).device is None


WIDENED = {
    **dict.fromkeys(["float16", "int8", "uint8", "bool", "float32"], np.float32),
    **dict.fromkeys(["int16", "uint16", "int32", "uint32", "int64", "float64"], np.float64),
}


@pytest.mark.parametrize("chunk_rows", [None, 1, 3, 100])
@pytest.mark.parametrize("dtype", WIDENED)
@KINDS
def test_narrow_dtypes_are_widened_exactly(make: Any, dtype: str, chunk_rows: int | None) -> None:
    rows = (np.arange(35).reshape(7, 5) % (2 if dtype == "bool" else 100)).astype(dtype)
    source = as_source(make(rows), chunk_rows=chunk_rows)
    expected = rows.astype(WIDENED[dtype])
    assert_same_bits(on_host(source), expected)
    assert_same_bits(source.take(np.array([0, 2, 6])), expected[[0, 2, 6]])
    assert source.resident == (chunk_rows is None)
    assert [chunk.start for chunk in source.chunks(2, 7)] == list(range(2, 7, chunk_rows or 7))


def test_bfloat16_and_gradients_of_torch() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1.5, -2.0], [3e38, 1e-38]], dtype=torch.bfloat16)
    source = as_source(CudaTensor(tensor))
    assert source.description == "torch CudaTensor (2, 2) bfloat16 on cuda:0"
    assert_same_bits(on_host(source), tensor.float().numpy())
    source = as_source(CudaTensor(torch.tensor(FOUR).requires_grad_()))
    assert not to_host(next(source.chunks()).rows).requires_grad
    assert_same_bits(on_host(source), FOUR)


@KINDS
def test_other_layouts_are_copied_on_their_device(make: Any) -> None:
    for rows in (np.asfortranarray(FOUR), np.repeat(FOUR, 2, axis=0)[::2], FOUR.astype(np.float32).T):
        assert_same_bits(on_host(as_source(make(rows))), np.ascontiguousarray(rows))


@KINDS
def test_a_source_is_chunked_again(make: Any) -> None:
    source = as_source(make(FOUR.astype(np.float16)))
    for chunk_rows in (1, 3, 4, 9):
        again = as_source(as_source(source, chunk_rows=2), chunk_rows=chunk_rows)
        assert [chunk.start for chunk in again.chunks()] == list(range(0, 4, chunk_rows))
        assert_same_bits(on_host(again), FOUR.astype(np.float32))
        assert (again.resident, again.device) == (False, source.device)


@KINDS
def test_refused_as_on_the_host(make: Any) -> None:
    for rows, error, message in (
        (np.zeros(3), DataError, "Expected 2D array, got 1D array"),
        (np.zeros((2, 2, 2)), DataError, "Found array with dim 3"),
        (np.zeros((0, 3)), DataError, r"0 sample\(s\)"),
        (np.zeros((3, 0)), DataError, r"0 feature\(s\)"),
        (np.zeros((2, 2), complex), DataTypeError, "Complex data not supported"),
        (np.array([[2**53 + 1]]), DataError, "contains 9007199254740993; integers beyond"),
        (np.array([[1, -(2**60)]]), DataError, "contains -1152921504606846976"),
    ):
        with pytest.raises(error, match=message):
            as_source(make(rows))
    assert_same_bits(on_host(as_source(make(np.array([[2**53, 1]])))), np.array([[2.0**53, 1.0]]))
    chunks = as_source(make(np.array([[1], [2**53 + 1]])), chunk_rows=1).chunks()
    assert len(next(chunks).rows) == 1
    with pytest.raises(DataError, match="9007199254740993"):
        next(chunks)


def test_refused_of_torch() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(DataTypeError, match=r"torch.sparse_coo.*to_dense"):
        as_source(CudaTensor(torch.tensor(FOUR).to_sparse()))
    with pytest.raises(DataTypeError, match=r"has dtype torch.float8_e4m3fn, which"):
        as_source(CudaTensor(torch.tensor(FOUR).to(torch.float8_e4m3fn)))
    with pytest.raises(DataTypeError, match=r"uint64 on cuda:0 cannot be converted.*not implemented"):
        as_source(CudaTensor(torch.tensor([[1]], dtype=torch.uint64)))


def test_a_library_that_rounds_is_refused() -> None:
    class Jax(CupyArray):
        def astype(self, dtype: Any) -> CupyArray:
            return super().astype(np.float32)  # as JAX does without 64-bit types

    with pytest.raises(DataTypeError, match="cannot be converted to float64 exactly"):
        as_source(Jax(np.array([[16777217]], np.int32)))


@pytest.mark.parametrize("error", [MemoryError("Out of memory allocating"), RuntimeError("CUDA out of memory. Tried")])
def test_no_room_for_the_widened_copy(error: Exception) -> None:
    class Full(CupyArray):
        def astype(self, dtype: Any) -> CupyArray:
            raise error

    with pytest.raises(DeviceMemoryError, match=r"no memory on cuda:1 for a copy of \w+ Full \(4, 2\) float16 .*Pass"):
        as_source(Full(FOUR.astype(np.float16)))


def test_other_errors_of_a_library_are_not_memory() -> None:
    class Broken(CupyArray):
        def astype(self, dtype: Any) -> CupyArray:
            raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        as_source(Broken(FOUR.astype(np.float16)))


def test_arrays_without_methods_are_told_to_go_through_cupy() -> None:
    class Numba:
        __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012
        shape, dtype = (4, 2), np.dtype(np.float64)

    class Bare:
        shape, dtype = (4, 2), np.dtype(np.float64)

        def __dlpack_device__(self) -> tuple[int, int]:
            return (13, 2)  # managed memory

    with pytest.raises(DeviceError, match=r"Numba in the memory of a GPU; pass cupy\.asarray\(X\)"):
        as_source(Numba())
    with pytest.raises(DeviceError, match=r"Bare on cuda:2; pass cupy\.from_dlpack\(X\)"):
        as_source(Bare())


@KINDS
def test_weights_come_to_the_host(make: Any) -> None:
    weights = check_sample_weight(make(np.array([1.0, 0.0, 2.0])), 3)
    assert weights is not None
    assert weights.tolist() == [1.0, 0.0, 2.0]
