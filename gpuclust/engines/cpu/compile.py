"""``kernel``: numba compilation as this project uses it: serial, without the GIL, cached, and never stale.

Kernels are compiled serially and threads run them on blocks of rows (see :mod:`~gpuclust.engines.cpu.threads`):
compilation is several times quicker than numba's ``parallel=True``, nothing breaks under ``fork`` or concurrent Python
threads, and the result cannot depend on how numba splits a loop. No fast-math anywhere: the canonical distance needs
the order as written.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile

__all__ = ["bare_kernel", "cache_folder", "kernel", "part"]


@cache
def _source_stamp() -> str:
    """Hash of the sources here and one folder up: kernels inline their neighbours and the constants of canonical.py."""
    digest = hashlib.sha256(numba.__version__.encode())
    here = Path(__file__).parent
    for path in sorted([*here.rglob("*.py"), *here.parent.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: beside the sources, else in the user's cache, else in a temporary folder.

    ``GPUCLUST_CACHE_DIR`` goes before all of them.
    """
    chosen = os.environ.get("GPUCLUST_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "gpuclust"
    for folder in [Path(chosen)] if chosen else [Path(__file__).parent / "__pycache__", user]:
        if _writable(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix="gpuclust-"))


class _Locator:
    """numba's cache locator: which folder, and what must be unchanged for a cached kernel to be used."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__qualname__

    def ensure_cache_path(self) -> None:
        pass

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return _source_stamp()

    def get_disambiguator(self) -> str:
        return hashlib.sha256(self._name.encode()).hexdigest()[:10]

    @classmethod
    def from_function(cls, function: Callable[..., Any], path: str) -> _Locator:
        return cls(function)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _Files(IndexDataCacheFile):
    """A file for each signature, named by what it holds.

    numba numbers them in an index. Two processes that compile at the same time may then take the same number, and a
    third one calls code that was compiled for other types: it crashes.
    """

    def save(self, key: Any, data: Any) -> None:
        for path in self._paths():
            if f".{self._source_stamp}." not in path.name:
                path.unlink(missing_ok=True)
        self._save_data(self._file(key), data)

    def load(self, key: Any) -> Any:
        try:
            return self._load_data(self._file(key))
        except FileNotFoundError:
            return None

    def flush(self) -> None:
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return list(Path(self._cache_path).glob(f"{glob.escape(self._base)}.*.nbc"))

    def _file(self, key: Any) -> str:
        return f"{self._base}.{self._source_stamp}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    @property
    def _base(self) -> str:
        return self._index_name.removesuffix(".nbi")


class _KernelCache(FunctionCache):
    _impl_class = _KernelCacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _Files(locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            # What a crashed machine left of a file: numba would fail at every start. It is made anew.
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # A cache that cannot be written (full disk, file limit) costs the next process some seconds; it is no reason to
        # fail.
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on first use for each combination of argument types; calls release the GIL."""
    return _compiled(function)


def bare_kernel(function: Callable[..., Any]) -> Any:
    """The same for a kernel that makes no arrays, without numba's counting of references to them.

    Each mention of an array that is a field of a tuple counts, atomically, where numba does not see that it need not:
    loops that do little between two mentions take several times as long. What it calls is compiled in the same way, and
    arrays that are made there could not be freed: numba refuses them.
    """
    return _compiled(function, _nrt=False)


def part(function: Callable[..., Any]) -> Any:
    """A bare kernel for what inner loops call: it becomes part of them.

    An array is seven arguments of a call, which is more than short functions do.
    """
    return _compiled(function, _nrt=False, forceinline=True)


def _compiled(function: Callable[..., Any], **options: bool) -> Any:
    dispatcher = numba.njit(nogil=True, boundscheck=False, error_model="numpy", **options)(function)
    dispatcher._cache = _KernelCache(function)
    return dispatcher
