"""The table of static figures in kernels/README.md, written between two marks so that it stays true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpuclust._resources import kernels_folder
from tests.compilation.compiler import capability
from tests.compilation.cubin import Kernel
from tests.compilation.measure import Job
from tests.compilation.occupancy import occupancy, resident_blocks

ARCHITECTURE = "sm_90a"  # the page's: an H100 or H200
BEGIN, END = "<!-- static figures: begin -->", "<!-- static figures: end -->"

HEADER = ["file", "kernel", "variant", "block", "registers", "shared", "blocks/SM", "occupancy", "instructions"]
COUNTED = {  # which instructions tell how a kernel does its work
    "HGMMA": r"HGMMA",
    "HMMA": r"HMMA",
    "FFMA": r"FFMA",
    "D*": r"D(ADD|MUL|FMA)",
    "load.128": r"(LDG|LDGSTS).*\.128",
    "load": r"(LDG|LDGSTS)(?!.*\.128)",
    "atomic.64": r"(RED|REDG|ATOMG)\b.*64",
    "shuffle": r"SHFL|REDUX",
}


def table(measured: Mapping[Job, Mapping[str, Kernel]]) -> list[str]:
    """Lines of Markdown, one row per kernel and variant."""
    lines = [_row(HEADER), _row(["---"] * len(HEADER))]
    for job, kernels in measured.items():
        for name, kernel in kernels.items():
            fits = (capability(job.architecture), max(kernel.max_threads, 1), kernel.registers, kernel.shared_bytes)
            counts = {says: kernel.count(pattern) for says, pattern in COUNTED.items()}
            cells = [
                job.variant.file,
                name,
                job.variant.label,
                kernel.max_threads,
                kernel.registers,
                kernel.shared_bytes,
                resident_blocks(*fits),
                f"{occupancy(*fits):.0%}",
                ", ".join(f"{count} {says}" for says, count in counts.items() if count),
            ]
            lines.append(_row(cells))
    return lines


def _row(cells: list[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def path() -> Path:
    """The page itself."""
    return kernels_folder() / "README.md"


def split(text: str) -> tuple[str, str, str]:
    """What stands before the table, the table, and what follows it."""
    before, _, rest = text.partition(BEGIN + "\n")
    present, _, after = rest.partition(END)
    return before + BEGIN + "\n", present, END + after


def write(measured: Mapping[Job, Mapping[str, Kernel]]) -> None:
    """Put the present figures into the page."""
    before, _, after = split(path().read_text(encoding="utf-8"))
    path().write_text(before + "\n".join(table(measured)) + "\n" + after, encoding="utf-8")
