"""A row against a run of rows that lie feature by feature."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuclust.engines.cpu.vector.ir import (
    F32,
    I64,
    counted_loop,
    float_ir,
    load_vector,
    magnitude,
    maximum,
    splat,
)

__all__ = ["RUN", "run_chebyshev", "run_euclidean", "run_manhattan"]

#: Rows that are compared at a time. So many must follow the first, if only to be ignored.
RUN = 16


def _masks(term: Any, join: Any) -> Any:
    """The code of a comparison: a ``term`` for each difference, joined in the order of the features."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        element = float_ir(sig.args[0].dtype)
        vector, align = ir.VectorType(element, RUN), 4 if element == F32 else 8
        matrix = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(matrix.shape, 1)

        def body(q: Any, totals: list[Any]) -> list[Any]:
            column = builder.gep(matrix.data, [builder.mul(q, width)])
            one = splat(builder, builder.load(builder.gep(column, [args[1]])), RUN)
            run = load_vector(builder, builder.gep(column, [args[2]]), vector, align)
            return [join(builder, totals[0], term(builder, builder.fsub(run, one)))]

        zero = ir.Constant(vector, [0.0] * RUN)
        total = counted_loop(builder, builder.extract_value(matrix.shape, 0), 1, [zero], body)[0]
        masks = [
            builder.zext(
                builder.bitcast(builder.fcmp_ordered("<=", total, splat(builder, limit, RUN)), ir.IntType(RUN)), I64
            )
            for limit in args[3:]
        ]
        return builder.or_(masks[0], builder.shl(masks[1], ir.Constant(I64, RUN)))

    return codegen


def _signature(values: Any) -> Any:
    return types.uint64(values, types.int64, types.int64, values.dtype, values.dtype)


def _square(builder: Any, value: Any) -> Any:
    return builder.fmul(value, value)


def _add(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b)


@intrinsic
def run_euclidean(typingctx, values, row, first, below, above):  # type: ignore[no-untyped-def]
    """Which of the ``RUN`` rows from ``first`` on have a squared distance to ``row`` of at most ``below``, ``above``.

    Bits from 0 on are for ``below``, from ``RUN`` on for ``above``. ``values`` (d, m) are float32 or float64, and so is
    the arithmetic.
    """
    return _signature(values), _masks(_square, _add)


@intrinsic
def run_manhattan(typingctx, values, row, first, below, above):  # type: ignore[no-untyped-def]
    """The same of manhattan distances."""
    return _signature(values), _masks(magnitude, _add)


@intrinsic
def run_chebyshev(typingctx, values, row, first, below, above):  # type: ignore[no-untyped-def]
    """The same of chebyshev distances."""
    return _signature(values), _masks(magnitude, maximum)
