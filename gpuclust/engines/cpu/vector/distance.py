"""The canonical distances."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuclust.engines.cpu.vector.ir import (
    F32,
    F64,
    I32,
    I64,
    counted_loop,
    data_pointer,
    float_ir,
    load_vector,
    magnitude,
    masked_load,
    maximum,
    splat,
)

__all__ = ["largest_difference", "squared_distance", "summed_difference"]


def _canonical(term: Any, join: Any) -> Any:
    """The code of a distance: a ``term`` for each difference, added, or otherwise joined, in the canonical order."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = 8
        wide = ir.VectorType(F64, lanes)
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        operands = (
            (builder.gep(matrix.data, [builder.mul(args[1], width)]), float_ir(sig.args[0].dtype)),
            (
                data_pointer(context, builder, sig.args[2], args[2], builder.mul(args[3], width)),
                float_ir(sig.args[2].dtype),
            ),
        )
        factor = splat(builder, args[4], lanes)

        def accumulate(total: Any, at: Any, load: Any) -> Any:
            values = []
            for pointer, element in operands:
                value = load(builder.gep(pointer, [at]), ir.VectorType(element, lanes), 4 if element == F32 else 8)
                values.append(builder.fpext(value, wide) if element == F32 else value)
            difference = builder.fmul(builder.fsub(*values), factor)
            return join(builder, total, term(builder, difference))

        def body(j: Any, sums: list[Any]) -> list[Any]:
            return [
                accumulate(
                    total,
                    builder.add(j, ir.Constant(I64, v * lanes)),
                    lambda p, t, a: load_vector(builder, p, t, a),
                )
                for v, total in enumerate(sums)
            ]

        zero = ir.Constant(wide, [0.0] * lanes)
        whole = builder.and_(width, ir.Constant(I64, -32))
        sums = counted_loop(builder, whole, 32, [zero] * 4, body)
        for v in range(4):
            at = builder.add(whole, ir.Constant(I64, v * lanes))
            left = builder.sub(width, at)
            before, then = builder.block, builder.append_basic_block("rest")
            after = builder.append_basic_block("rest.end")
            builder.cbranch(builder.icmp_signed(">", left, ir.Constant(I64, 0)), then, after)
            builder.position_at_end(then)
            added = accumulate(sums[v], at, lambda p, t, a, left=left: masked_load(builder, p, t, left, a))
            builder.branch(after)
            builder.position_at_end(after)
            phi = builder.phi(wide)
            phi.add_incoming(sums[v], before)
            phi.add_incoming(added, then)
            sums[v] = phi
        total = join(builder, join(builder, sums[0], sums[2]), join(builder, sums[1], sums[3]))
        for step in (4, 2, 1):
            order = [(lane + step) % lanes for lane in range(lanes)]
            moved = builder.shuffle_vector(
                total, ir.Constant(wide, ir.Undefined), ir.Constant(ir.VectorType(I32, lanes), order)
            )
            total = join(builder, total, moved)
        return builder.extract_element(total, ir.Constant(I32, 0))

    return codegen


def _signature(data: Any, other: Any) -> Any:
    return types.float64(data, types.int64, other, types.int64, types.float64)


def _square(builder: Any, value: Any) -> Any:
    return builder.fmul(value, value)


def _add(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b)


@intrinsic
def squared_distance(typingctx, data, row, other, other_row, scale):  # type: ignore[no-untyped-def]
    """Canonical distance of ``data[row]`` to ``other[other_row]``, in units of 1 / ``scale``."""
    return _signature(data, other), _canonical(_square, _add)


@intrinsic
def summed_difference(typingctx, data, row, other, other_row, scale):  # type: ignore[no-untyped-def]
    """The same in the manhattan metric: the sum of absolute differences."""
    return _signature(data, other), _canonical(magnitude, _add)


@intrinsic
def largest_difference(typingctx, data, row, other, other_row, scale):  # type: ignore[no-untyped-def]
    """The same in the chebyshev metric: the largest absolute difference."""
    return _signature(data, other), _canonical(magnitude, maximum)
