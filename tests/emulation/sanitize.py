"""Runs kernel cases under AddressSanitizer, UndefinedBehaviorSanitizer or ThreadSanitizer.

A sanitizer's runtime must be loaded before Python, so a case runs in a process of its own, in which every `Module` is
built with that sanitizer. A case is a function at the top level of a module under the repository's root; it checks its
own results. From a test, in one line:

    sanitized("tsan", settle_case, n=300, k=7)

and by hand, with the same effect, or for any Python program:

    python -m tests.emulation tsan "tests/kernels/test_settle.py::settle_case(n=300, k=7)"
    python -m tests.emulation asan -m pytest tests/kernels/test_settle.py
"""

import ast
import ctypes
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .build import SANITIZERS, EmulationError
from .module import SANITIZER_VARIABLE

__all__ = ["Unclean", "main", "sanitized"]

ROOT = Path(__file__).parents[2]
OPTIONS = {
    "asan": {"ASAN_OPTIONS": "detect_leaks=0:exitcode=66"},  # Python leaks on purpose when it ends
    "ubsan": {"UBSAN_OPTIONS": "print_stacktrace=1"},
    "tsan": {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66"},
}
ADDR_NO_RANDOMIZE = 0x0040000  # of personality(2)


class Unclean(AssertionError):
    """The case failed under the sanitizer; the message is all it wrote."""


def sanitized(sanitizer: str, case: Callable[..., object], **arguments: Any) -> None:
    """Run ``case(**arguments)`` under "asan", "ubsan" or "tsan".

    Parameters
    ----------
    arguments
        Literals: numbers, strings, None, and tuples, lists and dicts of them.

    Raises
    ------
    Unclean
        The sanitizer reported something, or the case raised.
    """
    file = Path(inspect.getfile(case)).resolve().relative_to(ROOT)
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    command = ["-m", "tests.emulation", sanitizer, f"{file}::{case.__qualname__}({written})"]
    done = subprocess.run(
        [sys.executable, *command],
        env=_environment(sanitizer),
        cwd=ROOT,
        preexec_fn=_without_randomized_addresses,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        again = " ".join([*command[:-1], f'"{command[-1]}"'])
        raise Unclean(f"python {again}\nended with {done.returncode}\n{done.stdout}{done.stderr}")


def main(arguments: Sequence[str]) -> None:
    """The command line: see the module."""
    if len(arguments) < 2 or arguments[0] not in OPTIONS:
        sys.exit(__doc__)
    sanitizer, *rest = arguments
    if os.environ.get(SANITIZER_VARIABLE) == sanitizer:
        for case in rest:
            run(case)
        return
    again = rest if rest[0].startswith("-") else ["-m", "tests.emulation", *arguments]
    _without_randomized_addresses()
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, *again], _environment(sanitizer))


def run(case: str) -> None:
    """Run `path/of/module.py::function(name=literal, ...)`, the brackets and what they hold being optional."""
    file, separator, call = case.partition("::")
    tree = ast.parse(call, mode="eval").body if separator else None
    arguments = {}
    if isinstance(tree, ast.Call) and not tree.args:
        arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords if keyword.arg}
        tree = tree.func
    if not isinstance(tree, ast.Name):
        raise ValueError(f"{case!r}: a case is path/of/module.py::function(name=literal, ...)")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    getattr(module, tree.id)(**arguments)


def _environment(sanitizer: str) -> dict[str, str]:
    if sanitizer not in OPTIONS:
        raise ValueError(f"sanitizer={sanitizer!r}: one of {sorted(OPTIONS)}")
    return {
        **os.environ,
        **OPTIONS[sanitizer],
        SANITIZER_VARIABLE: sanitizer,
        "LD_PRELOAD": _runtime_library(sanitizer),
        "OPENBLAS_NUM_THREADS": "1",  # its threads spin, which costs most where every access is watched
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def _runtime_library(sanitizer: str) -> str:
    name = f"lib{sanitizer}.so"
    try:
        done = subprocess.run(["g++", f"-print-file-name={name}"], text=True, capture_output=True, check=True)
    except FileNotFoundError:
        raise EmulationError("g++ was not found: the sanitizers are its") from None
    path = done.stdout.strip()
    if not os.path.isabs(path):
        raise EmulationError(f"{name} was not found: install the sanitizer libraries of this g++")
    return path


def _without_randomized_addresses() -> None:
    """TSan of older compilers refuses the memory layout of newer kernels. Where this is forbidden, it may still do."""
    ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)


assert set(OPTIONS) == set(SANITIZERS) - {""}
