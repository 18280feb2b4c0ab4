"""Which rows of a tile are within the limit of which columns of a panel, and which surely: two bits a pair.

The tile and the panel are those of :mod:`~gpuclust.engines.cpu.vector.tile`, the scores those of the metric.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuclust.engines.cpu.vector.ir import F32, I64, data_pointer, float_ir, load_vector, splat
from gpuclust.engines.cpu.vector.tile import tile_scores, tile_shape

__all__ = ["within_chebyshev", "within_euclidean", "within_manhattan"]


def _codegen(metric: str) -> Any:
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        shape, element = tile_shape(str(sig.args[0].dtype)), float_ir(sig.args[0].dtype)
        vector, bits = ir.VectorType(element, shape.lanes), ir.IntType(shape.lanes)
        tile, lows, highs, maybe, surely = (
            data_pointer(context, builder, sig.args[i], args[i]) for i in (0, 4, 5, 7, 8)
        )
        panel = data_pointer(context, builder, sig.args[1], args[1], args[2])
        scores = tile_scores(builder, shape, element, tile, panel, args[3], metric)

        def thresholds(pointer: Any) -> list[Any]:
            places = [builder.gep(pointer, [ir.Constant(I64, r * shape.lanes)]) for r in range(shape.vectors)]
            return [load_vector(builder, place, vector, 4 if element == F32 else 8) for place in places]

        def word(masks: list[Any]) -> Any:
            joined = ir.Constant(I64, 0)
            for r, mask in enumerate(masks):
                part = builder.zext(builder.bitcast(mask, bits), I64)
                joined = builder.or_(joined, builder.shl(part, ir.Constant(I64, r * shape.lanes)))
            return joined

        low = thresholds(lows)
        above = [[builder.fcmp_unordered(">=", s, least) for s, least in zip(c, low, strict=True)] for c in scores]
        # Nearly all panels end here: one word for all columns is cheaper than one for each.
        union = above[0]
        for masks in above[1:]:
            union = [builder.or_(a, b) for a, b in zip(union, masks, strict=True)]
        some = word(union)
        with builder.if_then(builder.icmp_unsigned("!=", some, ir.Constant(I64, 0))):
            slack = splat(builder, args[6], shape.lanes)
            high = [builder.fadd(limit, slack) for limit in thresholds(highs)]
            for c, masks in enumerate(above):
                sure = [builder.fcmp_ordered(">=", s, least) for s, least in zip(scores[c], high, strict=True)]
                at = [ir.Constant(I64, c)]
                builder.store(word(masks), builder.gep(maybe, at))
                builder.store(word(sure), builder.gep(surely, at))
        return some

    return codegen


def _signature(tile: Any, panels: Any, low: Any, high: Any, maybe: Any, surely: Any) -> Any:
    return types.uint64(tile, panels, types.int64, types.int64, low, high, tile.dtype, maybe, surely)


@intrinsic
def within_euclidean(typingctx, tile, panels, offset, width, low, high, slack, maybe, surely):  # type: ignore[no-untyped-def]
    """Compare ``tile`` with the panel at ``panels[offset:]``; return the rows that may be within the limit of a column.

    Bit i of ``maybe[c]`` (uint64): the score of row i against column c is not below ``low[i]``; of ``surely[c]``: it is
    at least ``high[i] + slack``. NaN is maybe, never surely. Where 0 is returned, nothing is written.
    """
    return _signature(tile, panels, low, high, maybe, surely), _codegen("euclidean")


@intrinsic
def within_manhattan(typingctx, tile, panels, offset, width, low, high, slack, maybe, surely):  # type: ignore[no-untyped-def]
    """As :func:`within_euclidean`; the score is the column's constant less the sum of absolute differences."""
    return _signature(tile, panels, low, high, maybe, surely), _codegen("manhattan")


@intrinsic
def within_chebyshev(typingctx, tile, panels, offset, width, low, high, slack, maybe, surely):  # type: ignore[no-untyped-def]
    """As :func:`within_euclidean`; the score is the column's constant less the largest absolute difference."""
    return _signature(tile, panels, low, high, maybe, surely), _codegen("chebyshev")
