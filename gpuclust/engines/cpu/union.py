"""Lock-free union-find and the atomics it is made of, for kernels that several threads run at once.

``parent`` (n,) int32 starts as ``arange(n)``. The smaller root wins, so a component's root is its smallest member,
whatever the order of unions (S. Jayanti, R. Tarjan, "A randomized concurrent algorithm for disjoint set union", PODC
2016, with the order of numbers in place of a random one: what is deterministic here must be the root).
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.engines.cpu.compile import part

__all__ = ["add_at", "find", "minimum_at", "union"]


def _pointer(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array = context.make_array(sig.args[0])(context, builder, args[0])
    return cgutils.get_item_pointer(context, builder, sig.args[0], array, [args[1]])


@intrinsic
def _swap_at(typingctx, array, index, expected, value):  # type: ignore[no-untyped-def]
    """``array[index] = value`` if that is ``expected``; return what was there."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, sig, args)
        return builder.extract_value(builder.cmpxchg(pointer, args[2], args[3], "acq_rel", "monotonic"), 0)

    return array.dtype(array, types.intp, array.dtype, array.dtype), codegen


@intrinsic
def add_at(typingctx, array, index, value):  # type: ignore[no-untyped-def]
    """Add ``value``, of the array's integer type, to ``array[index]``; return what was there."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.atomic_rmw("add", _pointer(context, builder, sig, args), args[2], "monotonic")

    return array.dtype(array, types.intp, array.dtype), codegen


@intrinsic
def minimum_at(typingctx, array, index, value):  # type: ignore[no-untyped-def]
    """Lower ``array[index]`` to ``value``, of the array's integer type, by its unsigned order: -1 is the largest."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.atomic_rmw("umin", _pointer(context, builder, sig, args), args[2], "monotonic")

    return array.dtype(array, types.intp, array.dtype), codegen


@part
def find(parent, x):  # type: ignore[no-untyped-def]
    """The root of ``x``; paths are halved on the way, which is harmless when several threads do it."""
    while True:
        above = parent[x]
        if above == x:
            return x
        top = parent[above]
        if top != above:
            parent[x] = top
        x = top


@part
def union(parent, a, b):  # type: ignore[no-untyped-def]
    """Join the components of ``a`` and ``b``."""
    while True:
        a = find(parent, a)
        b = find(parent, b)
        if a == b:
            return
        if a < b:
            a, b = b, a
        if _swap_at(parent, a, parent.dtype.type(a), parent.dtype.type(b)) == a:
            return
