"""What the engine launches is there, and is launched with the block that it is compiled for."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import gpuclust.engines.cuda
from tests.compilation import page

FOLDER = Path(gpuclust.engines.cuda.__file__).parent


def launches() -> Iterator[tuple[str, str, str]]:
    """Module, kernel and expression of the threads of every `kernels.launch(variant, name, grid, threads, ...)`."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "launch":
                _, name, _, threads, *_ = node.args
                yield path.stem, ast.literal_eval(name), ast.unparse(threads)


def test_every_kernel_is_launched_with_its_block(kernels_of):
    compiled = {name: kernel for job in page.jobs_shown() for name, kernel in kernels_of(job).items()}
    found = list(launches())
    assert {name for _, name, _ in found} == set(compiled)
    for module, name, threads in found:
        if not threads.endswith(".threads"):  # a tile's: test_machine_code compares them for every tile
            constants = vars(importlib.import_module(f"gpuclust.engines.cuda.{module}"))
            assert eval(threads, constants) == compiled[name].max_threads, f"{module}: {name}"
