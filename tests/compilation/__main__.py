"""`python -m tests.compilation`: what the kernels cost, from their machine code.

python -m tests.compilation                          every kernel for the H100, in a table
python -m tests.compilation --arch sm_75             for another architecture
python -m tests.compilation --update                 write budgets.json and the table of kernels/README.md
python -m tests.compilation --try FILE -DROW=float   one file with the macros given, also outside the tree
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpuclust.engines.cuda.variants import Variant
from tests.compilation import budgets, page
from tests.compilation.compiler import ARCHITECTURES
from tests.compilation.measure import measure, measure_all
from tests.compilation.rules import faults
from tests.compilation.variants import Job, all_jobs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.compilation", description="What the kernels cost.")
    parser.add_argument("--arch", choices=ARCHITECTURES, default=page.ARCHITECTURE)
    parser.add_argument("--update", action="store_true", help="write budgets.json and the table of kernels/README.md")
    parser.add_argument("--try", dest="path", type=Path, metavar="FILE", help="compile one file")
    parser.add_argument(
        "-D", dest="macros", action="append", default=[], metavar="NAME=VALUE", help="a macro, with --try"
    )
    chosen = parser.parse_args()
    if chosen.update:
        update()
        return
    if chosen.path:
        macros = tuple((name, value) for name, _, value in (macro.partition("=") for macro in chosen.macros))
        job = Job(Variant(chosen.path.stem, macros), chosen.arch)
        measured = {job: measure(job, chosen.path.resolve().parent)}
    else:
        measured = measure_all(page.jobs_shown(chosen.arch))
    print("\n".join(page.table(measured)))
    for job, kernels in measured.items():
        for name, kernel in kernels.items():
            for fault in faults(job, kernel):
                print(f"{job} {name}: {fault}")


def update() -> None:
    """Write down what the kernels take now."""
    measured = measure_all(all_jobs())
    budgets.save(budgets.collect(measured))
    page.write({job: measured[job] for job in page.jobs_shown()})
    print(f"{len(measured)} compilations. Read the differences in {budgets.PATH} and {page.path()}.")


if __name__ == "__main__":
    main()
