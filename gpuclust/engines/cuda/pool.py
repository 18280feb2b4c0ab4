"""Device memory: CuPy's pool, or torch's where torch computes on the same device.

Two pools on one device starve each other: what one keeps for reuse, the other cannot get. Where torch has a CUDA
context, CuPy's allocations are taken from torch's caching allocator. torch is looked at, never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

__all__ = ["reusable", "shared_with_torch"]


def _torch() -> Any | None:
    """torch, if it is loaded and has initialised CUDA."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


@contextmanager
def shared_with_torch(xp: Any, number: int) -> Iterator[None]:
    """Allocate from torch's pool inside the block where torch uses CUDA; otherwise from CuPy's."""
    torch = _torch()
    with nullcontext() if torch is None else xp.cuda.using_allocator(_torch_allocator(xp, torch).malloc):
        yield


@cache
def _torch_allocator(xp: Any, torch: Any) -> Any:
    def allocate(size: int, device: int) -> int:
        try:
            return torch.cuda.caching_allocator_alloc(size, device, xp.cuda.get_current_stream().ptr)
        except torch.cuda.OutOfMemoryError:
            raise xp.cuda.memory.OutOfMemoryError(size, 0) from None

    def free(pointer: int, device: int) -> None:
        torch.cuda.caching_allocator_delete(pointer)

    return xp.cuda.PythonFunctionAllocator(allocate, free)


def reusable(xp: Any) -> int:
    """Bytes of the current device that a pool keeps and would give out again."""
    torch = _torch()
    if torch is not None:
        return torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return xp.get_default_memory_pool().free_bytes()
