"""The kernels of compilations, as their machine code has them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpuclust.engines.cuda.source import kernel_source
from tests.compilation.compiler import compile_with_nvrtc
from tests.compilation.cubin import Kernel, read_kernels
from tests.compilation.variants import Job


def measure(job: Job, folder: Path | None = None) -> dict[str, Kernel]:
    """The kernels of one compilation, by name; `folder` is where its file lies, if not among the kernels."""
    source = kernel_source(job.variant.file, folder)
    return read_kernels(*compile_with_nvrtc(source, job.variant.options, job.architecture))


def measure_all(jobs: Iterable[Job]) -> dict[Job, dict[str, Kernel]]:
    """The kernels of many compilations. While NVRTC, which does one at a time, compiles, others are disassembled."""
    jobs = list(jobs)
    with ThreadPoolExecutor() as pool:
        return dict(zip(jobs, pool.map(measure, jobs), strict=True))
