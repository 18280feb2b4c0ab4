"""Builds kernels with g++, and remembers what it built.

A build is a shared library in a cache folder, named by a hash of everything that goes into it: the kernel's text, the
emulator's sources, the flags, the compiler. The folder is `$GPUCLUST_EMULATION_CACHE`, or one per user under the
system's temporary folder. Processes may build at the same time: a library appears under its name only once complete.
"""

import functools
import hashlib
import os
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

__all__ = ["SANITIZERS", "EmulationError", "build", "cache_folder"]

HERE = Path(__file__).parent
SANITIZERS = {
    "": (),
    "asan": ("-fsanitize=address", "-fno-omit-frame-pointer"),
    # Beyond the usual set: a conversion that overflows saturates on the device and does not on the host.
    "ubsan": ("-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"),
    "tsan": ("-fsanitize=thread",),
}
FLAGS = (
    "-std=c++17",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # a fused multiply-add only where the kernel writes one, as with nvcc -fmad=false
    "-fno-strict-aliasing",  # kernels load ints and floats as float4
    "-ftrivial-auto-var-init=pattern",  # an uninitialised local shows
    "-g1",
    "-ftrack-macro-expansion=0",  # shorter messages
)
WARNINGS = ("-Wall", "-Wno-unknown-pragmas", "-Wno-unused", "-Wno-maybe-uninitialized")


class EmulationError(RuntimeError):
    """A kernel did not compile, or its launch failed."""


def build(text: str, name: str, defines: Mapping[str, object], sanitizer: str) -> Path:
    """The shared library of a kernel file's translated text."""
    if sanitizer not in SANITIZERS:
        raise ValueError(f"sanitizer={sanitizer!r}: one of {sorted(SANITIZERS)}")
    flags = (*FLAGS, *WARNINGS, *_machine_flags(), *SANITIZERS[sanitizer], "-O1" if sanitizer else "-O2")
    macros = [f"-D{macro}" if value is None else f"-D{macro}={value}" for macro, value in defines.items()]
    headers = (f"-I{HERE / 'device'}", "-include", "emulation.h")
    command = ("-shared", *flags, *headers, *macros, "-x", "c++", "-", "-x", "none", str(_runtime()))
    key = _hash(text, _sources("device"), repr(command), _compiler())
    return _cached(f"{name}-{sanitizer or 'plain'}-{key}.so", command, text)


def cache_folder() -> Path:
    """Where builds are kept: nobody else's folder, because what lies there is run."""
    named = os.environ.get("GPUCLUST_EMULATION_CACHE")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"gpuclust-emulation-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: set GPUCLUST_EMULATION_CACHE")
    return folder


@functools.cache
def _runtime() -> Path:
    """The scheduler as one object file, never instrumented: the sanitizers are told what it does."""
    files = sorted((HERE / "runtime").glob("*.cpp"))
    command = ("-r", "-nostdlib", *map(str, files), "-O2", *FLAGS, "-Wall", "-Wextra")
    interface = [(HERE / "device" / name).read_text() for name in ("runtime.h", "launch.h")]
    key = _hash(_sources("runtime"), *interface, repr(command), _compiler())
    return _cached(f"runtime-{key}.o", command, "")


def _cached(name: str, command: tuple[str, ...], source: str) -> Path:
    target = cache_folder() / name
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        unfinished = Path(folder) / name
        command = ("g++", *command, "-o", str(unfinished))
        done = subprocess.run(command, input=source, text=True, capture_output=True, env=_unsanitized())
        if done.returncode:
            raise EmulationError(f"{name} does not compile:\n{done.stderr}by {' '.join(command)}")
        if done.stderr.strip():
            warnings.warn(f"{name}: {done.stderr}", stacklevel=4)
        unfinished.replace(target)
    return target


def _unsanitized() -> dict[str, str]:
    """The environment without the sanitizer's runtime, which is for Python and not for g++."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _sources(folder: str) -> str:
    return "\0".join(path.read_text() for path in sorted((HERE / folder).iterdir()))


@functools.cache
def _compiler() -> str:
    try:
        return subprocess.run(["g++", "--version"], text=True, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise EmulationError("g++ was not found: kernels are checked on the CPU by compiling them with it") from None


@functools.cache
def _machine_flags() -> tuple[str, ...]:
    """Hardware fma and half conversions where there are any: the results are the same without, only slower."""
    words = Path("/proc/cpuinfo").read_text().split()
    return ("-march=x86-64-v3",) if {"avx2", "bmi2", "fma", "f16c", "movbe"} <= set(words) else ()
