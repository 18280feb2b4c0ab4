"""The text of a kernel file with its own headers inlined, because compilers' caches look at the text alone.

CuPy keeps compiled modules by a hash of the source and the options. It does not read what `-I` leads to, so that an
edited header would be answered with a stale binary. The text must hold everything of ours; headers of the CUDA toolkit
(`#include <cuda_fp16.h>`) stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from gpuclust._resources import kernels_folder
from gpuclust.errors import ResourceError

__all__ = ["kernel_source"]

_INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')
_ONCE = re.compile(r"\s*#\s*pragma\s+once\b")


def kernel_source(name: str, folder: Path | None = None) -> str:
    """The complete source of ``kernels/<name>.cu``, with `#line` marks so that compilers name the true file and line.

    A header is inlined wherever it is included, between guards: the preprocessor keeps the first copy that it reaches,
    so that an `#include` inside `#if` means what it says. `#pragma once` lines give way to these guards.

    Parameters
    ----------
    name : str
        A file of the kernels' folder, without `.cu`.
    folder : pathlib.Path, optional
        Where the file and its headers lie; headers that are not there are taken from the kernels' folder.

    Raises
    ------
    ResourceError
        The file or a header is missing.
    """
    folders = [kernels_folder()] if folder is None else [folder, kernels_folder()]
    return "".join(_lines(f"{name}.cu", folders, f"kernel {name!r}", ()))


def _lines(name: str, folders: list[Path], wanted_by: str, including: tuple[str, ...]) -> list[str]:
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise ResourceError(
            f"{wanted_by}: no file {name} in {folders[-1]}: this installation of gpuclust is incomplete."
        )
    lines = [f'#line 1 "{name}"\n']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        include = _INCLUDE.match(line)
        if include is None:
            lines.append("\n" if _ONCE.match(line) else f"{line}\n")
        elif include[1] in including:  # by then its guard is defined: nothing would be left of it
            lines.append("\n")
        else:
            guard = "GPUCLUST_INLINED_" + re.sub(r"\W", "_", include[1]).upper()
            inlined = _lines(include[1], folders, f"{name}:{number}", (*including, include[1]))
            lines += [
                f"#ifndef {guard}\n",
                f"#define {guard}\n",
                *inlined,
                "#endif\n",
                f'#line {number + 1} "{name}"\n',
            ]
    return lines
