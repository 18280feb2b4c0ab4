"""What a benchmark is: rows, something to do with them, and contenders that each do it in their way.

The kinds of benchmark, `bench.kmeans` and `bench.dbscan`, fill in what they do and how its outcome is judged; timing,
records and tables are the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from bench.data import Rows

__all__ = ["Case", "Contender"]


@dataclass(frozen=True)
class Contender:
    """One way of doing what a kind of benchmark is about.

    Attributes
    ----------
    name : str
    package : str
        Distribution whose version the report states.
    run : callable
        ``run(rows, *arguments)``, the arguments being those of the case; returns arrays and numbers that the case can
        judge. Libraries are imported inside.
    own_way : bool
        It deviates in a way that the kind of benchmark describes: marked in tables.
    note : str
        What to know when its figures are read.
    """

    name: str
    package: str
    run: Callable[..., Any]
    own_way: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Case(ABC):
    """One benchmark.

    Attributes
    ----------
    name, title : str
        For the command line, and for people.
    make : callable
        ``make(n_rows)`` returns the rows, (n, d), the same each time; real data may be fewer.
    n_rows : int
        Rows asked for.
    contenders : tuple of str
        Keys of ``peers``; the first is the one that the others are compared with.
    """

    name: str
    title: str
    make: Callable[[int], Rows]
    n_rows: int
    contenders: tuple[str, ...]

    #: Of the kind of benchmark: its name, everybody who can take part, what its tables say of an outcome, and below.
    kind: ClassVar[str]
    peers: ClassVar[dict[str, Contender]]
    headings: ClassVar[tuple[str, ...]]
    footnote: ClassVar[str]

    def rows(self) -> Rows:
        """The data, C-contiguous float32 (n, d).

        Raises
        ------
        bench.data.Unavailable
            The data is not on this machine.
        """
        return np.ascontiguousarray(self.make(self.n_rows)[: self.n_rows], dtype=np.float32)

    @abstractmethod
    def scaled(self, scale: float) -> Self:
        """The same case with rows, and what should follow them, multiplied by `scale`, for a quick look."""

    @abstractmethod
    def arguments(self, rows: Rows) -> tuple[Any, ...]:
        """What every contender is given beside the rows."""

    @abstractmethod
    def warm_up(self, rows: Rows, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Rows and arguments of a small run, which loads libraries and compiled code."""

    @abstractmethod
    def setting(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        """The arguments as a record names them."""

    @abstractmethod
    def judged(self, rows: Rows, outcomes: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """What a record says of each contender's outcome, by its name."""

    @classmethod
    @abstractmethod
    def described(cls, record: dict[str, Any]) -> str:
        """The setting of a record in words."""

    @classmethod
    @abstractmethod
    def cells(cls, entry: dict[str, Any], first: dict[str, Any]) -> tuple[str, ...]:
        """A contender's entry in a record below the `headings`; `first` is the entry of the first one that has one."""
