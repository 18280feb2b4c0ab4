"""Every compilation of the kernels, and what each kernel costs in it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gpuclust.engines.cuda.source import kernel_source
from gpuclust.engines.cuda.variants import VARIANTS, Variant
from tests.compilation.compiler import ARCHITECTURES, capability, compile_with_nvrtc
from tests.compilation.cubin import Kernel, read_kernels


class Job(NamedTuple):
    """One variant of a kernel file, for one architecture."""

    variant: Variant
    architecture: str

    def __str__(self) -> str:
        return f"{self.variant.file} [{self.variant.label}] {self.architecture}"


def all_jobs(architectures: Iterable[str] = ARCHITECTURES) -> list[Job]:
    """The variants that each architecture is capable of."""
    return [
        Job(variant, architecture)
        for variant in VARIANTS
        for architecture in architectures
        if capability(architecture) >= variant.capability
    ]


def measure(job: Job, folder: Path | None = None) -> dict[str, Kernel]:
    """The kernels of one compilation, by name."""
    source = kernel_source(job.variant.file, folder)
    return read_kernels(*compile_with_nvrtc(source, job.variant.options, job.architecture))


def measure_all(jobs: Iterable[Job]) -> dict[Job, dict[str, Kernel]]:
    """The kernels of many compilations. While NVRTC, which does one at a time, compiles, others are disassembled."""
    jobs = list(jobs)
    with ThreadPoolExecutor() as pool:
        return dict(zip(jobs, pool.map(measure, jobs), strict=True))
