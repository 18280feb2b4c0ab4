"""Gathering rows into a tile."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
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
    store_vector,
)
from gpuclust.engines.cpu.vector.tile import tile_shape

__all__ = ["pack_rows", "prefetch_row"]


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose a square of ``lanes`` vectors: at stage h, exchange the off-diagonal blocks of width h."""
    lanes = len(rows)
    integers = ir.VectorType(I32, lanes)
    stage = 1
    while stage < lanes:
        low = [i if not i & stage else lanes + i - stage for i in range(lanes)]
        high = [i + stage if not i & stage else lanes + i for i in range(lanes)]
        done = list(rows)
        for i in range(lanes):
            if not i & stage:
                done[i] = builder.shuffle_vector(rows[i], rows[i + stage], ir.Constant(integers, low))
                done[i + stage] = builder.shuffle_vector(rows[i], rows[i + stage], ir.Constant(integers, high))
        rows, stage = done, stage * 2
    return rows


@intrinsic
def pack_rows(typingctx, data, indices, count, origin, scale, tile):  # type: ignore[no-untyped-def]
    """Write ``(data[indices[i]] - origin) * scale``, i < count, transposed into ``tile``; the rest repeat the last.

    ``data`` (n, width) C-contiguous float32 or float64; ``origin`` float64 (width,); ``scale`` float64 scalar; ``tile``
    has room for width rounded up to a multiple of the lanes. The arithmetic is float64 with one rounding to the tile's
    dtype.
    """
    shape, element, source = tile_shape(str(tile.dtype)), float_ir(tile.dtype), float_ir(data.dtype)
    signature = types.void(data, indices, types.int64, origin, types.float64, tile)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = shape.lanes
        align = 4 if element == F32 else 8
        source_align = 4 if source == F32 else 8
        wide, narrow = ir.VectorType(F64, lanes), ir.VectorType(source, lanes)
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        numbers = data_pointer(context, builder, sig.args[1], args[1])
        shift = data_pointer(context, builder, sig.args[3], args[3])
        out = data_pointer(context, builder, sig.args[5], args[5])
        factor = splat(builder, args[4], lanes)
        last = builder.sub(args[2], ir.Constant(I64, 1))
        for r in range(shape.vectors):
            starts = []
            for i in range(r * lanes, (r + 1) * lanes):
                here = ir.Constant(I64, i)
                slot = builder.select(builder.icmp_signed("<", here, last), here, last)
                number = builder.sext(builder.load(builder.gep(numbers, [slot])), I64)
                starts.append(builder.gep(matrix.data, [builder.mul(number, width)]))

            def body(j: Any, carried: list[Any], starts: list[Any] = starts, r: int = r) -> list[Any]:
                left = builder.sub(width, j)
                whole = builder.icmp_signed(">=", left, ir.Constant(I64, lanes))
                rows = []
                offset = builder.gep(shift, [j])

                def converted(load: Any) -> list[Any]:
                    moved = load(offset, wide, 8)
                    done = []
                    for start in starts:
                        value = load(builder.gep(start, [j]), narrow, source_align)
                        value = builder.fpext(value, wide) if source == F32 else value
                        value = builder.fmul(builder.fsub(value, moved), factor)
                        done.append(builder.fptrunc(value, ir.VectorType(element, lanes)) if element == F32 else value)
                    return _transpose(builder, done)

                fast, slow = builder.append_basic_block("whole"), builder.append_basic_block("tail")
                join = builder.append_basic_block("join")
                builder.cbranch(whole, fast, slow)
                builder.position_at_end(fast)
                full = converted(lambda p, v, a: load_vector(builder, p, v, a))
                builder.branch(join)
                builder.position_at_end(slow)
                part = converted(lambda p, v, a: masked_load(builder, p, v, left, a))
                builder.branch(join)
                builder.position_at_end(join)
                for t in range(lanes):
                    phi = builder.phi(ir.VectorType(element, lanes))
                    phi.add_incoming(full[t], fast)
                    phi.add_incoming(part[t], slow)
                    rows.append(phi)
                for t in range(lanes):
                    place = builder.mul(builder.add(j, ir.Constant(I64, t)), ir.Constant(I64, shape.rows))
                    place = builder.add(place, ir.Constant(I64, r * lanes))
                    store_vector(builder, rows[t], builder.gep(out, [place]), align)
                return carried

            counted_loop(builder, width, lanes, [], body)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def prefetch_row(typingctx, data, row):  # type: ignore[no-untyped-def]
    """Ask for ``data[row]`` ahead of its use: memory is slower to bring a row than few centres are to be scored."""
    signature = types.void(data, types.int64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        start = builder.gep(matrix.data, [builder.mul(args[1], width)])
        pointer = ir.IntType(8).as_pointer()
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32]), "llvm.prefetch.p0"
        )
        read, second_level, cached = (ir.Constant(I32, value) for value in (0, 2, 1))

        def body(j: Any, carried: list[Any]) -> list[Any]:
            line = builder.bitcast(builder.gep(start, [j]), pointer)
            builder.call(prefetch, [line, read, second_level, cached])
            return carried

        counted_loop(builder, width, 16 if sig.args[0].dtype == types.float32 else 8, [], body)
        return context.get_dummy_value()

    return signature, codegen
