"""What a GPU benchmark is. As on the processor (`bench.cases`), but rows are made on the GPU, and lie there.

The same rows are made in every process, in blocks, without a second copy. The kinds are `bench.gpu_kmeans` and
`bench.gpu_dbscan`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

__all__ = ["Block", "GpuCase", "GpuContender", "as_it_lies", "on_host", "on_host_float32"]

BLOCK_BYTES = 2**28  # of float32, in a block while rows are made

Block = Callable[[int], Any]


@dataclass(frozen=True)
class GpuContender:
    """One way of doing what a kind of benchmark is about.

    Attributes
    ----------
    name : str
    package : str
        Distribution whose version the report states.
    run : callable
        ``run(rows, *arguments, gpu)``, the arguments being those of the case, returns what the case can judge when the
        GPU is done. Libraries are imported inside; ``gpu`` is False when the runner itself is tried on a processor.
    place : callable
        Turns an array of CuPy (NumPy without a GPU) into what ``run`` takes; not timed.
    own_way : bool
        It deviates in a way that the kind of benchmark describes: marked in tables.
    note : str
        What to know when its figures are read.
    """

    name: str
    package: str
    run: Callable[..., Any]
    place: Callable[[Any], Any]
    own_way: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class GpuCase(ABC):
    """One benchmark.

    Attributes
    ----------
    name, title : str
        For the command line, and for people.
    n_rows, n_features : int
    dtype : str
        "float16" or "float32".
    contenders : tuple of str
        Keys of ``peers``; the first is the one that the others are compared with.
    """

    name: str
    title: str
    n_rows: int
    n_features: int
    dtype: str = "float32"
    contenders: tuple[str, ...]

    #: Of the kind of benchmark: its name, everybody who can take part, what its tables say of an outcome, and below.
    kind: ClassVar[str]
    peers: ClassVar[dict[str, GpuContender]]
    headings: ClassVar[tuple[str, ...]]
    footnote: ClassVar[str]

    def rows(self, xp: Any) -> Any:
        """The data, C-contiguous (n, d), as an array of ``xp``."""
        rows = xp.empty((self.n_rows, self.n_features), self.dtype)
        block = self.block(xp)
        step = max(1, BLOCK_BYTES // (4 * self.n_features))
        for start in range(0, self.n_rows, step):
            stop = min(start + step, self.n_rows)
            rows[start:stop] = block(stop - start)
        return rows

    @abstractmethod
    def tiny(self) -> Self:
        """The same case, small enough to try the runner on a processor."""

    @abstractmethod
    def block(self, xp: Any) -> Block:
        """A function of m that returns the next m rows, float32 (m, d), by ``xp`` (NumPy or CuPy)."""

    @abstractmethod
    def arguments(self, rows: Any, place: Callable[[Any], Any]) -> tuple[Any, ...]:
        """What a contender is given beside the rows; arrays where the contender wants them."""

    @abstractmethod
    def warm_up(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments of an untimed run on all rows, which loads libraries and compiled code, and fills memory pools."""

    @abstractmethod
    def sample(self, rows: Any) -> Any:
        """What must be kept of the rows so that an outcome can be judged."""

    @abstractmethod
    def judged(self, xp: Any, sample: Any, outcome: Any) -> dict[str, Any]:
        """What a record says of a contender's outcome."""

    @abstractmethod
    def rate(self, seconds: float, judged: dict[str, Any]) -> dict[str, float]:
        """What a record says of a contender's speed, beside seconds."""

    @abstractmethod
    def setting(self) -> dict[str, Any]:
        """The parameters as a record names them."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(n, d, k) by which kernels' share of the roofline is reckoned."""

    @classmethod
    @abstractmethod
    def described(cls, record: dict[str, Any]) -> str:
        """The setting of a record in words."""

    @classmethod
    @abstractmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        """A contender's entry in a record below the `headings`; `first` is the entry of the first one that has one."""


def as_it_lies(rows: Any) -> Any:
    return rows


def on_host(rows: Any) -> Any:
    """An array of NumPy, CuPy or torch in host memory."""
    if hasattr(rows, "get"):
        return rows.get()
    return rows.cpu().numpy() if hasattr(rows, "cpu") else np.asarray(rows)


def on_host_float32(rows: Any) -> Any:
    return on_host(rows).astype(np.float32)
