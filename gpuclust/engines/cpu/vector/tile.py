"""The screen tile: scores of rows against a panel of centres, kept in registers until they are judged.

A tile holds ``TileShape.rows`` rows, transposed: element j of row i lies at ``tile[j * rows + i]``, so a vector
register holds one feature of many rows. A panel holds ``TileShape.centers`` centres interleaved in the same way behind
their constants: ``panel[0, c]`` is the constant of centre c and ``panel[1 + j, c]`` its element j. The product keeps
every score of the tile in registers until it is finished (as BLIS micro-kernels do, Van Zee and van de Geijn 2015) and
the comparison happens there too: no score is ever written to memory. This makes it twice as fast as a BLAS product and
an argmin.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.engines.canonical import OUTWARD
from gpuclust.engines.cpu.vector.ir import (
    F32,
    F64,
    I1,
    I32,
    I64,
    counted_loop,
    data_pointer,
    float_ir,
    load_vector,
    magnitude,
    maximum,
    splat,
    store_vector,
    suffix,
)

__all__ = [
    "TileShape",
    "bit_count",
    "tile_above",
    "tile_bounds",
    "tile_scores",
    "tile_shape",
    "tile_top2",
    "trailing_zeros",
]


class TileShape(NamedTuple):
    """Geometry of the register tile: ``vectors`` registers of ``lanes`` rows, times ``centers`` centres."""

    lanes: int
    vectors: int
    centers: int

    @property
    def rows(self) -> int:
        return self.lanes * self.vectors


@cache
def _features() -> frozenset[str]:
    """Instruction sets that numba compiles for: the host's, or those of ``NUMBA_CPU_FEATURES``."""
    if numba.config.CPU_FEATURES is not None:
        return frozenset(name[1:] for name in numba.config.CPU_FEATURES.split(",") if name.startswith("+"))
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


# Accumulators are vectors * centers registers; 24 of 32 with AVX-512 or NEON, 12 of 16 with AVX2. Measured on Zen 5,
# float32, GFLOP/s of one core at d = 128, k = 1024: (16, 3, 8) 230, (16, 2, 12) 227, (16, 1, 24) 212, (8, 2, 6) 115;
# OpenBLAS 100.
def tile_shape(dtype: np.dtype | type | str) -> TileShape:
    """The register tile for a screen of ``dtype`` on this machine."""
    narrow = np.dtype(dtype) == np.float64
    if "avx512f" in _features():
        return TileShape(8 if narrow else 16, 3, 8)
    if "avx2" in _features():
        return TileShape(4 if narrow else 8, 3, 4)
    return TileShape(2 if narrow else 4, 4, 4)


def tile_scores(
    builder: Any, shape: TileShape, element: ir.Type, tile: Any, panel: Any, width: Any, metric: str = "euclidean"
) -> list[list[Any]]:
    """Scores[c][r]: constant of centre c plus the inner product with the rows of vector r, by FMA in feature order.

    In the other metrics the distance is taken from the constant.
    """
    vector = ir.VectorType(element, shape.lanes)
    align = 4 if element == F32 else 8
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.{suffix(vector)}"
    )
    constants = []
    for c in range(shape.centers):
        constant = splat(builder, builder.load(builder.gep(panel, [ir.Constant(I64, c)])), shape.lanes)
        constants += [constant] * shape.vectors
    elements = builder.gep(panel, [ir.Constant(I64, shape.centers)])

    def step(weight: Any, x: Any, total: Any) -> Any:
        if metric == "euclidean":
            return builder.call(fma, [weight, x, total])
        difference = magnitude(builder, builder.fsub(weight, x))
        return builder.fadd(difference, total) if metric == "manhattan" else maximum(builder, difference, total)

    def body(j: Any, sums: list[Any]) -> list[Any]:
        row = builder.gep(tile, [builder.mul(j, ir.Constant(I64, shape.rows))])
        features = [
            load_vector(builder, builder.gep(row, [ir.Constant(I64, r * shape.lanes)]), vector, align)
            for r in range(shape.vectors)
        ]
        column = builder.gep(elements, [builder.mul(j, ir.Constant(I64, shape.centers))])
        updated = []
        for c in range(shape.centers):
            weight = splat(builder, builder.load(builder.gep(column, [ir.Constant(I64, c)])), shape.lanes)
            totals = sums[c * shape.vectors : (c + 1) * shape.vectors]
            updated += [step(weight, x, t) for x, t in zip(features, totals, strict=True)]
        return updated

    if metric == "euclidean":
        sums = counted_loop(builder, width, 1, constants, body)
    else:
        zeros = [ir.Constant(vector, [0.0] * shape.lanes)] * len(constants)
        distances = counted_loop(builder, width, 1, zeros, body)
        sums = [builder.fsub(constant, distance) for constant, distance in zip(constants, distances, strict=True)]
    return [sums[c * shape.vectors : (c + 1) * shape.vectors] for c in range(shape.centers)]


@intrinsic
def tile_top2(typingctx, tile, panels, offset, width, first, best, second, index):  # type: ignore[no-untyped-def]
    """Score ``tile`` against the panel at ``panels[offset:]`` and update ``best``, ``second``, ``index`` of its rows.

    ``first`` is the index of the panel's first centre. Ties keep the earlier centre.
    """
    shape, element = tile_shape(str(tile.dtype)), float_ir(tile.dtype)
    signature = types.void(tile, panels, types.int64, types.int64, types.int64, best, second, index)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector, integers = ir.VectorType(element, shape.lanes), ir.VectorType(I32, shape.lanes)
        align = 4 if element == F32 else 8
        at = [data_pointer(context, builder, sig.args[i], args[i]) for i in (0, 5, 6, 7)]
        panel = data_pointer(context, builder, sig.args[1], args[1], args[2])
        scores = tile_scores(builder, shape, element, at[0], panel, args[3])
        number = builder.trunc(args[4], I32)
        for r in range(shape.vectors):
            where = [builder.gep(pointer, [ir.Constant(I64, r * shape.lanes)]) for pointer in at[1:]]
            top = load_vector(builder, where[0], vector, align)
            runner = load_vector(builder, where[1], vector, align)
            label = load_vector(builder, where[2], integers, 4)
            for c in range(shape.centers):
                score = scores[c][r]
                wins = builder.fcmp_ordered(">", score, top)
                loser = builder.select(wins, top, score)
                runner = builder.select(builder.fcmp_ordered(">", loser, runner), loser, runner)
                mine = splat(builder, builder.add(number, ir.Constant(I32, c)), shape.lanes)
                label = builder.select(wins, mine, label)
                top = builder.select(wins, score, top)
            store_vector(builder, top, where[0], align)
            store_vector(builder, runner, where[1], align)
            store_vector(builder, label, where[2], 4)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def tile_above(typingctx, tile, panels, offset, width, threshold, masks):  # type: ignore[no-untyped-def]
    """Bit i of ``masks[c]`` (uint64): the score of row i against centre c of the panel is not below ``threshold[i]``.

    Returns the union of the masks. A NaN sets the bit: what cannot be excluded is a candidate.
    """
    shape, element = tile_shape(str(tile.dtype)), float_ir(tile.dtype)
    signature = types.uint64(tile, panels, types.int64, types.int64, threshold, masks)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector = ir.VectorType(element, shape.lanes)
        align = 4 if element == F32 else 8
        limits, words = (data_pointer(context, builder, sig.args[i], args[i]) for i in (4, 5))
        tile_pointer = data_pointer(context, builder, sig.args[0], args[0])
        panel = data_pointer(context, builder, sig.args[1], args[1], args[2])
        scores = tile_scores(builder, shape, element, tile_pointer, panel, args[3])
        limit = [
            load_vector(builder, builder.gep(limits, [ir.Constant(I64, r * shape.lanes)]), vector, align)
            for r in range(shape.vectors)
        ]
        union = ir.Constant(I64, 0)
        for c in range(shape.centers):
            word = ir.Constant(I64, 0)
            for r in range(shape.vectors):
                bits = builder.bitcast(builder.fcmp_unordered(">=", scores[c][r], limit[r]), ir.IntType(shape.lanes))
                word = builder.or_(word, builder.shl(builder.zext(bits, I64), ir.Constant(I64, r * shape.lanes)))
            builder.store(word, builder.gep(words, [ir.Constant(I64, c)]))
            union = builder.or_(union, word)
        return union

    return signature, codegen


@intrinsic
def tile_bounds(typingctx, best, second, squares, norms, error, floor, limit, near, far):  # type: ignore[no-untyped-def]
    """Of each row of a tile: the score below which a centre is excluded, and bounds of its two least distances.

    ``best``, ``second`` scores and ``squares`` = |t|**2 in the tile's dtype; ``norms`` (float64) |y|**2 of the best
    centre. ``limit`` (float64) is the score, ``near`` and ``far`` (float32) bound the least distance from above and the
    second least from below: see :mod:`gpuclust.engines.canonical`.
    """
    shape, element = tile_shape(str(best.dtype)), float_ir(best.dtype)
    signature = types.void(best, second, squares, norms, types.float64, types.float64, limit, near, far)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = shape.lanes
        given, wide, single = (ir.VectorType(kind, lanes) for kind in (element, F64, F32))
        at = [data_pointer(context, builder, sig.args[i], args[i]) for i in (0, 1, 2, 3, 6, 7, 8)]
        error, floor = (splat(builder, args[i], lanes) for i in (4, 5))
        add, sub, mul = builder.fadd, builder.fsub, builder.fmul

        def constant(value: float) -> Any:
            return ir.Constant(wide, [value] * lanes)

        def root(square: Any, factor: float) -> Any:
            zero = constant(0.0)
            clipped = builder.select(builder.fcmp_ordered(">", square, zero), square, zero)
            sqrt = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(wide, [wide]), f"llvm.sqrt.{suffix(wide)}"
            )
            return builder.fptrunc(mul(builder.call(sqrt, [clipped]), constant(factor)), single)

        for r in range(shape.vectors):
            offset = ir.Constant(I64, r * lanes)
            where = [builder.gep(pointer, [offset]) for pointer in at]
            top, runner, square = (load_vector(builder, p, given, 4 if element == F32 else 8) for p in where[:3])
            if element == F32:
                top, runner, square = (builder.fpext(v, wide) for v in (top, runner, square))
            twice = mul(constant(2.0), error)
            norm = add(mul(square, add(constant(1.0), twice)), floor)
            slack = add(mul(error, norm), mul(constant(2.0), floor))
            least = sub(top, mul(twice, load_vector(builder, where[3], wide, 8)))
            inner = add(sub(norm, mul(constant(2.0), least)), slack)
            outer = sub(sub(mul(square, sub(constant(1.0), twice)), add(slack, floor)), mul(constant(2.0), runner))
            store_vector(builder, sub(least, slack), where[4], 8)
            store_vector(builder, root(inner, 1.0 + OUTWARD), where[5], 4)
            store_vector(builder, root(outer, 1.0 - OUTWARD), where[6], 4)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def trailing_zeros(typingctx, word):  # type: ignore[no-untyped-def]
    """Number of zero bits below the lowest set bit of a non-zero uint64."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.Constant(I1, 1))

    return types.int64(types.uint64), codegen


@intrinsic
def bit_count(typingctx, word):  # type: ignore[no-untyped-def]
    """Number of bits set in a uint64."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen
