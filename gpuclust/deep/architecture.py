"""The short description of an encoder and its decoder, as configurations have it: plain values, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpuclust.errors import DataError, ParameterError

__all__ = ["NAMED", "Architecture"]

#: Names of the functions between layers.
ACTIVATIONS = ("elu", "gelu", "leaky_relu", "relu", "silu", "tanh")
#: Axes of a row's shape by kind, without the channels.
_AXES = {"dense": 0, "conv": 2, "conv1d": 1, "gru": 1}


@dataclass(frozen=True)
class Architecture:
    """What an encoder is made of; its decoder mirrors it.

    Parameters
    ----------
    kind : {"dense", "conv", "conv1d", "gru"}, default="dense"
        Fully connected; convolutions of 3 x 3 over an image or of 3 over a sequence, each of which halves its sides; or
        a gated recurrent unit that reads a sequence step by step.
    widths : tuple of int, default=(256, 128)
        Units of the hidden layers, input side first; channels for convolutions; one number for "gru".
    shape : tuple of int, optional
        Of a row: (height, width) or (height, width, channels) for "conv", (length,) or (length, channels) for "conv1d"
        and "gru".
    activation : {"elu", "gelu", "leaky_relu", "relu", "silu", "tanh"}, default="relu"
        After every hidden layer; "gru" has its own.
    dropout : float in [0, 1), default=0.0
        Share of hidden units left out in a step of training, for "dense".
    tied : bool, default=False
        Decode with the transposed weights of the encoder, for "dense".

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    kind: str = "dense"
    widths: tuple[int, ...] = (256, 128)
    shape: tuple[int, ...] | None = None
    activation: str = "relu"
    dropout: float = 0.0
    tied: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # lists, as JSON has them, are taken too
        if self.kind not in _AXES:
            raise ParameterError(f"kind={self.kind!r} should be one of {sorted(_AXES)}.")
        if self.activation not in ACTIVATIONS:
            raise ParameterError(f"activation={self.activation!r} should be one of {ACTIVATIONS}.")
        if not all(isinstance(width, int) and width >= 1 for width in self.widths):
            raise ParameterError(f"widths={self.widths!r} should be integers >= 1.")
        if self.kind == "gru" and len(self.widths) != 1:
            raise ParameterError(f"widths={self.widths!r} should be one number for kind='gru'.")
        if not 0 <= self.dropout < 1:
            raise ParameterError(f"dropout={self.dropout!r} should be in [0, 1).")
        if self.kind != "dense" and (self.dropout or self.tied):
            raise ParameterError(f"dropout and tied weights are for kind='dense', not {self.kind!r}.")
        axes = _AXES[self.kind]
        if self.shape is None:
            if axes:
                raise ParameterError(f"kind={self.kind!r} needs the shape of a row: shape=(..., channels).")
            return
        object.__setattr__(self, "shape", tuple(self.shape))
        assert self.shape is not None
        if not all(isinstance(side, int) and side >= 1 for side in self.shape):
            raise ParameterError(f"shape={self.shape!r} should be integers >= 1.")
        if axes and len(self.shape) not in (axes, axes + 1):
            raise ParameterError(
                f"shape={self.shape!r} should have {axes} or, with channels, {axes + 1} axes for kind={self.kind!r}."
            )

    def check(self, n_features: int) -> None:
        """Raise DataError unless rows of so many features have the shape."""
        if self.shape is not None and math.prod(self.shape) != n_features:
            sides = " x ".join(map(str, self.shape))
            raise DataError(
                f"shape={self.shape!r} does not fit rows of {n_features} features: {sides} = {math.prod(self.shape)}."
            )

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of an image or the length of a sequence."""
        return () if self.shape is None else self.shape[: _AXES[self.kind]]

    @property
    def channels(self) -> int:
        """Numbers at each place of an image or a sequence."""
        return 1 if self.shape is None or len(self.shape) == len(self.sides) else self.shape[-1]


#: Architectures by name. "large" is the network of DEC and its successors (J. Xie, R. Girshick, A. Farhadi, ICML 2016).
NAMED = {"small": Architecture(), "large": Architecture(widths=(500, 500, 2000))}
