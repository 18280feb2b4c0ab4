"""The CPU engine: numba kernels with explicit vector code, one file per operation family."""

from gpuclust.engines.cpu.engine import CpuEngine

__all__ = ["CpuEngine"]
