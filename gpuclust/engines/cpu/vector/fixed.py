"""Rows into fixed-point sums."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.engines.cpu.vector.ir import (
    F32,
    F64,
    I64,
    counted_loop,
    data_pointer,
    float_ir,
    masked_load,
    masked_store,
    splat,
    suffix,
)

__all__ = ["add_row"]


@intrinsic
def add_row(typingctx, data, row, weight, high_scale, low_scale, high, low, target, source):  # type: ignore[no-untyped-def]
    """Add ``weight * data[row]`` in fixed point to the sums of cluster ``target`` and take it from those of ``source``.

    ``high``, ``low`` (k, d) int64; a cluster of -1 is none. ``high_scale`` (d,) and ``low_scale`` as in
    :mod:`gpuclust.engines.canonical`.
    """
    element = float_ir(data.dtype)
    signature = types.void(
        data, types.int64, types.float64, high_scale, types.float64, high, low, types.int64, types.int64
    )

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = 8
        wide, given, integers = (ir.VectorType(kind, lanes) for kind in (F64, element, I64))
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        x = builder.gep(matrix.data, [builder.mul(args[1], width)])
        scales = data_pointer(context, builder, sig.args[3], args[3])
        tables = [data_pointer(context, builder, sig.args[i], args[i]) for i in (5, 6)]
        weight, low_factor = splat(builder, args[2], lanes), splat(builder, args[4], lanes)
        rint = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(wide, [wide]), f"llvm.rint.{suffix(wide)}"
        )

        def body(j: Any, carried: list[Any]) -> list[Any]:
            left = builder.sub(width, j)
            value = masked_load(builder, builder.gep(x, [j]), given, left, 4 if element == F32 else 8)
            value = builder.fpext(value, wide) if element == F32 else value
            scale = masked_load(builder, builder.gep(scales, [j]), wide, left, 8)
            scaled = builder.fmul(builder.fmul(value, weight), scale)
            top = builder.call(rint, [scaled])
            rest = builder.call(rint, [builder.fmul(builder.fsub(scaled, top), low_factor)])
            for cluster, change in ((args[7], builder.add), (args[8], builder.sub)):
                with builder.if_then(builder.icmp_signed(">=", cluster, ir.Constant(I64, 0))):
                    at = builder.add(builder.mul(cluster, width), j)
                    for table, limb in zip(tables, (top, rest), strict=True):
                        place = builder.gep(table, [at])
                        sums = masked_load(builder, place, integers, left, 8)
                        masked_store(builder, change(sums, builder.fptosi(limb, integers)), place, left, 8)
            return carried

        counted_loop(builder, width, lanes, [], body)
        return context.get_dummy_value()

    return signature, codegen
