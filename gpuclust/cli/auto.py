"""Options that are a number, or "auto": the data decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

__all__ = ["count_or_auto", "number_or_auto"]

_Number = TypeVar("_Number", int, float)


def count_or_auto(text: str) -> int | str:
    """An int, or "auto"; a usage error for anything else."""
    return _parsed(text, int, "an integer")


def number_or_auto(text: str) -> float | str:
    """A float, or "auto"; a usage error for anything else."""
    return _parsed(text, float, "a number")


def _parsed(text: str, kind: Callable[[str], _Number], words: str) -> _Number | str:
    if str(text) == "auto":
        return "auto"
    try:
        return kind(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither {words} nor 'auto'.") from None
