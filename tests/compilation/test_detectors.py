"""The checks catch what they are for: kernels with one planted fault each."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuclust.engines.cuda.variants import HALF, Variant
from tests.compilation.budgets import cost, excesses
from tests.compilation.expectations import unmet
from tests.compilation.measure import measure
from tests.compilation.occupancy import resident_blocks
from tests.compilation.rules import faults
from tests.compilation.variants import Job

PLANTED = Path(__file__).with_name("planted")
SOME = ("sm_75", "sm_90a", "sm_120")


def planted(file, architecture="sm_90a"):
    """What is wrong with each kernel of a planted file, and the kernels."""
    job = Job(Variant(file), architecture)
    kernels = measure(job, PLANTED)
    return {name: " ".join(faults(job, kernel)) for name, kernel in kernels.items()}, kernels


@pytest.mark.parametrize("architecture", SOME)
def test_a_spill_is_found(architecture):
    found, kernels = planted("spill", architecture)
    assert kernels["spill"].spill_bytes > 0
    assert f"spills {kernels['spill'].spill_bytes} bytes" in found["spill"]
    assert "local memory" in found["spill"]


def test_products_of_warpgroups_that_wait_for_each_other_are_found():
    found, _ = planted("serialized")
    assert "(C7514)" in found["serialized"]


def test_an_array_in_local_memory_is_found():
    found, kernels = planted("local_array")
    assert kernels["local_array"].spill_bytes == 0
    assert kernels["local_array"].stack_bytes == 256
    assert "local memory" in found["local_array"]


@pytest.mark.parametrize("architecture", SOME)
def test_atomic_operations_that_loop_or_depend_on_the_order_are_found(architecture):
    found, _ = planted("float_atomics", architecture)
    assert "compare-and-swap" in found["shared_sum"]
    assert "compare-and-swap" in found["shared_integers"]
    assert "sum of floats" in found["global_sum"]
    assert "sum of floats" in found["double_sum"]
    assert found["global_integers"] == ""


def test_a_launch_that_the_kernel_is_not_compiled_for_is_found():
    found, _ = planted("unbounded")
    assert "no __launch_bounds__" in found["unbounded"]
    (kernel,) = planted("spill")[1].values()
    assert "launched with 256" in " ".join(faults(Job(Variant("spill"), "sm_90a", threads=256), kernel))


def test_a_block_that_does_not_fit_is_found():
    (kernel,) = planted("local_array")[1].values()
    job = Job(Variant("local_array"), "sm_75", shared_bytes=64 * 1024)
    assert "does not fit" not in " ".join(faults(job, kernel))
    assert "does not fit: 65540 bytes" in " ".join(faults(job._replace(shared_bytes=64 * 1024 + 4), kernel))


def test_a_kernel_without_the_instructions_that_it_is_for_is_found():
    kernel = planted("float_atomics")[1]["global_integers"]
    assert unmet(Job(Variant("settle", HALF), "sm_90a"), "settle", kernel)[0].startswith("no HMMA|HGMMA")
    assert unmet(Job(Variant("settle", HALF), "sm_90a"), "unknown", kernel) == []


def test_a_kernel_over_its_budget_or_without_one_is_found():
    kernel, job = planted("float_atomics")[1]["global_integers"], Job(Variant("float_atomics"), "sm_90a")
    budget = cost(job, kernel)
    assert excesses(job, kernel, budget) == []
    assert excesses(job, kernel, budget | {"registers": kernel.registers - 1}) == [
        f"registers: {kernel.registers}, the budget is {kernel.registers - 1}"
    ]
    assert excesses(job._replace(shared_bytes=8), kernel, budget) == ["shared_bytes: 8, the budget is 0"]
    assert "no budget" in " ".join(excesses(job, kernel, None))


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
