"""How CUDA text is read for the emulator, and how builds are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.emulation import EmulationError, Module, build
from tests.emulation.source import kernel_names, translated

ROOT = Path(__file__).parents[2]


def body(declaration: str) -> str:
    """What stands in a function for a declaration."""
    text = translated(f"__device__ void f() {{\n{declaration}\n}}")
    return text.split("{\n", 1)[1].rsplit("\n}", 1)[0]


@pytest.mark.parametrize(
    ("declaration", "types"),
    [
        ("__shared__ int total;", ["int"]),
        ("__shared__ float tile[32][TILE + 1];", ["float [32][TILE + 1]"]),
        ("__shared__ __align__(16) float a[4], b[N][2];", ["float [4]", "float [N][2]"]),
        ("__align__(16) __shared__ unsigned long long keys[N];", ["unsigned long long [N]"]),
        ("static __shared__ alignas(8) const Pair<int, float> pairs[2];", ["const Pair<int, float> [2]"]),
        ("__shared__ float tile[\n  32];", ["float [ 32]"]),
    ],
)
def test_static_shared_memory(declaration, types):
    text = body(declaration)
    assert text.count("\n") == declaration.count("\n")
    found = [piece.split(">(&")[0] for piece in text.split("static_shared<")[1:]]
    assert [" ".join(kind.split()) for kind in found] == types


def test_dynamic_shared_memory():
    for declaration in (
        "extern __shared__ __align__(128) unsigned char raw[];",
        "extern __shared__ unsigned char raw[ ];",
    ):
        assert body(declaration) == "unsigned char* const raw = ::emulation::dynamic_shared<unsigned char>();"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("void f() {\n  __shared__ float *p;\n}", "line 2: a __shared__ declaration that the emulator does not know"),
        (
            '#line 7 "a.cuh"\n{\n__shared__ int a = 3;\n}',
            "a.cuh:8: a __shared__ declaration that the emulator does not know",
        ),
        ("void f() {\n  extern __shared__ int a[3];\n}", "line 2: dynamic shared memory is"),
        ("\n\nextern __shared__ int a[];", "line 3: declare shared memory inside the function"),
        ('\nextern "C" __global__ int k() {}', "line 2: a kernel is"),
    ],
)
def test_what_it_cannot_read(text, message):
    with pytest.raises(ValueError, match=message):
        translated(text)


KERNELS = """
/* extern "C" __global__ void commented() {} */ // extern "C" __global__ void out() {}
const char* text = "// not a comment /* nor this";
extern "C" __global__ void declared(int);
extern "C" __global__ void __launch_bounds__((32 + 32) * 2, 1)
    first(const int* a,  // one
          int b) {}
#if SECOND
extern "C" __global__ __launch_bounds__(64) void second(int* a) { *a = __LINE__; }
#endif
"""


def test_kernels_are_found_where_they_are_compiled():
    assert kernel_names(KERNELS) == ["first", "second"]
    without = Module("k", {"SECOND": 0}, code=KERNELS)
    assert without.get_function("first").max_threads == 128
    with pytest.raises(EmulationError, match="no kernel 'second'"):
        without.get_function("second")
    second = Module("k", {"SECOND": 1}, code=KERNELS).get_function("second")
    line = np.zeros(1, np.int32)
    second((1,), (1,), (line,))
    assert (line[0], second.max_threads) == (9, 64)


def test_a_compile_error_names_file_and_line():
    with pytest.raises(EmulationError, match=r"broken\.cu:2:\d+: error: 'unknown' was not declared|broken\.cu:2"):
        Module("broken", code="void f()\n{ unknown(); }")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLUST_EMULATION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_build_is_kept_until_something_changes(cache, monkeypatch):
    code = 'extern "C" __global__ void k(int* a) { *a = VALUE; }'

    def value(define: int) -> int:
        out = np.zeros(1, np.int32)
        Module("kept", {"VALUE": define}, code=code).get_function("k")((1,), (1,), (out,))
        return int(out[0])

    assert value(3) == 3
    first = {path.name: path.stat().st_mtime_ns for path in cache.iterdir() if path.name.startswith("kept")}
    assert len(first) == 1
    assert (value(3), value(4)) == (3, 4)
    after = {path.name: path.stat().st_mtime_ns for path in cache.iterdir() if path.name.startswith("kept")}
    assert len(after) == 2
    assert first.items() <= after.items()


def test_processes_may_build_the_same_at_once(cache):
    cache.mkdir()
    shutil.copy(build._runtime(), cache)  # which would take seconds
    program = (
        "import numpy as np\nfrom tests.emulation import Module\nout = np.zeros(1, np.int32)\n"
        "module = Module('same', code='extern \"C\" __global__ void k(int* a) { *a = 5; }')\n"
        "module.get_function('k')((1,), (1,), (out,))\n"
        "assert out[0] == 5"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len([path for path in cache.iterdir() if path.suffix == ".so"]) == 1


def test_without_a_compiler_nothing_is_skipped(tmp_path):
    program = "from tests.emulation import Module\nModule('k', code='')"
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "EmulationError: g++ was not found" in done.stderr
