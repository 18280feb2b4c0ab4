"""CUDA source to machine code, as CuPy compiles it at run time, on a machine without a driver.

`cupy.RawModule` loads what it compiles and so needs a GPU. Its compiler, NVRTC, does not: this module hands CuPy's own
options to CuPy's own binding of it.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from cupy._core import core
from cupy.cuda import compiler

# Turing to Blackwell: every generation that has the instructions we use and that CUDA 13 compiles for.
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120")

# Where two threads begin to compile at once, NVRTC 13.0 does not always find its own builtins.
_ONE_AT_A_TIME = Lock()


def capability(architecture: str) -> int:
    """80 for "sm_80", 90 for "sm_90a"."""
    return int(architecture.removeprefix("sm_").rstrip("af"))


def compile_with_nvrtc(source: str, options: Sequence[str], architecture: str) -> tuple[bytes, str]:
    """The cubin of `source`, and what the assembler says of each kernel: registers, stack frame, spills.

    Raises
    ------
    cupy.cuda.compiler.CompileException
        With the compiler's messages.
    """
    with_headers = core.assemble_cupy_compiler_options(tuple(options))
    always = ("-ftz=true", "--device-as-default-execution-space")  # CuPy's, for every compilation
    log = io.StringIO()
    with _ONE_AT_A_TIME:
        program = compiler._NVRTCProgram(source, "", method="cubin")
        cubin, _ = program.compile((*with_headers, *always, f"-arch={architecture}", "--ptxas-options=-v"), log)
    return cubin + b"\0", log.getvalue()  # CuPy cuts the last byte off, and the disassemblers miss it


def nvcc() -> str | None:
    """The path of nvcc, where there is one: users do not need it."""
    return shutil.which("nvcc")


def compile_with_nvcc(source: str, options: Sequence[str], architecture: str) -> str:
    """What nvcc says to `source`: empty when it compiles without a warning."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cu")
        path.write_text(source, encoding="utf-8")
        code = f"arch={architecture.replace('sm', 'compute')},code={architecture}"
        options = [option for option in options if not option.startswith("-arch")]
        command = [nvcc(), *options, "-ftz=true", "-gencode", code, "-cubin", "-o", f"{folder}/kernel.cubin", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr
