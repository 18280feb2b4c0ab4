"""The checks catch what they are for: kernels with one planted fault each."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuclust.engines.cuda.variants import Variant
from tests.compilation.budgets import cost, excesses
from tests.compilation.compiler import ARCHITECTURES
from tests.compilation.measure import measure
from tests.compilation.occupancy import resident_blocks
from tests.compilation.rules import faults
from tests.compilation.variants import Job

PLANTED = Path(__file__).with_name("planted")


def planted(file, architecture="sm_90a"):
    return measure(Job(Variant(file), architecture), PLANTED)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_spill_is_found(architecture):
    (kernel,) = planted("spill", architecture).values()
    found = " ".join(faults(kernel))
    assert kernel.spill_bytes > 0
    assert f"spills {kernel.spill_bytes} bytes" in found
    assert "local memory" in found


def test_an_array_in_local_memory_is_found():
    (kernel,) = planted("local_array").values()
    assert kernel.spill_bytes == 0
    assert kernel.stack_bytes == 256
    assert "local memory" in " ".join(faults(kernel))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_atomic_operations_that_loop_or_depend_on_the_order_are_found(architecture):
    found = {name: " ".join(faults(kernel)) for name, kernel in planted("float_atomics", architecture).items()}
    assert "compare-and-swap" in found["shared_sum"]
    assert "compare-and-swap" in found["shared_integers"]
    assert "sum of floats" in found["global_sum"]
    assert "sum of floats" in found["double_sum"]
    assert found["global_integers"] == ""


def test_a_kernel_without_launch_bounds_is_found():
    (kernel,) = planted("unbounded").values()
    assert "no __launch_bounds__" in " ".join(faults(kernel))


def test_a_kernel_over_its_budget_or_without_one_is_found():
    kernel = planted("float_atomics")["global_integers"]
    assert excesses(kernel, cost(kernel)) == []
    assert excesses(kernel, cost(kernel) | {"registers": kernel.registers - 1}) == [
        f"registers: {kernel.registers}, the budget is {kernel.registers - 1}"
    ]
    assert "no budget" in " ".join(excesses(kernel, None))


# By NVIDIA's cuda_occupancy.h, at its largest shared memory.
@pytest.mark.parametrize(
    ("capability", "threads", "registers", "shared_bytes", "blocks"),
    [
        (75, 256, 64, 0, 4),  # registers
        (80, 256, 32, 0, 8),  # warps
        (80, 32, 16, 0, 32),  # blocks
        (86, 128, 40, 48000, 2),  # shared memory
        (89, 96, 79, 0, 8),
        (90, 160, 168, 0, 2),
        (90, 256, 128, 100000, 2),
        (100, 1024, 64, 0, 1),
        (100, 256, 255, 200000, 1),
        (120, 256, 16, 100000, 1),
        (120, 256, 16, 101377, 0),  # more than a block may ask for
    ],
)
def test_occupancy(capability, threads, registers, shared_bytes, blocks):
    assert resident_blocks(capability, threads, registers, shared_bytes) == blocks
