"""The table of static figures in kernels/README.md, written between two marks so that it stays true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gpuclust._resources import kernels_folder
from gpuclust.engines.cuda.variants import WARPGROUPS
from gpuclust.engines.neighborhood import METRICS
from tests.compilation.compiler import capability
from tests.compilation.cubin import Kernel
from tests.compilation.occupancy import MULTIPROCESSORS, WARP
from tests.compilation.variants import WIDTH, Job, jobs

ARCHITECTURE = "sm_90a"  # the page's: an H100 or H200
BEGIN, END = "<!-- static figures: begin -->", "<!-- static figures: end -->"

HEADER = ["kernel", "threads", "registers", "shared memory", "blocks", "occupancy", "instructions in its text"]
COUNTED = {  # those that tell how a kernel does its work
    "HGMMA": "HGMMA",
    "HMMA": "HMMA",
    "FFMA": "FFMA",
    "float64": "D(ADD|MUL|FMA)",
    "wide load": r"(LDG|LDGSTS)\b.*\.128",
    "load": r"(LDG|LDGSTS)\b(?!.*\.128)",
    "64-bit atomic": r"(RED|REDG|ATOMG)\b.*64",
    "shuffle": "SHFL|REDUX",
}


def jobs_shown(architecture: str = ARCHITECTURE) -> list[Job]:
    """Those that run for float32 rows of ``WIDTH`` features."""
    return [job for job in jobs(architecture) if ("ROW", "double") not in job.variant.macros and WIDTH in job.widths]


def table(measured: Mapping[Job, Mapping[str, Kernel]]) -> list[str]:
    """Lines of Markdown, one row per kernel and variant."""
    lines = [_row(HEADER), _row(["---"] * len(HEADER))]
    for job, kernels in measured.items():
        warps = MULTIPROCESSORS[capability(job.architecture)].warps
        for name, kernel in sorted(kernels.items()):
            blocks = job.resident_blocks(kernel)
            counts = {says: kernel.count(pattern) for says, pattern in COUNTED.items()}
            cells = [
                f"{job.variant.file}.cu `{name}`{_variant(job)}",
                kernel.max_threads,
                kernel.registers,
                kernel.shared_bytes + job.shared_bytes,
                blocks,
                f"{blocks * -(-kernel.max_threads // WARP) / warps:.0%}",
                ", ".join(f"{count} {says}" for says, count in counts.items() if count),
            ]
            lines.append(_row(cells))
    return lines


def _variant(job: Job) -> str:
    macros, words = dict(job.variant.macros), []
    if "SCREEN" in macros:
        words.append(f"{macros['SCREEN'].strip('_')} screen")
    if WARPGROUPS in job.variant.macros:
        words.append("warpgroups")
    if macros.get("METRIC", "0") != "0":
        words.append(METRICS[int(macros["METRIC"])])
    if "RESIDENT" in macros:
        words.append("rows resident" if macros["RESIDENT"] == "1" else "rows streamed")
    return "".join(f", {word}" for word in words)


def _row(cells: Iterable[object]) -> str:
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
