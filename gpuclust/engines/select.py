"""Which engine runs: "auto", "cpu", "cuda", "cuda:1" -> Engine."""

from __future__ import annotations

from functools import cache

from gpuclust.config import resolve_device
from gpuclust.engines.base import Engine
from gpuclust.errors import DeviceError

__all__ = ["get_engine"]


@cache
def _cpu() -> Engine:
    from gpuclust.engines.cpu import CpuEngine

    return CpuEngine()


def get_engine(device: str | None = None) -> Engine:
    """The engine of ``device``; None takes the configured one (:mod:`gpuclust.config`).

    Raises
    ------
    ParameterError
        The name is not a device.
    DeviceError
        A CUDA device was asked for: this version has no CUDA engine.
    """
    name = resolve_device(device)
    if name in ("auto", "cpu"):
        return _cpu()
    raise DeviceError(
        f"device={name!r}: this version of gpuclust computes on the CPU only; use device='cpu' or 'auto'."
    )
