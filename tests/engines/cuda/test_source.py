"""Kernel files become one text: headers inlined as the preprocessor would, lines still named by their own file."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from gpuclust._resources import kernels_folder
from gpuclust.engines.cuda.source import kernel_source
from gpuclust.errors import ResourceError

KERNELS = sorted(path.stem for path in kernels_folder().glob("*.cu"))


def preprocessed(folder, name, *options):
    """What is left of a kernel's source, without blank lines and line marks."""
    cpp = shutil.which("g++")
    assert cpp, "g++ is missing"
    done = subprocess.run(
        [cpp, "-E", "-P", "-x", "c++", *options, "-"], input=kernel_source(name, folder), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_header_is_inlined_once_and_lines_keep_their_names(tmp_path):
    (tmp_path / "a.cuh").write_text("#pragma once\nint a = __LINE__;\n")
    (tmp_path / "b.cuh").write_text('#pragma once\n#include "a.cuh"\nint b = __LINE__;\n')
    (tmp_path / "k.cu").write_text(
        '#include "a.cuh"\n  # include "b.cuh"\nint k = __LINE__; const char* file = __FILE__;\n'
    )
    assert " ".join(preprocessed(tmp_path, "k")) == 'int a = 2; int b = 3; int k = 3; const char* file = "k.cu";'


def test_a_header_wanted_by_both_branches_of_a_condition_reaches_each(tmp_path):
    (tmp_path / "common.cuh").write_text("int common;\n")
    for name in ("one", "two"):
        (tmp_path / f"{name}.cuh").write_text(f'#include "common.cuh"\nint {name};\n')
    (tmp_path / "k.cu").write_text('#if ONE\n#include "one.cuh"\n#else\n#include "two.cuh"\n#endif\n')
    assert preprocessed(tmp_path, "k", "-DONE=1") == ["int", "common;", "int", "one;"]
    assert preprocessed(tmp_path, "k", "-DONE=0") == ["int", "common;", "int", "two;"]


def test_headers_that_include_each_other_end(tmp_path):
    (tmp_path / "a.cuh").write_text('#include "b.cuh"\nint a = __LINE__;\n')
    (tmp_path / "b.cuh").write_text('#include "a.cuh"\nint b = __LINE__;\n')
    (tmp_path / "k.cu").write_text('#include "a.cuh"\n')
    assert " ".join(preprocessed(tmp_path, "k")) == "int b = 2; int a = 2;"


def test_headers_of_the_toolkit_stay(tmp_path):
    (tmp_path / "k.cu").write_text("#include <cuda_fp16.h>\n")
    assert "#include <cuda_fp16.h>\n" in kernel_source("k", tmp_path)


def test_a_missing_file_is_named_with_the_line_that_wants_it(tmp_path):
    (tmp_path / "k.cu").write_text('\n#include "nowhere.cuh"\n')
    with pytest.raises(ResourceError, match=r"k\.cu:2: no file nowhere\.cuh"):
        kernel_source("k", tmp_path)
    with pytest.raises(ResourceError, match=r"kernel 'nothing': no file nothing\.cu"):
        kernel_source("nothing")


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_of_ours_is_left_to_be_found_by_the_compiler(name):
    assert '#include "' not in kernel_source(name)
