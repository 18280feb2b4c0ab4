"""The door to FAISS: loaded when it is first needed, with as many threads as the CPU engine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from gpuclust._cancel import checkpoint
from gpuclust.engines.cpu.threads import n_threads
from gpuclust.errors import FallbackWarning, MissingDependencyError

__all__ = ["faiss_library", "has_gpu", "searching", "warn_once"]


def faiss_library() -> Any:
    """The module ``faiss``.

    Raises
    ------
    MissingDependencyError
        No build of it is installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError(
            "neighbours are searched by FAISS, which cannot be imported: pip install 'gpuclust[cpu]', or "
            f"'gpuclust[cuda12]' for a GPU, never both ({error})."
        ) from error
    return faiss


def has_gpu(faiss: Any) -> bool:
    """Whether this build of FAISS can use a GPU, and finds one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


@contextmanager
def searching(work: int) -> Iterator[Any]:
    """Yield ``faiss``, which uses numba's number of threads in this block, or fewer for little ``work``.

    Work is counted in multiplications. OpenMP's threads spin while they wait: on cores that others use too, a loop too
    short for two threads takes a hundred times longer with two. A cancelled job ends before the block.
    """
    checkpoint()
    faiss = faiss_library()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(max(1, min(n_threads(), work // _WORK)))
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)


# Some milliseconds of one thread.
_WORK = 1 << 26

_unsaid = Lock()  # taken, for good, by the one warning of this process


def warn_once(faiss: Any) -> None:
    """Say that FAISS searches on the CPU although the rows lie on a GPU, and why."""
    if _unsaid.acquire(blocking=False):
        cause = (
            "it finds no GPU that it can use"
            if hasattr(faiss, "StandardGpuResources")
            else "it was built for the CPU alone; faiss-cpu and faiss-gpu exclude each other: pip uninstall faiss-cpu, "
            "then install gpuclust[cuda12]"
        )
        warnings.warn(
            f"FAISS {faiss.__version__} searches neighbours on the CPU, the rest runs on the GPU: {cause}. "
            "Results are the same.",
            FallbackWarning,
            stacklevel=2,
        )
