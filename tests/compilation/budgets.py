"""The budgets of registers and memory: read, written, and compared with what the kernels take.

A budget is what a kernel took when somebody last looked at it: `python -m tests.compilation --update` writes them, and
the difference shows in review. They hold for the compiler of constraints.txt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from tests.compilation.cubin import Kernel
from tests.compilation.variants import Job

PATH = Path(__file__).with_name("budgets.json")

Budget = dict[str, int]
Budgets = dict[str, dict[str, Budget]]  # by compilation, then by kernel


def cost(job: Job, kernel: Kernel) -> Budget:
    """The figures that are budgeted."""
    return {
        "registers": kernel.registers,
        "stack_bytes": kernel.stack_bytes,
        "shared_bytes": kernel.shared_bytes + job.shared_bytes,
    }


def excesses(job: Job, kernel: Kernel, budget: Budget | None) -> list[str]:
    """What a kernel takes beyond its budget, in words; empty when it keeps to it."""
    if budget is None:
        return ["has no budget: look at its figures, then run `python -m tests.compilation --update`"]
    taken = cost(job, kernel)
    return [f"{name}: {taken[name]}, the budget is {budget[name]}" for name in taken if taken[name] > budget[name]]


def collect(measured: Mapping[Job, Mapping[str, Kernel]]) -> Budgets:
    """Budgets that fit the kernels exactly."""
    return {
        str(job): {name: cost(job, kernel) for name, kernel in kernels.items()} for job, kernels in measured.items()
    }


def load() -> Budgets:
    """The budgets of the tree."""
    return json.loads(PATH.read_text(encoding="utf-8"))


def save(budgets: Budgets) -> None:
    """Write them, one line per kernel."""
    innermost = re.compile(r"\{[^{}]+\}")
    text = innermost.sub(lambda braces: " ".join(braces[0].split()), json.dumps(budgets, indent=1, sort_keys=True))
    PATH.write_text(text + "\n", encoding="utf-8")
