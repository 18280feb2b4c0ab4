"""What the device leaves undefined, and what a launch must not be given, is an error that names the place."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.emulation import EmulationError, Module

MISUSES = {
    "part of a block at a barrier": (
        "if (threadIdx.x < 32) __syncthreads();",
        r"barrier: __syncthreads at misuse\.cu:4 (while other threads of the block exit|after 32 threads)",
    ),
    "a barrier after threads have gone": (
        "if (threadIdx.x == 3) return;\n__syncthreads();",
        r"barrier: __syncthreads at misuse\.cu:5 (after 1 threads|while other threads)",
    ),
    "two barriers": (
        "if (threadIdx.x < 32) __syncthreads();\nelse __syncthreads();",
        r"different __syncthreads \(misuse\.cu:[45] and misuse\.cu:[45]\)",
    ),
    "a lane outside its mask": (
        "out[0] = __shfl_sync(1u, 1, 0);",
        r"warp: lane \d+ is not in its own mask 00000001 \(__shfl_sync at misuse\.cu:4\)",
    ),
    "a lane that has gone": (
        "if (threadIdx.x == 3) return;\nout[0] = __any_sync(~0u, 1);",
        r"warp: (mask ffffffff names lanes that have exited|a lane exits while) .*any_sync at misuse\.cu:5\)",
    ),
    "different collectives": (
        "if (threadIdx.x % 2) out[0] = __any_sync(~0u, 1);\nelse out[1] = __ballot_sync(~0u, 1);",
        r"lanes meet in different collectives \(__\w+ at misuse\.cu:[45] and __\w+ at misuse\.cu:[45]\)",
    ),
    "one collective in two places": (
        "if (threadIdx.x % 2) out[0] = __any_sync(~0u, 1);\nelse out[1] = __any_sync(~0u, 1);",
        r"lanes meet in different collectives",
    ),
    "waiting for each other": (
        "if (threadIdx.x < 32) emulation::barrier_sync(1, 96);\nelse emulation::barrier_sync(2, 64);",
        r"deadlock: 32 threads wait in a named barrier at misuse\.cu:4; 32 .* in a named barrier at misuse\.cu:5",
    ),
    "a barrier and a shuffle": (
        "if (threadIdx.x % 2) __syncthreads();\nelse __syncwarp();",
        r"deadlock: 32 threads wait in __syncthreads at misuse\.cu:4; 32 threads wait in __syncwarp at misuse\.cu:5",
    ),
    "copies never waited for": (
        "__shared__ int cell[4];\nemulation::cp_async<4>(cell, out);\nemulation::cp_async_commit();",
        r"cp\.async: a thread exits while copies are pending",
    ),
    "a misaligned copy": (
        "__shared__ __align__(16) int cell[8];\nemulation::cp_async<16>(cell, out + 1);",
        r"cp\.async of 16 bytes from or to a misaligned address \(misuse\.cu:5\)",
    ),
    "a trap": ("__trap();", r"__trap\(\) at misuse\.cu:4"),
    "a null pointer": (
        "out = nullptr;\nout[threadIdx.x] = 1;",
        r"fault: .* in block \(0, 0, 0\), thread \(\d+, 0, 0\)",
    ),
    "a division by zero": ("out[1] = 7 / out[0];", "fault: an integer division by zero"),
    "too much static shared memory": (
        "__shared__ int cell[12289];\ncell[threadIdx.x] = 1;",
        "more than 48 KB of static __shared__ arrays",
    ),
}


@cache
def misuse(name: str, order: str) -> Any:
    code = f'extern "C" __global__ void misuse(int* __restrict__ out)\n{{\n\n{MISUSES[name][0]}\n}}\n'
    return Module("misuse", order=order, code=code).get_function("misuse")


@pytest.mark.parametrize("order", ["fifo", "lifo"])
@pytest.mark.parametrize("name", MISUSES)
def test_what_is_undefined_on_the_device_is_an_error(name, order):
    launch, out = misuse(name, order), np.zeros(64, np.int32)
    with pytest.raises(EmulationError, match=MISUSES[name][1]):
        launch((1,), (64,), (out,))
    sound(order)((1,), (64,), (out,))  # the next launch is not harmed
    np.testing.assert_array_equal(out, 1)


@cache
def sound(order: str) -> Any:
    return module("int* out", "out[threadIdx.x] = __syncthreads_and(1);", order=order)


def module(parameters: str, body: str, before: str = "", **options: Any) -> Any:
    """A kernel of these parameters."""
    code = f'{before}extern "C" __global__ void kernel({parameters}) {{ {body} }}'
    return Module("kernel", code=code, **options).get_function("kernel")


@cache
def typed() -> Any:
    return module(
        "const float* x, double* y, int n, float a, unsigned long long u, bool flag, const void* raw,"
        " const float4* quads, unsigned* bits",
        "if (y) y[0] = n + a + u + flag + (x ? x[0] : 0);",
    )


GOOD = {
    "x": np.ones(3, np.float32),
    "y": np.zeros(3),
    "n": np.int32(2),
    "a": np.float32(0.5),
    "u": np.uint64(8),
    "flag": np.bool_(True),
    "raw": np.zeros(3, np.int16),
    "quads": np.zeros((2, 4), np.float32),
    "bits": np.zeros(2, np.int32),
}


def launch(**changes: Any) -> None:
    typed()((1,), (1,), tuple({**GOOD, **changes}.values()))


def test_arguments_arrive():
    launch()
    assert GOOD["y"][0] == 2 + 0.5 + 8 + 1 + 1
    launch(x=None, u=np.int64(9))
    assert GOOD["y"][0] == 2 + 0.5 + 9 + 1
    launch(x=np.uintp(GOOD["quads"].ctypes.data), raw=np.zeros(12, np.uint8), bits=np.zeros(8, np.uint8))


read_only = np.zeros(3)
read_only.flags.writeable = False


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n": 2}, TypeError, r"argument 2 \(integer of 4 bytes\): a NumPy scalar, not int"),
        ({"a": 0.5}, TypeError, r"argument 3 \(floating of 4 bytes\): a NumPy scalar, not float"),
        ({"flag": True}, TypeError, r"argument 5 \(bool of 1 bytes\): a NumPy scalar, not bool"),
        ({"n": np.int64(2)}, TypeError, "argument 2 .*: a int64 given"),
        ({"n": np.float32(2)}, TypeError, "argument 2 .*: a float32 given"),
        ({"a": np.float64(2)}, TypeError, "argument 3 .*: a float64 given"),
        ({"n": np.zeros(1, np.int32)}, TypeError, "argument 2 .*: a NumPy scalar, not ndarray"),
        ({"n": None}, TypeError, "argument 2 .*: a NumPy scalar, not NoneType"),
        ({"x": np.float32(1)}, TypeError, r"argument 0 \(pointer to const floating of 4 bytes\): an array"),
        ({"x": [1.0, 2.0]}, TypeError, "argument 0 .*: an array, a NumPy address or None, not list"),
        ({"x": np.zeros(3)}, TypeError, "argument 0 .*: an array of float64 given"),
        ({"x": np.zeros(3, np.int32)}, TypeError, "argument 0 .*: an array of int32 given"),
        ({"y": np.zeros(3, np.float32)}, TypeError, "argument 1 .*: an array of float32 given"),
        ({"x": np.zeros((3, 4), np.float32).T}, ValueError, "argument 0 .*: the array is not C-contiguous"),
        ({"x": np.zeros(5, np.float32)[::2]}, ValueError, "argument 0 .*: the array is not C-contiguous"),
        ({"y": read_only}, ValueError, r"argument 1 \(pointer to floating of 8 bytes\): the array is read-only"),
        ({"x": np.zeros(9, np.uint8)[1:]}, ValueError, "argument 0 .*: the array is not aligned to 4 bytes"),
    ],
)
def test_arguments_that_the_kernel_does_not_take(changes, error, message):
    with pytest.raises(error, match=message):
        launch(**changes)


def test_the_number_of_arguments():
    with pytest.raises(TypeError, match="kernel takes 9 arguments, 1 given"):
        typed()((1,), (1,), (np.zeros(3),))


@pytest.mark.parametrize(
    ("grid", "block", "shared", "error", "message"),
    [
        ((1,), (65,), 0, EmulationError, "65 threads in a block, at most 64 may be"),
        ((1,), (5, 5, 5), 0, EmulationError, "125 threads in a block, at most 64"),
        ((0,), (1,), 0, ValueError, r"grid=\(0,\): every size is from 1"),
        ((1,), (-1,), 0, ValueError, "block=.*: every size is from 1"),
        ((1.0,), (1,), 0, TypeError, "grid=.*: a tuple of one to three integers"),
        (1, (1,), 0, TypeError, "grid=1: a tuple of one to three integers"),
        ((1, 1, 1, 1), (1,), 0, TypeError, "one to three"),
        ((1,), (1,), 1001, EmulationError, "1001 bytes of dynamic shared memory, over the limit of 1000"),
        ((1,), (1,), 997, EmulationError, "1001 bytes of shared memory, over the limit of 1000"),
    ],
)
def test_the_shape_of_a_launch(grid, block, shared, error, message):
    code = 'extern "C" __global__ void __launch_bounds__(32 * (1 + 1), 2) k(int*) { __shared__ int i; i = 0; }'
    launch = Module("bounded", code=code, shared_limit=1000).get_function("k")
    with pytest.raises(error, match=message):
        launch(grid, block, (None,), shared_mem=shared)
    launch((1,), (64,), (None,), shared_mem=996)


def test_no_block_has_more_than_1024_threads():
    with pytest.raises(EmulationError, match="1056 threads in a block, at most 1024"):
        sound("fifo")((1,), (33, 32), (np.zeros(1, np.int32),))


def test_options_are_checked():
    with pytest.raises(ValueError, match=re.escape("order='last': one of ['fifo', 'lifo', 'random']")):
        Module("k", code="", order="last")
    with pytest.raises(ValueError, match="sanitizer='msan': one of"):
        Module("k", code="", sanitizer="msan")
    with pytest.raises(EmulationError, match="sanitizer='tsan' must be loaded before Python"):
        Module("k", code="", sanitizer="tsan")
    with pytest.raises(EmulationError, match=re.escape("kernel has no kernel 'other', only ['kernel']")):
        sound("fifo").module.get_function("other")
    with pytest.raises(FileNotFoundError, match="nowhere: no such file, nor in "):
        Module("nowhere")
