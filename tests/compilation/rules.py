"""What holds for every kernel's machine code, whatever it computes."""

from __future__ import annotations

import re

from tests.compilation.cubin import Kernel
from tests.compilation.variants import Job

ATOMIC = r"(ATOM|ATOMG|ATOMS|RED|REDG)\b.*"
RULES = {
    r"LDL|STL": "local memory, for a spill or an array indexed at run time",
    ATOMIC + r"CAS": "a loop of compare-and-swap, because the atomic operation is not native",
    ATOMIC + r"\.(BF|F)(16|32|64)": "an atomic sum of floats, which depends on the order",
}

# Files whose kernels join components: compare-and-swap is what kernels/union.cuh needs, and it is native.
JOINING = ("dbscan_link", "dbscan_pairs", "dbscan_tiles")


def faults(job: Job, kernel: Kernel) -> list[str]:
    """What is wrong with a kernel, in words; empty when nothing is."""
    found = []
    for pattern, says in RULES.items():
        opcodes = sorted(opcode for opcode in kernel.opcodes if re.match(pattern, opcode))
        if opcodes and not (pattern.endswith("CAS") and job.variant.file in JOINING):
            found.append(f"{', '.join(opcodes)}: {says}")
    found += kernel.remarks
    if kernel.spill_bytes:
        found.append(f"spills {kernel.spill_bytes} bytes of registers")
    if not kernel.max_threads:
        found.append("no __launch_bounds__: without the size of a block, registers may not suffice for it")
    elif job.threads not in (None, kernel.max_threads):
        found.append(f"__launch_bounds__ of {kernel.max_threads} threads, but it is launched with {job.threads}")
    if job.resident_blocks(kernel) == 0:
        found.append(f"a block does not fit: {kernel.shared_bytes + job.shared_bytes} bytes of shared memory")
    return found
