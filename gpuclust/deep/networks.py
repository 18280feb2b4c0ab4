"""Encoders and decoders from a short configuration: dense, convolutional (images, sequences) and recurrent.

Rows arrive and leave flat, (b, n_features) float32; what has a shape (an image, a sequence) is unfolded inside, in
C order: (height, width, channels) or (length, channels). An encoder maps rows to (b, n_codes), a decoder codes to
(b, n_features): the parameters of a likelihood (:mod:`gpuclust.deep.likelihoods`), so its last layer is linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gpuclust.deep.architecture import NAMED, Architecture
from gpuclust.deep.linear import Linear, linear

__all__ = ["NAMED", "Architecture", "Dropout", "decoder", "encoder", "initialise"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def encoder(architecture: Architecture, n_features: int, n_codes: int) -> nn.Module:
    """An encoder of rows (b, n_features) into (b, n_codes)."""
    architecture.check(n_features)
    if architecture.kind == "dense":
        return nn.Sequential(*_dense(architecture, (n_features, *architecture.widths, n_codes)))
    if architecture.kind == "gru":
        return _GruEncoder(architecture, n_codes)
    return _ConvEncoder(architecture, n_codes)


def decoder(architecture: Architecture, n_features: int, n_codes: int, mirrored: nn.Module) -> nn.Module:
    """A decoder of codes (b, n_codes) into (b, n_features); with tied weights it has those of ``mirrored``."""
    if architecture.kind == "dense":
        if architecture.tied:
            return _TiedDecoder(architecture, mirrored, n_codes)
        return nn.Sequential(*_dense(architecture, (n_codes, *reversed(architecture.widths), n_features)))
    if architecture.kind == "gru":
        return _GruDecoder(architecture, n_codes)
    return _ConvDecoder(architecture, n_codes)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights as torch's layers do by default (uniform within 1 / sqrt(fan in)), from ``generator`` alone.

    On the host, so that every device starts from the same weights.
    """
    for layer in module.modules():
        weights = list(layer.parameters(recurse=False))
        if isinstance(layer, nn.GRU):
            bound = layer.hidden_size**-0.5
        elif isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d):
            bound = layer.weight[0].numel() ** -0.5
        elif isinstance(layer, _TiedDecoder):
            bound = 0.0
        else:
            continue
        for weight in weights:
            nn.init.uniform_(weight, -bound, bound, generator=generator)


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own, never from torch's global one."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None  # set by the trainer

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= self.share
        return x * kept / (1 - self.share)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "generator": None}  # generators cannot be copied


def _activation(architecture: Architecture) -> nn.Module:
    """In place for rectifiers, whose gradient needs no more than their output."""
    kind = _ACTIVATIONS[architecture.activation]
    return kind(inplace=True) if kind is nn.ReLU else kind()


def _dense(architecture: Architecture, widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for at, (before, after) in enumerate(pairwise(widths)):
        layers.append(Linear(before, after))
        if at < len(widths) - 2:
            layers.append(_activation(architecture))
            if architecture.dropout:
                layers.append(Dropout(architecture.dropout))
    return layers


class _TiedDecoder(nn.Module):
    """The encoder's weights, transposed, in reverse order; biases of its own."""

    def __init__(self, architecture: Architecture, mirrored: nn.Module, n_codes: int) -> None:
        super().__init__()
        # In a tuple, which torch does not look into: these weights are the encoder's.
        self._mirrored = tuple(layer for layer in reversed(list(mirrored.children())) if isinstance(layer, nn.Linear))
        self._n_codes = n_codes
        self.biases = nn.ParameterList(torch.empty(layer.in_features) for layer in self._mirrored)
        rest: list[nn.Module] = [_activation(architecture)]
        self.between = nn.Sequential(*rest, *([Dropout(architecture.dropout)] if architecture.dropout else []))

    def forward(self, codes: Tensor) -> Tensor:
        x = codes
        for at, (layer, bias) in enumerate(zip(self._mirrored, self.biases, strict=True)):
            # A variational encoder also gives variances, in the outputs after the codes.
            weight = layer.weight[: self._n_codes] if at == 0 else layer.weight
            x = linear(x if at == 0 else self.between(x), weight.t(), bias)
        return x


class _ConvEncoder(nn.Module):
    """Convolutions that halve every side, then one linear layer."""

    def __init__(self, architecture: Architecture, n_codes: int) -> None:
        super().__init__()
        self._shape, n_axes = (*architecture.sides, architecture.channels), len(architecture.sides)
        channels = (architecture.channels, *architecture.widths)
        layers: list[nn.Module] = []
        convolution = nn.Conv2d if n_axes == 2 else nn.Conv1d
        for before, after in pairwise(channels):
            layers += [
                convolution(before, after, 3, stride=2, padding=1),
                _activation(architecture),
            ]
        self.layers = nn.Sequential(*layers)
        self.codes = Linear(math.prod(_pyramid(architecture)[-1]) * channels[-1], n_codes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, *self._shape).movedim(-1, 1)  # channels last in rows, first in torch
        return self.codes(self.layers(x).flatten(1))


class _ConvDecoder(nn.Module):
    """One linear layer, then transposed convolutions that double every side."""

    def __init__(self, architecture: Architecture, n_codes: int) -> None:
        super().__init__()
        pyramid = _pyramid(architecture)[::-1]
        channels = (*reversed(architecture.widths), architecture.channels)
        self._first = (channels[0], *pyramid[0])
        self.codes = Linear(n_codes, math.prod(self._first))
        convolution = nn.ConvTranspose2d if len(architecture.sides) == 2 else nn.ConvTranspose1d
        layers: list[nn.Module] = []
        for at, (before, after) in enumerate(pairwise(channels)):
            odd = tuple(large - (2 * small - 1) for small, large in zip(pyramid[at], pyramid[at + 1], strict=True))
            layers += [
                _activation(architecture),
                convolution(before, after, 3, stride=2, padding=1, output_padding=odd),  # type: ignore[arg-type]
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.layers(self.codes(codes).reshape(-1, *self._first))
        return x.movedim(1, -1).flatten(1)


def _pyramid(architecture: Architecture) -> list[tuple[int, ...]]:
    """Sides of an image before and after each convolution."""
    sides = [architecture.sides]
    for _ in architecture.widths:
        sides.append(tuple((side + 1) // 2 for side in sides[-1]))
    return sides


class _GruEncoder(nn.Module):
    """The state after the last step, then one linear layer."""

    def __init__(self, architecture: Architecture, n_codes: int) -> None:
        super().__init__()
        self._shape, (width,) = (*architecture.sides, architecture.channels), architecture.widths
        self.steps = nn.GRU(architecture.channels, width, batch_first=True)
        self.codes = Linear(width, n_codes)

    def forward(self, x: Tensor) -> Tensor:
        return self.codes(self.steps(x.reshape(-1, *self._shape))[1][0])


class _GruDecoder(nn.Module):
    """Codes are the input of every step and, through one linear layer, the first state."""

    def __init__(self, architecture: Architecture, n_codes: int) -> None:
        super().__init__()
        (self._length,), (width,) = architecture.sides, architecture.widths
        self.codes = Linear(n_codes, width)
        self.steps = nn.GRU(n_codes, width, batch_first=True)
        self.values = Linear(width, architecture.channels)

    def forward(self, codes: Tensor) -> Tensor:
        state = torch.tanh(self.codes(codes))[None]
        steps, _ = self.steps(codes[:, None].expand(-1, self._length, -1).contiguous(), state)
        return self.values(steps).flatten(1)
