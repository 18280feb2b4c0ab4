"""Arrays of other libraries on the host: torch tensors (without importing torch) and everything with DLPack."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuclust.errors import DataTypeError, DeviceError
from gpuclust.sources.arrays import Rows

__all__ = ["check_dense", "dlpack_rows", "torch_rows"]

_HOST = {1: "CPU", 3: "CUDA host memory", 11: "ROCm host memory"}  # DLDeviceType of dlpack.h


class _BFloat16Rows:
    """A torch tensor of bfloat16, which NumPy does not know: blocks are widened to float32 by torch, exactly."""

    dtype = np.dtype(np.float32)

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        self.shape = tuple(tensor.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._tensor[key].float().numpy()

    def __repr__(self) -> str:
        return repr(self._tensor)


def torch_rows(tensor: Any, name: str = "X") -> Rows:
    """Return a CPU tensor's memory as a NumPy array, without a copy and apart from its autograd graph.

    Raises
    ------
    DeviceError
        The tensor lies on another device.
    DataTypeError
        A sparse or quantised tensor.
    """
    check_dense(tensor, name)
    if tensor.device.type != "cpu":
        raise _elsewhere(tensor, name, str(tensor.device))
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":
        return _BFloat16Rows(tensor)
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise DataTypeError(f"{name}, a torch.Tensor of {tensor.dtype}, has no NumPy counterpart: {error}.") from error


def check_dense(tensor: Any, name: str = "X") -> None:
    """Raise DataTypeError for a torch tensor of another layout than rows of numbers; other arrays have none."""
    layout = getattr(tensor, "layout", "torch.strided")
    if str(layout) != "torch.strided":
        raise DataTypeError(
            f"Sparse data was passed for {name} (torch.Tensor with layout {layout}), but dense data is required. Use "
            "'.to_dense()' to convert it."
        )


def dlpack_rows(array: Any, name: str = "X") -> np.ndarray:
    """Return the memory of an object with ``__dlpack__`` as a NumPy array, without a copy.

    Raises
    ------
    DeviceError
        The array lies on another device.
    DataTypeError
        NumPy has no counterpart of its dtype.
    """
    device_type, device_id = array.__dlpack_device__()
    if int(device_type) not in _HOST:
        raise _elsewhere(array, name, str(getattr(array, "device", f"DLPack {(int(device_type), device_id)}")))
    try:
        return np.from_dlpack(array)
    except (BufferError, TypeError, RuntimeError, ValueError) as error:
        if hasattr(array, "__array__"):  # e.g. bfloat16 of JAX, which DLPack has and NumPy's import refuses
            return np.asarray(array)
        kind = type(array).__name__
        raise DataTypeError(f"{name}, a {kind}, cannot be read through DLPack: {error}.") from error


def _elsewhere(array: Any, name: str, device: str) -> DeviceError:
    kind = f"{type(array).__module__}.{type(array).__name__}"
    return DeviceError(
        f"{name} is a {kind} on device {device}; only data in host memory or on a CUDA device is read. "
        "Bring it to the host first, e.g. X.cpu() for torch."
    )
