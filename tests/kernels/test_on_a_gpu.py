"""Kernel tests on a GPU (`--kernels=gpu`): what a launch does with their arguments, tried on the stand-in for CuPy."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emulation import EmulatedCuPy
from tests.emulation.gpu import GpuModule

ROOT = Path(__file__).parents[2]
# Adds 1 to n `values` that begin at a multiple of 16 bytes, otherwise 2; and 100 to `other`, where it is not null.
# With n = 0 it says whether `other` is null.
SOURCE = """
extern "C" __global__ void add(unsigned* values, int n, unsigned* other) {
  const unsigned more = reinterpret_cast<unsigned long long>(values) % 16 ? 2 : 1;
  const int i = threadIdx.x;
  if (i < n) values[i] += more;
  if (i == 0 && n == 0) values[0] = other == nullptr;
  if (i == 0 && n && other != nullptr) other[0] += 100;
}
"""


@pytest.fixture
def add(tmp_path: Path) -> Any:
    (tmp_path / "add.cu").write_text(SOURCE)
    kernel = GpuModule(EmulatedCuPy(asynchronous=True), tmp_path / "add.cu").get_function("add")
    return functools.partial(kernel, (1,), (32,))


def test_arrays_are_written_in_place(add: Any) -> None:
    values = np.arange(5, dtype=np.uint32)
    add((values, np.int32(5), None))
    assert values.tolist() == [1, 2, 3, 4, 5]
    records = np.zeros(2, [("a", "<u4"), ("b", "<u4")])
    add((records, np.int32(3), None))
    assert records.tolist() == [(1, 1), (1, 0)]


def test_views_share_memory_and_keep_their_alignment(add: Any) -> None:
    values = np.zeros(9, np.uint32)
    add((values[1:], np.int32(3), values[2:].view(np.float32)))
    assert values.tolist() == [0, 2, 102, 2, 0, 0, 0, 0, 0]


def test_read_only_arrays_stay(add: Any) -> None:
    values = np.zeros(4, np.uint32)
    values.flags.writeable = False
    add((values, np.int32(4), None))
    assert not values.any()


def test_an_empty_array_is_no_null_pointer(add: Any) -> None:
    is_null = np.full(1, 7, np.uint32)
    for other, expected in ((None, 1), (np.zeros(0, np.uint32), 0)):
        add((is_null, np.int32(0), other))
        assert is_null[0] == expected


def test_what_cupy_would_take_for_something_else(add: Any) -> None:
    with pytest.raises(TypeError, match="argument 1: an array, a NumPy scalar or None, not int"):
        add((np.zeros(1, np.uint32), 1, None))


@pytest.mark.parametrize(
    ("machine", "options", "shared_memory", "reason"),
    [
        ({}, {"order": "random"}, 0, "order='random'"),
        ({}, {"sanitizer": "tsan"}, 0, "tsan watches the emulator"),
        ({"capability": (7, 5)}, {"defines": {"SCREEN_HALF": 1}}, 0, "need compute capability 8.0"),
        ({"capability": (7, 5)}, {}, 100_000, "100000 bytes of shared memory, of which this GPU has 65536"),
    ],
)
def test_what_a_gpu_cannot_do_is_skipped(tmp_path, machine, options, shared_memory, reason) -> None:
    (tmp_path / "add.cu").write_text(SOURCE)
    with pytest.raises(pytest.skip.Exception, match=reason):
        kernel = GpuModule(EmulatedCuPy(**machine), tmp_path / "add.cu", **options).get_function("add")
        kernel((1,), (32,), (np.zeros(1, np.uint32), np.int32(1), None), shared_mem=shared_memory)


def test_kernel_tests_run_that_way() -> None:
    """One file by the option; orders of threads and the sanitizer are skipped, the rest passes."""
    files = ["tests/kernels/test_total.py", "tests/kernels/test_on_a_gpu.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kernels=stand-in", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for reason in ("order='random': a GPU runs threads in an order of its own", "about the emulator itself"):
        assert reason in done.stdout
    assert " passed" in done.stdout.splitlines()[-1]
