"""Runs CUDA kernels on the CPU, where there is no GPU, and a stand-in for CuPy that does so.

`Module` builds a `.cu` file with g++: `device/` holds the CUDA dialect as headers, `runtime/` the scheduler, in which
every CUDA thread is a fiber. `EmulatedCuPy` takes CuPy's place in the CUDA engine. `sanitized` runs a case of a test
under AddressSanitizer, UndefinedBehaviorSanitizer or ThreadSanitizer.

    settle = Module("assign", {"ROW": "float", "SCREEN": "float", "SCREEN_HALF": 0}).get_function("settle")
    settle((2,), (256,), (rows, np.int32(width), ..., None), shared_mem=4096)

    engine = CudaEngine(..., xp=EmulatedCuPy(n_multiprocessors=2))

    @pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
    def test_settle_is_clean(sanitizer):
        sanitized(sanitizer, settle_case, n=300, k=7)  # a function at the top level of the test file

Who finds what is the table in tests/kernels/test_detectors.py.

**In a kernel.** `GPUCLUST_EMULATED` is defined. Emulated bodies of PTX have in namespace `emulation`:
`gather(mask, value)` (what every lane of the mask holds), `current->lane`, `cp_async<bytes>(to, from, valid)`,
`cp_async_commit()`, `cp_async_wait(keep)`, `cp_async_wait_all()`, `barrier_sync(id, threads)`,
`barrier_arrive(id, threads)`, and `load`, `store` for volatile and relaxed accesses. Kernels are compiled without
contraction: float64 results are IEEE's bit for bit.

**What is an error** (and undefined on the device): lanes that meet in different places, masks that name lanes which
have exited, a barrier that part of a block does not reach, copies and products never waited for, operands of products
that change or are not fenced, deadlock, memory faults. Shared memory begins as NaN, local variables as a pattern,
device memory of the stand-in as 0xCB. Arguments are checked against the kernel's parameters.

**Limits.**
- x86-64 with g++ 12 or newer. Warps do not run in lockstep: lanes move apart until they meet in a collective, as they
  may since Volta, so code that counts on lockstep fails here as it should.
- Threads change only where they wait, at atomics and fences (with `yields`), and at `__nanosleep`. A race between plain
  loads and stores without any of these gives right results in every order: TSan finds it.
- A spin loop hangs that waits for a block which is not resident, or that never lets others run.
- To TSan all fences are one, and threads that ended long ago (512 others since) are forgotten. It takes a megabyte
  and half a millisecond for each thread of a launch: keep such cases small.
- Denormals are kept, where CuPy's `-ftz=true` flushes those of float32. Approximate functions (`rsqrtf`,
  `__fdividef`) are exact to rounding. Of wgmma there is m64n128k16 (`device/wgmma.h`). `__activemask`, clusters, TMA,
  textures, cooperative groups and bfloat16 are missing.
- Shared memory is declared inside functions: `__shared__ T a[2][3], b;`, `extern __shared__ T name[];`. Kernels are
  `extern "C" __global__ void [__launch_bounds__(...)] name(...)`.
"""

from pathlib import Path

from .build import EmulationError
from .cupy import EmulatedCuPy
from .module import Function, Module
from .sanitize import Unclean, sanitized

__all__ = ["SUBJECTS", "EmulatedCuPy", "EmulationError", "Function", "Module", "Unclean", "sanitized"]

SUBJECTS = Path(__file__).parent / "subjects"
