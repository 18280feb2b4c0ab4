"""A few rows against a panel of rows that lie feature by feature: sums of their distances in fixed point.

Lanes are rows of the panel, so that eight distances share every instruction, the root and the limbs too. A distance is
the canonical one: its tree is walked depth first, which needs a register for each level and not one for each of the 32
accumulators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.engines.canonical import LANES
from gpuclust.engines.cpu.vector.ir import (
    F64,
    I1,
    I64,
    counted_loop,
    data_pointer,
    load_vector,
    magnitude,
    splat,
    store_vector,
    suffix,
)

__all__ = ["TOGETHER", "euclidean_of_one", "euclidean_of_some", "manhattan_of_one", "manhattan_of_some"]

#: Rows that are compared with a panel together: each element of the panel is loaded once for all of them.
TOGETHER = 4
_LANES = 8
_WIDE, _INTEGERS = ir.VectorType(F64, _LANES), ir.VectorType(I64, _LANES)

Vectors = list[Any]
#: What a feature, by its number, adds to the sums: a vector for each row.
Terms = Callable[[Any], Vectors]


def _tree(builder: Any, accumulators: int, width: Any, n_rows: int, terms: Terms) -> Vectors:
    """The canonical sums over ``width`` features: at most ``accumulators`` and more than half of it; LANES + 1: any.

    An accumulator without features would be zero and add nothing.
    """
    any_width, accumulators = accumulators > LANES, min(accumulators, LANES)
    zeros = [ir.Constant(_WIDE, [0.0] * _LANES)] * n_rows

    def add(a: Vectors, b: Vectors) -> Vectors:
        return [builder.fadd(x, y) for x, y in zip(a, b, strict=True)]

    def leaf(number: int) -> Vectors:
        first = ir.Constant(I64, number)
        if not any_width:
            return terms(first)
        left = builder.sub(width, first)
        return counted_loop(builder, left, LANES, zeros, lambda j, sums: add(sums, terms(builder.add(j, first))))

    def pair(number: int) -> Vectors:
        """An accumulator and the one that it takes first, if there is such a feature."""
        left, other = leaf(number), number + accumulators // 2
        before, then = builder.block, builder.append_basic_block("both")
        after = builder.append_basic_block("added")
        builder.cbranch(builder.icmp_signed("<", ir.Constant(I64, other), width), then, after)
        builder.position_at_end(then)
        both, end = add(left, leaf(other)), builder.block
        builder.branch(after)
        builder.position_at_end(after)
        merged = []
        for alone, joined in zip(left, both, strict=True):
            phi = builder.phi(_WIDE)
            phi.add_incoming(alone, before)
            phi.add_incoming(joined, end)
            merged.append(phi)
        return merged

    def node(number: int, step: int) -> Vectors:
        if step == accumulators:
            return leaf(number)
        if 2 * step == accumulators and not any_width:
            return pair(number)
        return add(node(number, 2 * step), node(number + step, 2 * step))

    return node(0, 1)


def _distances(builder: Any, width: Any, n_rows: int, terms: Terms) -> Vectors:
    """The canonical sums, by the tree for this width."""
    # What is left over of a run, fewer rows than go together, has one tree for all widths: there is little to gain.
    trees = (1, 2, 4, 8, 16, LANES, LANES + 1) if n_rows > 1 else (LANES + 1,)
    end = builder.append_basic_block("distances")
    found: list[tuple[Vectors, Any]] = []
    for accumulators in trees:
        inside, following = builder.append_basic_block("tree"), builder.append_basic_block("wider")
        fits = builder.icmp_signed("<=", width, ir.Constant(I64, accumulators))
        builder.cbranch(fits if accumulators <= LANES else ir.Constant(I1, 1), inside, following)
        builder.position_at_end(inside)
        found.append((_tree(builder, accumulators, width, n_rows, terms), builder.block))
        builder.branch(end)
        builder.position_at_end(following)
    builder.unreachable()
    builder.position_at_end(end)
    merged = []
    for i in range(n_rows):
        phi = builder.phi(_WIDE)
        for vectors, block in found:
            phi.add_incoming(vectors[i], block)
        merged.append(phi)
    return merged


def _codegen(n_rows: int, metric: str) -> Any:
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        rows = [
            builder.gep(matrix.data, [builder.mul(builder.add(args[1], ir.Constant(I64, r)), width)])
            for r in range(n_rows)
        ]
        panel = data_pointer(context, builder, sig.args[2], args[2], args[3])
        padded, count = args[4], args[5]
        rounders = [splat(builder, factor, _LANES) for factor in args[6:8]]
        row_sums, column_sums = (data_pointer(context, builder, sig.args[i], args[i]) for i in (8, 9))
        places = ir.Constant(_INTEGERS, list(range(_LANES)))
        root = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_WIDE, [_WIDE]), f"llvm.sqrt.{suffix(_WIDE)}"
        )
        total = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(I64, [_INTEGERS]), f"llvm.vector.reduce.add.{suffix(_INTEGERS)}"
        )

        def body(c: Any, sums: Vectors) -> Vectors:
            column = builder.gep(panel, [builder.mul(c, width)])

            def terms(q: Any) -> Vectors:
                place = builder.gep(column, [builder.mul(q, ir.Constant(I64, _LANES))])
                values = load_vector(builder, place, _WIDE, 8)
                found = []
                for row in rows:
                    one = splat(builder, builder.load(builder.gep(row, [q])), _LANES)
                    difference = builder.fsub(values, one)
                    found.append(
                        builder.fmul(difference, difference)
                        if metric == "euclidean"
                        else magnitude(builder, difference)
                    )
                return found

            distances = _distances(builder, width, n_rows, terms)
            if metric == "euclidean":
                distances = [builder.call(root, [distance]) for distance in distances]
            valid = builder.sext(
                builder.icmp_signed("<", places, splat(builder, builder.sub(count, c), _LANES)), _INTEGERS
            )
            limbs = []
            for distance in distances:
                high = builder.fadd(distance, rounders[0])
                rest = builder.fsub(distance, builder.fsub(high, rounders[0]))
                low = builder.fadd(rest, rounders[1])
                limbs.append([builder.and_(builder.bitcast(limb, _INTEGERS), valid) for limb in (high, low)])
            updated = []
            for limb in range(2):
                mine = [pair[limb] for pair in limbs]
                updated += [builder.add(a, b) for a, b in zip(sums[limb * n_rows :][:n_rows], mine, strict=True)]
                place = builder.gep(column_sums, [builder.add(c, builder.mul(ir.Constant(I64, limb), padded))])
                column_total = load_vector(builder, place, _INTEGERS, 8)
                for vector in mine:
                    column_total = builder.add(column_total, vector)
                store_vector(builder, column_total, place, 8)
            return updated

        zeros = [ir.Constant(_INTEGERS, [0] * _LANES)] * (2 * n_rows)
        for i, vector in enumerate(counted_loop(builder, padded, _LANES, zeros, body)):
            builder.store(builder.call(total, [vector]), builder.gep(row_sums, [ir.Constant(I64, i)]))
        return context.get_dummy_value()

    return codegen


def _signature(values: Any, panel: Any, rows: Any, columns: Any) -> Any:
    integer, real = types.int64, types.float64
    return types.void(values, integer, panel, integer, integer, integer, real, real, rows, columns)


@intrinsic
def euclidean_of_some(typingctx, values, row, panel, at, padded, count, high, low, rows, columns):  # type: ignore[no-untyped-def]
    """Sums of the distances between ``values[row:row + TOGETHER]`` and the ``count`` rows of a panel at ``panel[at:]``.

    ``values`` (m, d) and the panel (``padded`` / 8, d, 8), flat, are scaled float64. ``high`` and ``low`` are the
    rounders of the format. ``rows`` (2 * TOGETHER) int64 receives high and low limbs of the rows,
    and ``columns`` (2, ``padded``), flat, is increased by those of the columns; the rounder's own bits are in them as
    often as distances are.
    """
    return _signature(values, panel, rows, columns), _codegen(TOGETHER, "euclidean")


@intrinsic
def euclidean_of_one(typingctx, values, row, panel, at, padded, count, high, low, rows, columns):  # type: ignore[no-untyped-def]
    """The same of one row; ``rows`` (2)."""
    return _signature(values, panel, rows, columns), _codegen(1, "euclidean")


@intrinsic
def manhattan_of_some(typingctx, values, row, panel, at, padded, count, high, low, rows, columns):  # type: ignore[no-untyped-def]
    """As :func:`euclidean_of_some`, of manhattan distances."""
    return _signature(values, panel, rows, columns), _codegen(TOGETHER, "manhattan")


@intrinsic
def manhattan_of_one(typingctx, values, row, panel, at, padded, count, high, low, rows, columns):  # type: ignore[no-untyped-def]
    """As :func:`euclidean_of_one`, of manhattan distances."""
    return _signature(values, panel, rows, columns), _codegen(1, "manhattan")
