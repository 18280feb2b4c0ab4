"""Which instructions single kernels must have, or must not have, to do their work in the way that they are meant to."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpuclust.engines.cuda.variants import HALF, SINGLE, WARPGROUPS, Macros
from tests.compilation.compiler import capability
from tests.compilation.cubin import Kernel
from tests.compilation.variants import Job


class Expectation(NamedTuple):
    """`opcode` is there, or is not, in the kernels named, in variants that have the macros, from a capability up."""

    kernels: str
    opcode: str
    present: bool
    says: str
    macros: Macros = ()
    capability: int = 75

    def concerns(self, job: Job, kernel: str) -> bool:
        return (
            re.fullmatch(self.kernels, kernel) is not None
            and set(self.macros) <= set(job.variant.macros)
            and capability(job.architecture) >= self.capability
        )


PAIRS = "count_pairs|weigh_pairs|link_pairs|claim_pairs"
TILES = f"settle|decide|decide_sketch|gains|adopt|{PAIRS}"
WIDE = r"(LDG|LDGSTS)\b.*\.128"

EXPECTATIONS = [
    Expectation(TILES, "HMMA|HGMMA", True, "float16 tiles are for tensor cores", HALF),
    Expectation("settle", "HGMMA", True, "warpgroups multiply from shared memory", (WARPGROUPS,)),
    Expectation(TILES, "HMMA|HGMMA", False, "float32 tiles keep all digits of the products", SINGLE),
    Expectation(TILES, "FFMA", True, "float32 tiles are fused multiply-adds", SINGLE),
    Expectation(PAIRS, "DFMA", False, "canonical arithmetic is not contracted"),
    Expectation(TILES, r"LDGSTS\b.*\.128", True, "slices are copied beside the products", capability=80),
    Expectation(TILES, WIDE, True, "slices are copied 16 bytes at a time"),
    Expectation("survey|prepare_rows|add_items", WIDE, True, "rows are read 16 bytes at a time"),
    Expectation("log_joint", WIDE, True, "factors are read 16 bytes at a time"),
    Expectation(
        "add_items|add_distances|moments", r"(RED|REDG)\b.*ADD\.64", True, "integer sums are added by native atomics"
    ),
    Expectation(
        "own_distances|listed_distances|pairwise|add_items|block_totals|log_joint|moments",
        "DFMA",
        False,
        "canonical arithmetic is not contracted",
    ),
    # The root is made of them, so only where there is none.
    Expectation("add_distances", "DFMA", False, "canonical arithmetic is not contracted", (("METRIC", "1"),)),
    Expectation("count_items|list_items|plan|list_rows", "ATOMS", True, "a block counts in its shared memory"),
]


def unmet(job: Job, name: str, kernel: Kernel) -> list[str]:
    """What a kernel of a compilation lacks, or has too much, in words."""
    return [
        f"{'no' if each.present else 'has'} {each.opcode}: {each.says}"
        for each in EXPECTATIONS
        if each.concerns(job, name) and (kernel.count(each.opcode) > 0) != each.present
    ]
