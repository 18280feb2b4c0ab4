"""Short names for the LLVM IR that the vector code is made of."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

__all__ = [
    "F32",
    "F64",
    "I1",
    "I32",
    "I64",
    "counted_loop",
    "data_pointer",
    "float_ir",
    "load_vector",
    "magnitude",
    "masked_load",
    "masked_store",
    "maximum",
    "splat",
    "store_vector",
    "suffix",
]


I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()


def float_ir(numba_type: Any) -> ir.Type:
    return F32 if numba_type == types.float32 else F64


def data_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any = None) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return data if offset is None else builder.gep(data, [offset])


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    vector = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def load_vector(builder: Any, pointer: Any, vector: ir.VectorType, align: int) -> Any:
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = align
    return loaded


def store_vector(builder: Any, value: Any, pointer: Any, align: int) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = align


def magnitude(builder: Any, value: Any) -> Any:
    """|value|, a vector."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(value.type, [value.type]), f"llvm.fabs.{suffix(value.type)}"
    )
    return builder.call(function, [value])


def maximum(builder: Any, a: Any, b: Any) -> Any:
    """The larger of each two elements; that of ``b`` where one is NaN."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def suffix(vector: ir.VectorType) -> str:
    kind = {F32: "f32", F64: "f64", I64: "i64"}[vector.element]
    return f"v{vector.count}{kind}"


def masked_load(builder: Any, pointer: Any, vector: ir.VectorType, count: Any, align: int) -> Any:
    """Load the first ``count`` lanes; the others are zero and their memory is not touched."""
    lanes = vector.count
    mask = builder.icmp_signed(
        "<",
        ir.Constant(ir.VectorType(I64, lanes), list(range(lanes))),
        splat(builder, count, lanes),
    )
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector.as_pointer(), I32, ir.VectorType(I1, lanes), vector]),
        f"llvm.masked.load.{suffix(vector)}.p0",
    )
    zeros = ir.Constant(vector, [0 if vector.element == I64 else 0.0] * lanes)
    return builder.call(function, [builder.bitcast(pointer, vector.as_pointer()), ir.Constant(I32, align), mask, zeros])


def masked_store(builder: Any, value: Any, pointer: Any, count: Any, align: int) -> None:
    """Store the first ``count`` lanes."""
    vector = value.type
    mask = builder.icmp_signed(
        "<",
        ir.Constant(ir.VectorType(I64, vector.count), list(range(vector.count))),
        splat(builder, count, vector.count),
    )
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), I32, ir.VectorType(I1, vector.count)]),
        f"llvm.masked.store.{suffix(vector)}.p0",
    )
    builder.call(function, [value, builder.bitcast(pointer, vector.as_pointer()), ir.Constant(I32, align), mask])


def counted_loop(builder: Any, stop: Any, step: int, carried: list[Any], body: Any) -> list[Any]:
    """``for j in range(0, stop, step): carried = body(j, carried)``; runs zero times when stop <= 0."""
    before, head = builder.block, builder.append_basic_block("loop.head")
    inside, after = builder.append_basic_block("loop.body"), builder.append_basic_block("loop.end")
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(ir.Constant(I64, 0), before)
    phis = [builder.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)
    builder.position_at_end(inside)
    updated = body(index, phis)
    latch = builder.block
    index.add_incoming(builder.add(index, ir.Constant(I64, step)), latch)
    for phi, value in zip(phis, updated, strict=True):
        phi.add_incoming(value, latch)
    builder.branch(head)
    builder.position_at_end(after)
    return phis
