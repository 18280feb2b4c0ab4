"""Architectures of networks in a word, as options have them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuclust.errors import ParameterError

if TYPE_CHECKING:
    from gpuclust.deep import Architecture

__all__ = ["architecture_of"]

#: Hidden layers of architectures that are named by their kind alone.
_WIDTHS = {"dense": (256, 128), "conv": (16, 32), "conv1d": (16, 32), "gru": (64,)}
_NUMBERS = r"\d+(?:,\d+)*"
_WORD = re.compile(rf"(?P<kind>{'|'.join(_WIDTHS)})(?::(?P<widths>{_NUMBERS}))?|(?P<alone>{_NUMBERS})")


def architecture_of(text: str, shape: tuple[int, ...] | None) -> Architecture:
    """The architecture that a text names, for rows of a shape.

    Parameters
    ----------
    text : str
        "small", "large"; "dense", "conv", "conv1d" or "gru"; widths of dense layers, "500,500,2000"; or a kind and its
        widths, "conv:16,32".
    shape : tuple of int, optional
        Of a row.

    Raises
    ------
    ParameterError
        It names none, or one that needs a shape where there is none.
    """
    from gpuclust.deep.architecture import NAMED, Architecture

    if text in NAMED:
        return NAMED[text]
    found = _WORD.fullmatch(text)
    if found is None:
        raise ParameterError(
            f"architecture={text!r} should be one of {', '.join([*NAMED, *_WIDTHS])}, widths such as 500,500,2000, or "
            "both, such as conv:16,32."
        )
    kind, numbers = found["kind"] or "dense", found["widths"] or found["alone"]
    if kind != "dense" and shape is None:
        raise ParameterError(
            f"architecture={text!r} needs the shape of a row, known of images alone: give one, such as 28x28."
        )
    widths = tuple(map(int, numbers.split(","))) if numbers else _WIDTHS[kind]
    return Architecture(kind, widths, shape=None if kind == "dense" else shape)
