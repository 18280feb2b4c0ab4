"""Several kinds of measurement of one thing: each a run of columns with its own encoder, likelihood and weight.

All modalities of a row stand side by side in one flat row. One that is missing is NaN in all its columns; a row with
none at all is refused. So a model of one modality is a model of several, of which there is one.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from gpuclust.deep.likelihoods import LIKELIHOODS
from gpuclust.deep.networks import NAMED, Architecture, decoder, encoder
from gpuclust.errors import DataError, DeviceError, ParameterError
from gpuclust.sources import Chunk, Source, as_source

__all__ = ["Modality", "Part", "SideBySide", "as_architecture", "side_by_side"]


def as_architecture(value: Any) -> Architecture:
    """An `Architecture`, also by its name or from its fields; ParameterError for anything else."""
    if isinstance(value, Architecture):
        return value
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]
    if isinstance(value, Mapping):
        try:
            return Architecture(**value)
        except TypeError as error:
            raise ParameterError(f"architecture={dict(value)!r}: {error}.") from None
    raise ParameterError(f"architecture={value!r} should be one of {sorted(NAMED)}, an Architecture, or its fields.")


@dataclass(frozen=True)
class Modality:
    """How one kind of measurement is encoded, decoded and compared.

    Parameters
    ----------
    likelihood : {"gaussian", "bernoulli", "categorical", "poisson", "negative_binomial"}, default="gaussian"
        See :mod:`gpuclust.deep.likelihoods`.
    architecture : str, Architecture or dict, default="small"
        "small", "large", an `Architecture`, or its fields.
    weight : float, default=1.0
        Of its loss beside those of other modalities.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        Of its columns, before anything else: see :mod:`gpuclust.deep.scaling`. "auto" is "minmax" for "gaussian" and
        None for the others, of which only "bernoulli" takes "minmax" too.
    """

    likelihood: str = "gaussian"
    architecture: Any = field(default="small")
    weight: float = 1.0
    scaling: str | None = "auto"

    def __post_init__(self) -> None:
        if self.likelihood not in LIKELIHOODS:
            raise ParameterError(f"likelihood={self.likelihood!r} should be one of {sorted(LIKELIHOODS)}.")
        object.__setattr__(self, "architecture", as_architecture(self.architecture))
        if isinstance(self.weight, bool) or not (0 < self.weight < math.inf):
            raise ParameterError(f"weight={self.weight!r} of a modality should be a finite number > 0.")
        if self.scaling == "auto":
            object.__setattr__(self, "scaling", "minmax" if self.likelihood == "gaussian" else None)
        possible = {"gaussian": ("minmax", "standard", None), "bernoulli": ("minmax", None)}
        if self.scaling not in possible.get(self.likelihood, (None,)):
            raise ParameterError(
                f"scaling={self.scaling!r} is not for likelihood={self.likelihood!r}, which takes "
                f"{possible.get(self.likelihood, (None,))}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Its fields as JSON knows them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The modality of which ``as_dict`` gave the fields."""
        return cls(**fields)


class Part(nn.Module):
    """The networks of one modality: columns ``start`` to ``stop`` of a row."""

    def __init__(self, name: str, modality: Modality, start: int, stop: int, n_codes: int, latent: int) -> None:
        super().__init__()
        self.name, self.modality, self.start, self.stop = name, modality, start, stop
        architecture, n_features = modality.architecture, stop - start
        self.encoder = encoder(architecture, n_features, n_codes)
        self.decoder = decoder(architecture, n_features, latent, self.encoder)
        self.likelihood = LIKELIHOODS[modality.likelihood](n_features)

    @property
    def columns(self) -> slice:
        """Its columns of a row."""
        return slice(self.start, self.stop)

    @property
    def n_features(self) -> int:
        """How many columns it has."""
        return self.stop - self.start

    def encode(self, x: Tensor) -> Tensor:
        """(b, n_codes) of its columns (b, n_features)."""
        return self.encoder(self.likelihood.read(x))

    def loss(self, codes: Tensor, x: Tensor) -> Tensor:
        """Weighted loss of each row, (b,) float32."""
        return self.likelihood.loss(self.decoder(codes).float(), x) * self.modality.weight

    def mean(self, codes: Tensor) -> Tensor:
        """The expected columns of codes (b, latent), scaled as the network sees them."""
        return self.likelihood.mean(self.decoder(codes).float())


class SideBySide(Source):
    """The columns of several named sources of equally many rows, as one; ``widths`` says how many each has."""

    def __init__(self, named: Mapping[str, Source]) -> None:
        sources = list(named.values())
        self.n_rows, self.n_features = sources[0].n_rows, sum(source.n_features for source in sources)
        self.dtype = np.result_type(*(source.dtype for source in sources))
        self.resident = False
        self.description = ", ".join(f"{name}: {source.description}" for name, source in named.items())
        self.widths = {name: source.n_features for name, source in named.items()}
        self._sources = sources
        wide = max(self.n_features * self.dtype.itemsize, 1)
        self.chunk_rows = max(1, min(2**24 // wide, self.n_rows))

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        return self._chunks(start, stop)

    def _chunks(self, start: int, stop: int | None) -> Generator[Chunk, None, None]:
        regrouped = [as_source(source, chunk_rows=self.chunk_rows) for source in self._sources]
        for chunks in zip(*(source.chunks(start, stop) for source in regrouped), strict=True):
            rows = np.concatenate([chunk.rows for chunk in chunks], axis=1, dtype=self.dtype)
            yield Chunk(chunks[0].start, rows)

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.concatenate([source.take(indices) for source in self._sources], axis=1, dtype=self.dtype)


def side_by_side(X: Mapping[str, Any], names: Sequence[str], *, max_memory: int | str | None = None) -> SideBySide:
    """The rows of a mapping of named inputs, in the order of ``names``.

    Raises
    ------
    DataError
        Other names, or inputs of different numbers of rows.
    """
    if set(X) != set(names):
        raise DataError(f"X has the modalities {sorted(X)}, but {sorted(names)} are expected.")
    named = {name: as_source(X[name], max_memory=max_memory, name=f"X[{name!r}]") for name in names}
    counts = {name: source.n_rows for name, source in named.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"every modality needs the same rows, but their numbers differ: {counts}.")
    for name, source in named.items():
        if source.device is not None:
            raise DeviceError(
                f"X[{name!r}] lies on {source.device}; modalities are put side by side on the host: bring it there."
            )
    return SideBySide(named)


def presence(x: Tensor, parts: Sequence[Part]) -> Tensor:
    """Whether each modality is there, (b, n_parts) bool."""
    return torch.stack([~x[:, part.start].isnan() for part in parts], 1)
