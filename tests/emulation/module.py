"""A kernel file, built for the CPU, whose kernels are called as CuPy calls those of a `RawModule`."""

import ctypes
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from gpuclust.engines.cuda.source import kernel_source

from .arguments import Parameter, marshalled
from .build import EmulationError, build
from .source import kernel_names, translated

__all__ = ["Function", "Module", "kernel_file"]

KERNELS = Path(__file__).parents[2] / "kernels"
ORDERS = {"fifo": 0, "lifo": 1, "random": 2}
MAX_SHARED = 227 * 1024  # bytes a block may have on compute capability 9.0
# Sanitized frames are large.
STACKS = {"": 64 << 10, "asan": 512 << 10, "ubsan": 256 << 10, "tsan": 256 << 10}
_RUNTIME_SYMBOLS = {"asan": "__asan_init", "ubsan": "__ubsan_handle_type_mismatch_v1", "tsan": "__tsan_init"}
# What the environment names is the default of `sanitizer`: tests.emulation.sanitize runs a case unchanged that way.
SANITIZER_VARIABLE = "GPUCLUST_EMULATION_SANITIZER"

Order = Literal["fifo", "lifo", "random"]


class Scheduling(TypedDict):
    """How threads are run: see `Module`."""

    order: Order
    seed: int
    resident: int
    yields: int


class Launch(ctypes.Structure):
    """`emulation::Launch` of device/launch.h."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_shared", ctypes.c_size_t),
        ("shared_limit", ctypes.c_size_t),
        ("stack", ctypes.c_size_t),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_ulonglong),
        ("resident", ctypes.c_int),
        ("yields", ctypes.c_int),
    ]


class Module:
    """The kernels of one `.cu` file.

    Parameters
    ----------
    path
        A file, or the name of one in the repository's `kernels` folder ("update" or "update.cu").
    defines
        Macros, as `-D` gives them; None defines a macro without a value.
    sanitizer
        "", "asan", "ubsan" or "tsan". The last three need their runtime loaded before Python, which
        `tests.emulation.sanitize` sees to. Not given: what `$GPUCLUST_EMULATION_SANITIZER` says.
    order
        Which thread runs next whenever one waits: the first that came ("fifo"), the last ("lifo"), any ("random", from
        `seed`). Blocks start in the same order.
    resident
        How many blocks run interleaved.
    yields
        Percent of the atomic operations before which another thread gets a turn.
    shared_limit
        Bytes of shared memory that a block may have.
    code
        The text itself, its headers inlined, in place of the file's; `path` then only names it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        defines: Mapping[str, object] | None = None,
        sanitizer: str | None = None,
        order: Order = "fifo",
        seed: int = 1,
        resident: int = 1,
        yields: int = 0,
        *,
        shared_limit: int = MAX_SHARED,
        code: str | None = None,
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order={order!r}: one of {sorted(ORDERS)}")
        self.sanitizer = os.environ.get(SANITIZER_VARIABLE, "") if sanitizer is None else sanitizer
        self.scheduling = Scheduling(order=order, seed=seed, resident=resident, yields=yields)
        self.shared_limit = shared_limit
        file = Path(path)
        if code is None:
            file = kernel_file(file)
            code = kernel_source(file.stem, file.parent)
        self.name = file.stem
        code = f'#line 1 "{self.name}.cu"\n{code}'  # a place for messages, where the text has none of its own
        self.kernels = kernel_names(code)
        self._library = _load(build(translated(code), self.name, defines or {}, self.sanitizer), self.sanitizer)

    def get_function(self, name: str) -> "Function":
        """The kernel of that name."""
        if not hasattr(self._library, f"emulated_launch_{name}"):
            raise EmulationError(f"{self.name} has no kernel {name!r}, only {self.kernels}")
        return Function(self, self._library, name)


class Function:
    """One kernel; calling it launches it and waits.

    Arguments are C-contiguous NumPy arrays and None (null) for pointers, NumPy scalars for values. Plain Python numbers
    are refused: CuPy makes every int an int64, whatever the kernel takes.
    """

    _running = threading.Lock()  # the scheduler is one per library, and libraries are shared by modules

    def __init__(self, module: Module, library: ctypes.CDLL, name: str) -> None:
        self.module, self.name = module, name
        self._launch = getattr(library, f"emulated_launch_{name}")
        self._error = library.emulated_error
        self._error.restype = ctypes.c_char_p
        first = ctypes.POINTER(Parameter)()
        count = getattr(library, f"emulated_parameters_{name}")(ctypes.byref(first))
        self.parameters: list[Parameter] = [first[i] for i in range(count)]
        self.max_threads: int = getattr(library, f"emulated_max_threads_{name}")()

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        self.prepared(grid, block, args, shared_mem, self.module.scheduling)()

    def prepared(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int, scheduling: Scheduling
    ) -> Callable[[], None]:
        """Check everything now, and launch when the result is called."""
        values = marshalled(self.name, self.parameters, args)
        launch = Launch(
            grid=_three("grid", grid),
            block=_three("block", block),
            dynamic_shared=shared_mem,
            shared_limit=self.module.shared_limit,
            stack=STACKS[self.module.sanitizer],
            order=ORDERS[scheduling["order"]],
            seed=scheduling["seed"],
            resident=scheduling["resident"],
            yields=scheduling["yields"],
        )
        threads = math.prod(launch.block)
        if threads > self.max_threads:
            raise EmulationError(f"{self.name}: {threads} threads in a block, at most {self.max_threads} may be")
        pointers = (ctypes.c_void_p * max(1, len(values)))(*[ctypes.addressof(value) for value in values])

        def run(alive: Any = (values, args)) -> None:
            with self._running:
                if self._launch(pointers, ctypes.byref(launch)):
                    raise EmulationError(f"{self.name}: {self._error().decode()}")

        return run


def _three(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    integers = isinstance(sizes, tuple) and all(isinstance(size, int | np.integer) for size in sizes)
    if not integers or not 1 <= len(sizes) <= 3:
        raise TypeError(f"{name}={sizes!r}: a tuple of one to three integers")
    if min(sizes) < 1 or max(sizes) >= 2**31:
        raise ValueError(f"{name}={sizes!r}: every size is from 1 to 2**31 - 1")
    return (*map(int, sizes), 1, 1)[:3]


def kernel_file(path: Path) -> Path:
    """The file of that path or name."""
    places = [path, KERNELS / path, KERNELS / f"{path}.cu"]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"{path}: no such file, nor in {KERNELS}")


def _load(path: Path, sanitizer: str) -> ctypes.CDLL:
    if sanitizer and not hasattr(ctypes.CDLL(None), _RUNTIME_SYMBOLS[sanitizer]):
        raise EmulationError(f"sanitizer={sanitizer!r} must be loaded before Python: see tests.emulation.sanitize")
    return ctypes.CDLL(str(path))
