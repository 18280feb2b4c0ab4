"""Vector code the compiler does not find by itself, written as LLVM IR and called from numba kernels.

The building blocks, each a numba intrinsic generic over float32 and float64:

``tile_top2``      scores of a tile of rows against a panel of centres; running best, second best and index of the best
``tile_above``     the same scores compared with a threshold per row; one bit mask per centre
``pack_rows``      gather rows, shift and scale them, and transpose them into a tile
``tile_bounds``    from the best scores of a tile: bounds of the rows' distances
``squared_distance``  the canonical distance of :mod:`gpuclust.engines.canonical`

A tile holds ``rows_per_tile`` rows, transposed: element j of row i lies at ``tile[j * rows_per_tile + i]``, so a vector
register holds one feature of many rows. A panel holds ``centers_per_panel`` centres interleaved in the same way behind
their constants: ``panel[0, c]`` is the constant of centre c and ``panel[1 + j, c]`` its element j. The product keeps
every score of the tile in registers until it is finished (as BLIS micro-kernels do, Van Zee and van de Geijn 2015) and
the comparison happens there too: no score is ever written to memory. This is what makes it twice as fast as a BLAS
product followed by an argmin.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpuclust.engines.canonical import OUTWARD

__all__ = [
    "TileShape",
    "add_row",
    "pack_rows",
    "prefetch_row",
    "squared_distance",
    "tile_above",
    "tile_bounds",
    "tile_shape",
    "tile_top2",
    "trailing_zeros",
]

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_F32, _F64 = ir.FloatType(), ir.DoubleType()


class TileShape(NamedTuple):
    """Geometry of the register tile: ``vectors`` registers of ``lanes`` rows, times ``centers`` centres."""

    lanes: int
    vectors: int
    centers: int

    @property
    def rows(self) -> int:
        return self.lanes * self.vectors


@cache
def _host_features() -> frozenset[str]:
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


# Accumulators are vectors * centers registers; 24 of 32 with AVX-512 or NEON, 12 of 16 with AVX2. Measured on Zen 5,
# float32, GFLOP/s of one core at d = 128, k = 1024: (16, 3, 8) 230, (16, 2, 12) 227, (16, 1, 24) 212, (8, 2, 6) 115;
# OpenBLAS 100.
def tile_shape(dtype: np.dtype | type | str) -> TileShape:
    """The register tile for a screen of ``dtype`` on this machine."""
    narrow = np.dtype(dtype) == np.float64
    if "avx512f" in _host_features():
        return TileShape(8 if narrow else 16, 3, 8)
    if "avx2" in _host_features():
        return TileShape(4 if narrow else 8, 3, 4)
    return TileShape(2 if narrow else 4, 4, 4)


# ----------------------------------------------------------------------------------------------------------- IR helpers


def _float_ir(numba_type: Any) -> ir.Type:
    return _F32 if numba_type == types.float32 else _F64


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any = None) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return data if offset is None else builder.gep(data, [offset])


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    vector = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _load_vector(builder: Any, pointer: Any, vector: ir.VectorType, align: int) -> Any:
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = align
    return loaded


def _store_vector(builder: Any, value: Any, pointer: Any, align: int) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = align


def _suffix(vector: ir.VectorType) -> str:
    kind = {_F32: "f32", _F64: "f64", _I64: "i64"}[vector.element]
    return f"v{vector.count}{kind}"


def _masked_load(builder: Any, pointer: Any, vector: ir.VectorType, count: Any, align: int) -> Any:
    """Load the first ``count`` lanes; the others are zero and their memory is not touched."""
    lanes = vector.count
    mask = builder.icmp_signed(
        "<",
        ir.Constant(ir.VectorType(_I64, lanes), list(range(lanes))),
        _splat(builder, count, lanes),
    )
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector.as_pointer(), _I32, ir.VectorType(_I1, lanes), vector]),
        f"llvm.masked.load.{_suffix(vector)}.p0",
    )
    zeros = ir.Constant(vector, [0 if vector.element == _I64 else 0.0] * lanes)
    return builder.call(
        function, [builder.bitcast(pointer, vector.as_pointer()), ir.Constant(_I32, align), mask, zeros]
    )


def _masked_store(builder: Any, value: Any, pointer: Any, count: Any, align: int) -> None:
    """Store the first ``count`` lanes."""
    vector = value.type
    mask = builder.icmp_signed(
        "<",
        ir.Constant(ir.VectorType(_I64, vector.count), list(range(vector.count))),
        _splat(builder, count, vector.count),
    )
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), _I32, ir.VectorType(_I1, vector.count)]),
        f"llvm.masked.store.{_suffix(vector)}.p0",
    )
    builder.call(function, [value, builder.bitcast(pointer, vector.as_pointer()), ir.Constant(_I32, align), mask])


def _counted_loop(builder: Any, stop: Any, step: int, carried: list[Any], body: Any) -> list[Any]:
    """``for j in range(0, stop, step): carried = body(j, carried)``; runs zero times when stop <= 0."""
    before, head = builder.block, builder.append_basic_block("loop.head")
    inside, after = builder.append_basic_block("loop.body"), builder.append_basic_block("loop.end")
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(_I64)
    index.add_incoming(ir.Constant(_I64, 0), before)
    phis = [builder.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)
    builder.position_at_end(inside)
    updated = body(index, phis)
    latch = builder.block
    index.add_incoming(builder.add(index, ir.Constant(_I64, step)), latch)
    for phi, value in zip(phis, updated, strict=True):
        phi.add_incoming(value, latch)
    builder.branch(head)
    builder.position_at_end(after)
    return phis


# ------------------------------------------------------------------------------------------------------ the screen tile


def _tile_scores(
    builder: Any, shape: TileShape, element: ir.Type, tile: Any, panel: Any, width: Any
) -> list[list[Any]]:
    """Scores[c][r]: constant of centre c plus the inner product with the rows of vector r, by FMA in feature order."""
    vector = ir.VectorType(element, shape.lanes)
    align = 4 if element == _F32 else 8
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.{_suffix(vector)}"
    )
    start = []
    for c in range(shape.centers):
        constant = _splat(builder, builder.load(builder.gep(panel, [ir.Constant(_I64, c)])), shape.lanes)
        start += [constant] * shape.vectors
    elements = builder.gep(panel, [ir.Constant(_I64, shape.centers)])

    def body(j: Any, sums: list[Any]) -> list[Any]:
        row = builder.gep(tile, [builder.mul(j, ir.Constant(_I64, shape.rows))])
        features = [
            _load_vector(builder, builder.gep(row, [ir.Constant(_I64, r * shape.lanes)]), vector, align)
            for r in range(shape.vectors)
        ]
        column = builder.gep(elements, [builder.mul(j, ir.Constant(_I64, shape.centers))])
        updated = []
        for c in range(shape.centers):
            weight = _splat(builder, builder.load(builder.gep(column, [ir.Constant(_I64, c)])), shape.lanes)
            totals = sums[c * shape.vectors : (c + 1) * shape.vectors]
            updated += [builder.call(fma, [weight, x, t]) for x, t in zip(features, totals, strict=True)]
        return updated

    sums = _counted_loop(builder, width, 1, start, body)
    return [sums[c * shape.vectors : (c + 1) * shape.vectors] for c in range(shape.centers)]


@intrinsic
def tile_top2(typingctx, tile, panels, offset, width, first, best, second, index):  # type: ignore[no-untyped-def]
    """Score ``tile`` against the panel at ``panels[offset:]`` and update ``best``, ``second``, ``index`` of its rows.

    ``first`` is the index of the panel's first centre. Ties keep the earlier centre.
    """
    shape, element = tile_shape(str(tile.dtype)), _float_ir(tile.dtype)
    signature = types.void(tile, panels, types.int64, types.int64, types.int64, best, second, index)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector, integers = ir.VectorType(element, shape.lanes), ir.VectorType(_I32, shape.lanes)
        align = 4 if element == _F32 else 8
        at = [_pointer(context, builder, sig.args[i], args[i]) for i in (0, 5, 6, 7)]
        panel = _pointer(context, builder, sig.args[1], args[1], args[2])
        scores = _tile_scores(builder, shape, element, at[0], panel, args[3])
        number = builder.trunc(args[4], _I32)
        for r in range(shape.vectors):
            where = [builder.gep(pointer, [ir.Constant(_I64, r * shape.lanes)]) for pointer in at[1:]]
            top = _load_vector(builder, where[0], vector, align)
            runner = _load_vector(builder, where[1], vector, align)
            label = _load_vector(builder, where[2], integers, 4)
            for c in range(shape.centers):
                score = scores[c][r]
                wins = builder.fcmp_ordered(">", score, top)
                loser = builder.select(wins, top, score)
                runner = builder.select(builder.fcmp_ordered(">", loser, runner), loser, runner)
                mine = _splat(builder, builder.add(number, ir.Constant(_I32, c)), shape.lanes)
                label = builder.select(wins, mine, label)
                top = builder.select(wins, score, top)
            _store_vector(builder, top, where[0], align)
            _store_vector(builder, runner, where[1], align)
            _store_vector(builder, label, where[2], 4)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def tile_above(typingctx, tile, panels, offset, width, threshold, masks):  # type: ignore[no-untyped-def]
    """Bit i of ``masks[c]`` (uint64): the score of row i against centre c of the panel is not below ``threshold[i]``.

    Returns the union of the masks. A NaN sets the bit: what cannot be excluded is a candidate.
    """
    shape, element = tile_shape(str(tile.dtype)), _float_ir(tile.dtype)
    signature = types.uint64(tile, panels, types.int64, types.int64, threshold, masks)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector = ir.VectorType(element, shape.lanes)
        align = 4 if element == _F32 else 8
        limits, words = (_pointer(context, builder, sig.args[i], args[i]) for i in (4, 5))
        tile_pointer = _pointer(context, builder, sig.args[0], args[0])
        panel = _pointer(context, builder, sig.args[1], args[1], args[2])
        scores = _tile_scores(builder, shape, element, tile_pointer, panel, args[3])
        limit = [
            _load_vector(builder, builder.gep(limits, [ir.Constant(_I64, r * shape.lanes)]), vector, align)
            for r in range(shape.vectors)
        ]
        union = ir.Constant(_I64, 0)
        for c in range(shape.centers):
            word = ir.Constant(_I64, 0)
            for r in range(shape.vectors):
                bits = builder.bitcast(builder.fcmp_unordered(">=", scores[c][r], limit[r]), ir.IntType(shape.lanes))
                word = builder.or_(word, builder.shl(builder.zext(bits, _I64), ir.Constant(_I64, r * shape.lanes)))
            builder.store(word, builder.gep(words, [ir.Constant(_I64, c)]))
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
    shape, element = tile_shape(str(best.dtype)), _float_ir(best.dtype)
    signature = types.void(best, second, squares, norms, types.float64, types.float64, limit, near, far)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = shape.lanes
        given, wide, single = (ir.VectorType(kind, lanes) for kind in (element, _F64, _F32))
        at = [_pointer(context, builder, sig.args[i], args[i]) for i in (0, 1, 2, 3, 6, 7, 8)]
        error, floor = (_splat(builder, args[i], lanes) for i in (4, 5))
        add, sub, mul = builder.fadd, builder.fsub, builder.fmul

        def constant(value: float) -> Any:
            return ir.Constant(wide, [value] * lanes)

        def root(square: Any, factor: float) -> Any:
            zero = constant(0.0)
            clipped = builder.select(builder.fcmp_ordered(">", square, zero), square, zero)
            sqrt = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(wide, [wide]), f"llvm.sqrt.{_suffix(wide)}"
            )
            return builder.fptrunc(mul(builder.call(sqrt, [clipped]), constant(factor)), single)

        for r in range(shape.vectors):
            offset = ir.Constant(_I64, r * lanes)
            where = [builder.gep(pointer, [offset]) for pointer in at]
            top, runner, square = (_load_vector(builder, p, given, 4 if element == _F32 else 8) for p in where[:3])
            if element == _F32:
                top, runner, square = (builder.fpext(v, wide) for v in (top, runner, square))
            twice = mul(constant(2.0), error)
            norm = add(mul(square, add(constant(1.0), twice)), floor)
            slack = add(mul(error, norm), mul(constant(2.0), floor))
            least = sub(top, mul(twice, _load_vector(builder, where[3], wide, 8)))
            inner = add(sub(norm, mul(constant(2.0), least)), slack)
            outer = sub(sub(mul(square, sub(constant(1.0), twice)), add(slack, floor)), mul(constant(2.0), runner))
            _store_vector(builder, sub(least, slack), where[4], 8)
            _store_vector(builder, root(inner, 1.0 + OUTWARD), where[5], 4)
            _store_vector(builder, root(outer, 1.0 - OUTWARD), where[6], 4)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def trailing_zeros(typingctx, word):  # type: ignore[no-untyped-def]
    """Number of zero bits below the lowest set bit of a non-zero uint64."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.Constant(_I1, 1))

    return types.int64(types.uint64), codegen


# ------------------------------------------------------------------------------------------------- gather and transpose


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose a square of ``lanes`` vectors: at stage h, exchange the off-diagonal blocks of width h."""
    lanes = len(rows)
    integers = ir.VectorType(_I32, lanes)
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
    shape, element, source = tile_shape(str(tile.dtype)), _float_ir(tile.dtype), _float_ir(data.dtype)
    signature = types.void(data, indices, types.int64, origin, types.float64, tile)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = shape.lanes
        align = 4 if element == _F32 else 8
        source_align = 4 if source == _F32 else 8
        wide, narrow = ir.VectorType(_F64, lanes), ir.VectorType(source, lanes)
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        numbers = _pointer(context, builder, sig.args[1], args[1])
        shift = _pointer(context, builder, sig.args[3], args[3])
        out = _pointer(context, builder, sig.args[5], args[5])
        factor = _splat(builder, args[4], lanes)
        last = builder.sub(args[2], ir.Constant(_I64, 1))
        for r in range(shape.vectors):
            starts = []
            for i in range(r * lanes, (r + 1) * lanes):
                here = ir.Constant(_I64, i)
                slot = builder.select(builder.icmp_signed("<", here, last), here, last)
                number = builder.sext(builder.load(builder.gep(numbers, [slot])), _I64)
                starts.append(builder.gep(matrix.data, [builder.mul(number, width)]))

            def body(j: Any, carried: list[Any], starts: list[Any] = starts, r: int = r) -> list[Any]:
                left = builder.sub(width, j)
                whole = builder.icmp_signed(">=", left, ir.Constant(_I64, lanes))
                rows = []
                offset = builder.gep(shift, [j])

                def converted(load: Any) -> list[Any]:
                    moved = load(offset, wide, 8)
                    done = []
                    for start in starts:
                        value = load(builder.gep(start, [j]), narrow, source_align)
                        value = builder.fpext(value, wide) if source == _F32 else value
                        value = builder.fmul(builder.fsub(value, moved), factor)
                        done.append(builder.fptrunc(value, ir.VectorType(element, lanes)) if element == _F32 else value)
                    return _transpose(builder, done)

                fast, slow = builder.append_basic_block("whole"), builder.append_basic_block("tail")
                join = builder.append_basic_block("join")
                builder.cbranch(whole, fast, slow)
                builder.position_at_end(fast)
                full = converted(lambda p, v, a: _load_vector(builder, p, v, a))
                builder.branch(join)
                builder.position_at_end(slow)
                part = converted(lambda p, v, a: _masked_load(builder, p, v, left, a))
                builder.branch(join)
                builder.position_at_end(join)
                for t in range(lanes):
                    phi = builder.phi(ir.VectorType(element, lanes))
                    phi.add_incoming(full[t], fast)
                    phi.add_incoming(part[t], slow)
                    rows.append(phi)
                for t in range(lanes):
                    place = builder.mul(builder.add(j, ir.Constant(_I64, t)), ir.Constant(_I64, shape.rows))
                    place = builder.add(place, ir.Constant(_I64, r * lanes))
                    _store_vector(builder, rows[t], builder.gep(out, [place]), align)
                return carried

            _counted_loop(builder, width, lanes, [], body)
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
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32]), "llvm.prefetch.p0"
        )
        read, second_level, cached = (ir.Constant(_I32, value) for value in (0, 2, 1))

        def body(j: Any, carried: list[Any]) -> list[Any]:
            line = builder.bitcast(builder.gep(start, [j]), pointer)
            builder.call(prefetch, [line, read, second_level, cached])
            return carried

        _counted_loop(builder, width, 16 if sig.args[0].dtype == types.float32 else 8, [], body)
        return context.get_dummy_value()

    return signature, codegen


# ----------------------------------------------------------------------------------------------- the canonical distance


@intrinsic
def squared_distance(typingctx, data, row, centers, center, scale):  # type: ignore[no-untyped-def]
    """Canonical distance of ``data[row]`` to ``centers[center]``, in units of 1 / ``scale``."""
    signature = types.float64(data, types.int64, centers, types.int64, types.float64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = 8
        wide = ir.VectorType(_F64, lanes)
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        operands = (
            (builder.gep(matrix.data, [builder.mul(args[1], width)]), _float_ir(sig.args[0].dtype)),
            (
                _pointer(context, builder, sig.args[2], args[2], builder.mul(args[3], width)),
                _float_ir(sig.args[2].dtype),
            ),
        )
        factor = _splat(builder, args[4], lanes)

        def accumulate(total: Any, at: Any, load: Any) -> Any:
            values = []
            for pointer, element in operands:
                value = load(builder.gep(pointer, [at]), ir.VectorType(element, lanes), 4 if element == _F32 else 8)
                values.append(builder.fpext(value, wide) if element == _F32 else value)
            difference = builder.fmul(builder.fsub(*values), factor)
            return builder.fadd(total, builder.fmul(difference, difference))

        def body(j: Any, sums: list[Any]) -> list[Any]:
            return [
                accumulate(
                    total,
                    builder.add(j, ir.Constant(_I64, v * lanes)),
                    lambda p, t, a: _load_vector(builder, p, t, a),
                )
                for v, total in enumerate(sums)
            ]

        zero = ir.Constant(wide, [0.0] * lanes)
        whole = builder.and_(width, ir.Constant(_I64, -32))
        sums = _counted_loop(builder, whole, 32, [zero] * 4, body)
        for v in range(4):
            at = builder.add(whole, ir.Constant(_I64, v * lanes))
            left = builder.sub(width, at)
            before, then = builder.block, builder.append_basic_block("rest")
            after = builder.append_basic_block("rest.end")
            builder.cbranch(builder.icmp_signed(">", left, ir.Constant(_I64, 0)), then, after)
            builder.position_at_end(then)
            added = accumulate(sums[v], at, lambda p, t, a, left=left: _masked_load(builder, p, t, left, a))
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
                total, ir.Constant(wide, ir.Undefined), ir.Constant(ir.VectorType(_I32, lanes), order)
            )
            total = builder.fadd(total, moved)
        return builder.extract_element(total, ir.Constant(_I32, 0))

    return signature, codegen


# ---------------------------------------------------------------------------------------------------- fixed-point sums


@intrinsic
def add_row(typingctx, data, row, weight, high_scale, low_scale, high, low, target, source):  # type: ignore[no-untyped-def]
    """Add ``weight * data[row]`` in fixed point to the sums of cluster ``target`` and take it from those of ``source``.

    ``high``, ``low`` (k, d) int64; a cluster of -1 is none. ``high_scale`` (d,) and ``low_scale`` as in
    :mod:`gpuclust.engines.canonical`.
    """
    element = _float_ir(data.dtype)
    signature = types.void(
        data, types.int64, types.float64, high_scale, types.float64, high, low, types.int64, types.int64
    )

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = 8
        wide, given, integers = (ir.VectorType(kind, lanes) for kind in (_F64, element, _I64))
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)
        x = builder.gep(matrix.data, [builder.mul(args[1], width)])
        scales = _pointer(context, builder, sig.args[3], args[3])
        tables = [_pointer(context, builder, sig.args[i], args[i]) for i in (5, 6)]
        weight, low_factor = _splat(builder, args[2], lanes), _splat(builder, args[4], lanes)
        rint = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(wide, [wide]), f"llvm.rint.{_suffix(wide)}"
        )

        def body(j: Any, carried: list[Any]) -> list[Any]:
            left = builder.sub(width, j)
            value = _masked_load(builder, builder.gep(x, [j]), given, left, 4 if element == _F32 else 8)
            value = builder.fpext(value, wide) if element == _F32 else value
            scale = _masked_load(builder, builder.gep(scales, [j]), wide, left, 8)
            scaled = builder.fmul(builder.fmul(value, weight), scale)
            top = builder.call(rint, [scaled])
            rest = builder.call(rint, [builder.fmul(builder.fsub(scaled, top), low_factor)])
            for cluster, change in ((args[7], builder.add), (args[8], builder.sub)):
                with builder.if_then(builder.icmp_signed(">=", cluster, ir.Constant(_I64, 0))):
                    at = builder.add(builder.mul(cluster, width), j)
                    for table, limb in zip(tables, (top, rest), strict=True):
                        place = builder.gep(table, [at])
                        sums = _masked_load(builder, place, integers, left, 8)
                        _masked_store(builder, change(sums, builder.fptosi(limb, integers)), place, left, 8)
            return carried

        _counted_loop(builder, width, lanes, [], body)
        return context.get_dummy_value()

    return signature, codegen
