"""What a row is thought to be drawn from, given the decoder's outputs: its loss, and its mean.

Every likelihood is one module with the same four members. ``read(x)`` is what the encoder sees of rows; ``loss(outputs,
x)`` the negative log likelihood of each row, (b,) in nats, less what does not depend on the outputs unless said;
``mean(outputs)`` the expected row; ``rule`` what values it is for, or None. Rows x and outputs are (b, n_features).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LIKELIHOODS", "Bernoulli", "Categorical", "Gaussian", "Likelihood", "NegativeBinomial", "Poisson"]

#: Largest log of a mean count: exp(30) is 1e13, and its square is within float32.
_LARGEST_LOG = 30.0
_TINY = 1e-8


class Likelihood(nn.Module, ABC):
    """Base of all; for rows of ``n_features`` columns."""

    #: Values that it is for: "unit" interval, "count", or None for any.
    rule: str | None = None

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features

    def read(self, x: Tensor) -> Tensor:
        """What the encoder sees of rows."""
        return x

    @abstractmethod
    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Negative log likelihood of each row, (b,)."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """The expected rows."""


class Gaussian(Likelihood):
    """Normal with the outputs as means and a variance of 1/2: the loss is the sum of squared errors.

    -log p(x) = sum_j (x_j - o_j)**2 + (d / 2) log(pi), without the last term. Another variance is another weight of the
    Kullback-Leibler divergence beside it.
    """

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        return (outputs - x).square().sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs


class Bernoulli(Likelihood):
    """Bits, or grey values in [0, 1] as their probabilities, with the outputs as logits.

    -log p(x) = sum_j log(1 + exp(o_j)) - x_j o_j. For grey values it is no density: see G. Loaiza-Ganem, J. Cunningham,
    "The continuous Bernoulli", NeurIPS 2019.
    """

    rule = "unit"

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        return (F.softplus(outputs) - x * outputs).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.sigmoid(outputs)


class Categorical(Likelihood):
    """One choice out of n_features, one-hot (or probabilities), with the outputs as logits.

    -log p(x) = -sum_j x_j log softmax(o)_j.
    """

    rule = "unit"

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        return -(x * F.log_softmax(outputs, 1)).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        return F.softmax(outputs, 1)


class Poisson(Likelihood):
    """Counts, with the outputs as logs of their means; the encoder sees log(1 + x).

    -log p(x) = sum_j exp(o_j) - x_j o_j + log(x_j!).
    """

    rule = "count"

    def read(self, x: Tensor) -> Tensor:
        return torch.log1p(x)

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        log_mean = outputs.clamp(max=_LARGEST_LOG)
        return (log_mean.exp() - x * log_mean + torch.lgamma(x + 1)).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs.clamp(max=_LARGEST_LOG).exp()


class NegativeBinomial(Likelihood):
    """Counts of genes: their variance exceeds their mean, and rows differ in how much was counted.

    With s the size factor of a row, its total over the typical total, mu_j = s exp(o_j), and one dispersion theta_j for
    each column, learned with the weights, so that the variance is mu + mu**2 / theta,

    -log p(x) = sum_j log(x_j!) + lgamma(theta_j) - lgamma(x_j + theta_j) - theta_j log(theta_j / (theta_j + mu_j))
    - x_j log(mu_j / (theta_j + mu_j)).

    The encoder sees log(1 + x / s). The mean is that of a row of typical total. As in G. Eraslan et al., "Single-cell
    RNA-seq denoising using a deep count autoencoder", Nature Communications 10, 2019, without zero inflation.
    """

    rule = "count"
    typical_total: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.log_dispersion = nn.Parameter(torch.zeros(n_features))
        self.register_buffer("typical_total", torch.ones(()))

    def read(self, x: Tensor) -> Tensor:
        return torch.log1p(x / self._size(x))

    def loss(self, outputs: Tensor, x: Tensor) -> Tensor:
        theta = self.log_dispersion.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()
        mu = self._size(x) * outputs.clamp(max=_LARGEST_LOG).exp()
        log_sum = (theta + mu + _TINY).log()
        terms = torch.lgamma(x + 1) + torch.lgamma(theta + _TINY) - torch.lgamma(x + theta + _TINY)
        return (terms + theta * (log_sum - (theta + _TINY).log()) + x * (log_sum - (mu + _TINY).log())).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs.clamp(max=_LARGEST_LOG).exp()

    def _size(self, x: Tensor) -> Tensor:
        """Size factor of each row, (b, 1); that of a row without counts is one count's."""
        return x.sum(1, keepdim=True).clamp(min=1.0) / self.typical_total


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "gaussian": Gaussian,
    "negative_binomial": NegativeBinomial,
    "poisson": Poisson,
}
