"""Autoencoders: rows to codes and back, plain and variational, of one modality or of several.

Rows x are flat and scaled, (b, n_features) float32; a missing modality is NaN. Codes are (b, latent).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from gpuclust.deep.modalities import Modality, Part, presence
from gpuclust.deep.networks import initialise
from gpuclust.errors import GpuclustWarning

__all__ = ["AutoencoderModel", "VariationalModel", "build", "from_configuration", "mask"]


class AutoencoderModel(nn.Module):
    """Encodes rows as points. The code of several modalities is the mean of the codes of those present.

    Parameters
    ----------
    modalities : mapping of str to Modality
        In the order of their columns.
    widths : mapping of str to int
        Columns of each.
    latent : int
        Length of a code.
    """

    #: Numbers that a modality's encoder gives for each of a code.
    _per_code = 1
    #: The loss is a mean over a row's values (True) or a sum.
    per_value = True

    parts: Sequence[Part]

    def __init__(self, modalities: Mapping[str, Modality], widths: Mapping[str, int], latent: int) -> None:
        super().__init__()
        self.latent, self.n_features = latent, sum(widths.values())
        parts: list[Part] = []
        start = 0
        for name, modality in modalities.items():
            stop = start + widths[name]
            parts.append(Part(name, modality, start, stop, latent * self._per_code, latent))
            start = stop
        self.parts = cast(Sequence[Part], nn.ModuleList(parts))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def configuration(self) -> dict[str, Any]:
        """All that `from_configuration` needs, as JSON knows it."""
        return {
            "variational": isinstance(self, VariationalModel),
            "latent": self.latent,
            "modalities": {part.name: part.modality.as_dict() for part in self.parts},
            "widths": {part.name: part.n_features for part in self.parts},
        }

    def encode(self, x: Tensor) -> Tensor:
        """Codes of rows, (b, latent)."""
        if len(self.parts) == 1:
            return self.parts[0].encode(x)
        there = presence(x, self.parts)[:, :, None]
        codes = torch.stack([part.encode(x[:, part.columns].nan_to_num()) for part in self.parts], 1)
        return (codes * there).sum(1) / there.sum(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Expected rows of codes, (b, n_features) float32."""
        return torch.cat([part.mean(codes) for part in self.parts], 1)

    def losses(self, x: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """Negative log likelihood of each row given its code, (b,), weighted, by the name of its modality.

        A missing modality's is 0. With ``per_value``, divided by the number of its columns.
        """
        if len(self.parts) == 1:
            return {"reconstruction": self._loss(self.parts[0], codes, x)}
        found = {}
        for part, there in zip(self.parts, presence(x, self.parts).unbind(1), strict=True):
            loss = self._loss(part, codes, x[:, part.columns].nan_to_num())
            found[part.name] = loss * there
        return found

    def _loss(self, part: Part, codes: Tensor, x: Tensor) -> Tensor:
        loss = part.loss(codes, x)
        return loss / part.n_features if self.per_value else loss


class VariationalModel(AutoencoderModel):
    """Encodes rows as normal distributions (D. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014).

    That of several modalities is the product of those present, scaled to a distribution (M. Wu, N. Goodman, "Multimodal
    generative models for scalable weakly-supervised learning", NeurIPS 2018, without the prior as a further factor, so
    that one modality is an ordinary variational autoencoder). The prior of codes is standard normal.
    """

    _per_code = 2
    per_value = False

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log of the variance of each row's code, (b, latent) float32 each."""
        if len(self.parts) == 1:
            return self._normal(self.parts[0].encode(x))
        there = presence(x, self.parts)[:, :, None]
        given = [self._normal(part.encode(x[:, part.columns].nan_to_num())) for part in self.parts]
        means, logs = (torch.stack(values, 1) for values in zip(*given, strict=True))
        precisions = torch.exp(-logs) * there
        total = precisions.sum(1)
        return (means * precisions).sum(1) / total, -torch.log(total)

    def encode(self, x: Tensor) -> Tensor:
        """Codes of rows: the means of their distributions, (b, latent)."""
        return self.posterior(x)[0]

    @staticmethod
    def draw(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
        """One code of each distribution, through which gradients pass to its mean and variance."""
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + torch.exp(0.5 * log_variance) * noise

    @staticmethod
    def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each distribution from the prior, (b,) in nats."""
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)

    def _normal(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = codes.float().chunk(2, 1)
        return mean, log_variance.clamp(-20, 20)  # a variance within float32, whatever the first steps do


def mask(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Rows with a random ``share`` of their values set to zero (a missing modality stays NaN).

    The masking noise of P. Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010.
    """
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= share
    return x * kept


def build(
    modalities: Mapping[str, Modality],
    widths: Mapping[str, int],
    latent: int,
    *,
    variational: bool = False,
    seed: int | None = 0,
    device: torch.device | str = "cpu",
) -> AutoencoderModel:
    """A model on a device, its weights drawn from ``seed``; torch's global generator is neither read nor changed.

    ``seed`` None leaves all weights zero, to be loaded.

    Raises
    ------
    ParameterError, DataError
        An architecture breaks its rule, or its shape does not fit the columns.

    Warns
    -----
    GpuclustWarning
        Codes are wider than the rows.
    """
    n_features = sum(widths.values())
    if latent > n_features:
        warnings.warn(
            f"Codes of {latent} numbers are wider than rows of {n_features} features: the autoencoder can copy its "
            "input. Fewer components, noise or weight decay keep it from that.",
            GpuclustWarning,
            stacklevel=4,
        )
    kind = VariationalModel if variational else AutoencoderModel
    with torch.device("meta"):  # layers draw their first weights from the global generator, but not there
        model = kind(modalities, widths, latent)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.zero_()
        for name, buffer in model.named_buffers():
            if name.endswith("typical_total"):
                buffer.fill_(1.0)
        if seed is not None:
            initialise(model, torch.Generator().manual_seed(seed % 2**63))
    return model.to(device)


def from_configuration(configuration: Mapping[str, Any]) -> AutoencoderModel:
    """The model of which ``configuration()`` was written, on the CPU, its weights zero: ``load_state_dict`` next."""
    modalities = {name: Modality.from_dict(fields) for name, fields in configuration["modalities"].items()}
    widths = {name: configuration["widths"][name] for name in modalities}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpuclustWarning)
        return build(modalities, widths, configuration["latent"], variational=configuration["variational"], seed=None)
