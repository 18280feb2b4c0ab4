"""The canonical distance."""

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
    masked_load,
    splat,
)

__all__ = ["squared_distance"]


@intrinsic
def squared_distance(typingctx, data, row, centers, center, scale):  # type: ignore[no-untyped-def]
    """Canonical distance of ``data[row]`` to ``centers[center]``, in units of 1 / ``scale``."""
    signature = types.float64(data, types.int64, centers, types.int64, types.float64)

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
            return builder.fadd(total, builder.fmul(difference, difference))

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
        total = builder.fadd(builder.fadd(sums[0], sums[2]), builder.fadd(sums[1], sums[3]))
        for step in (4, 2, 1):
            order = [(lane + step) % lanes for lane in range(lanes)]
            moved = builder.shuffle_vector(
                total, ir.Constant(wide, ir.Undefined), ir.Constant(ir.VectorType(I32, lanes), order)
            )
            total = builder.fadd(total, moved)
        return builder.extract_element(total, ir.Constant(I32, 0))

    return signature, codegen
