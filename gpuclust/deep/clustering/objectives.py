"""Objectives that move codes and clusters together, and the states that they keep.

As in :mod:`gpuclust.deep.objectives`: plain functions of (model, batch, state) that return named terms, means over the
rows of the batch. A state is made from a clustering of the codes before; it has the clusters that come out.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpuclust.deep.clustering.soft import sharpen, squared_distances, student_t
from gpuclust.deep.encoding import encode
from gpuclust.deep.models import AutoencoderModel, VariationalModel
from gpuclust.deep.objectives import State
from gpuclust.deep.rows import Batch, Rows

__all__ = ["DriftState", "MixtureState", "TargetState", "dcn", "dec", "idec", "vade"]

#: Codes that are looked at together: nothing of all rows by all centres is kept.
_BLOCK_ROWS = 2**16
#: Variances of a component: within float32, whatever the rate.
_LOG_VARIANCES = (-10.0, 10.0)


class TargetState(State):
    """Centres (k, latent) that are trained, and the target of all rows, renewed before each epoch.

    Of the target, what is kept is what it follows from: codes, centres and frequencies of clusters before the epoch.
    """

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.centers = nn.Parameter(centers.detach().float().clone())

    def before_epoch(self, model: AutoencoderModel, rows: Rows, epoch: int) -> None:
        self._codes, self._anchors = encode(model, rows), self.centers.detach().clone()
        blocks = self._codes.split(_BLOCK_ROWS)
        self._frequencies = torch.stack([student_t(block, self._anchors).double().sum(0) for block in blocks]).sum(0)

    def target(self, index: Tensor) -> Tensor:
        """Target (b, k) of the rows of these numbers: see `sharpen`."""
        return sharpen(student_t(self._codes[index], self._anchors), self._frequencies.float())


def dec(model: AutoencoderModel, batch: Batch, state: State) -> dict[str, Tensor]:
    """How far the soft assignment is from its target: "clustering", their Kullback-Leibler divergence.

    J. Xie, R. Girshick, A. Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016. The decoder is
    not trained, so that what is decoded of the codes afterwards is no more than a hint.
    """
    assert isinstance(state, TargetState)
    return {"clustering": _divergence(state, batch, model.encode(batch.x))}


def idec(model: AutoencoderModel, batch: Batch, state: State, *, weight: float = 0.1) -> dict[str, Tensor]:
    """The divergence of `dec`, weighted, beside the reconstruction, which keeps the codes what they were.

    X. Guo, L. Gao, X. Liu, J. Yin, "Improved deep embedded clustering with local structure preservation", IJCAI 2017.
    """
    assert isinstance(state, TargetState)
    codes = model.encode(batch.x)
    return {**_reconstruction(model, batch.x, codes), "clustering": weight * _divergence(state, batch, codes)}


class DriftState(State):
    """Centres (k, latent) that follow the codes: before each epoch, the means of the codes nearest to them.

    ``scale`` is the mean squared distance of the first codes to their centres, the unit of the loss.
    """

    centers: Tensor
    scale: Tensor

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("centers", centers.detach().float().clone())
        self.register_buffer("scale", torch.zeros((), device=centers.device))

    def before_epoch(self, model: AutoencoderModel, rows: Rows, epoch: int) -> None:
        k, total = len(self.centers), torch.zeros((), dtype=torch.float64, device=rows.device)
        sums = torch.zeros(k, model.latent, dtype=torch.float64, device=rows.device)
        sizes = torch.zeros(k, dtype=torch.float64, device=rows.device)
        codes = encode(model, rows)
        for block in codes.split(_BLOCK_ROWS):
            squares, nearest = squared_distances(block, self.centers).min(1)
            member = F.one_hot(nearest, k).double()
            # A product and not a scattered sum, whose order would be left to chance on a GPU.
            sums, sizes, total = sums + member.T @ block.double(), sizes + member.sum(0), total + squares.double().sum()
        if epoch == 0:
            self.scale = (total / len(codes)).clamp(min=1e-12).float()
        means = sums / sizes.clamp(min=1)[:, None]
        self.centers = torch.where(sizes[:, None] > 0, means.float(), self.centers)  # one without codes stays


def dcn(model: AutoencoderModel, batch: Batch, state: State, *, weight: float = 0.1) -> dict[str, Tensor]:
    """Reconstruction, and "clustering": the squared distance of a code to its nearest centre, as k-means has it.

    B. Yang, X. Fu, N. Sidiropoulos, M. Hong, "Towards k-means-friendly spaces", ICML 2017. Two differences. (1) Centres
    are moved as in Lloyd's algorithm, once an epoch and by all rows, not by one row after the other. (2) The distance
    is relative to its mean before the first epoch, so that ``weight`` means the same whatever the scale of the codes.
    """
    assert isinstance(state, DriftState)
    codes = model.encode(batch.x)
    squares = squared_distances(codes, state.centers).amin(1).mean() / state.scale
    return {**_reconstruction(model, batch.x, codes), "clustering": weight * squares}


class MixtureState(State):
    """A mixture of k normal distributions of codes with diagonal covariances, all of it trained.

    Parameters
    ----------
    weights : Tensor (k,)
    means, variances : Tensor (k, latent)
    """

    def __init__(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(weights.float().clamp(min=1e-6).log())
        self.means = nn.Parameter(means.float().clone())
        self.log_variances = nn.Parameter(variances.float().log().clamp(*_LOG_VARIANCES))

    @property
    def log_weights(self) -> Tensor:
        """(k,), of weights that sum to one."""
        return F.log_softmax(self.logits, 0)

    def log_joint(self, codes: Tensor) -> Tensor:
        """Log density of codes (b, latent) and components, (b, k), without the constant of the normal distribution."""
        return self.log_weights - 0.5 * self._expected(codes, None)

    def _expected(self, mean: Tensor, variance: Tensor | None) -> Tensor:
        """Mean over a code of -2 log of its density under each component, (b, k), but for a constant.

        The code has a normal distribution of this ``mean`` and ``variance`` (b, latent), or is its mean.
        """
        with torch.autocast(mean.device.type, enabled=False):
            logs = self.log_variances.clamp(*_LOG_VARIANCES)
            precisions = torch.exp(-logs)
            # Sums over the code's numbers as matrix products: nothing of b x k x latent is made.
            squares = mean.square() if variance is None else mean.square() + variance
            constant = (self.means.square() * precisions + logs).sum(1)
            return squares @ precisions.T - 2 * mean @ (self.means * precisions).T + constant


def vade(model: AutoencoderModel, batch: Batch, state: State, *, beta: float = 1.0) -> dict[str, Tensor]:
    """Minus the evidence lower bound of a variational autoencoder whose prior is a mixture, in nats.

    Its terms: the reconstruction of a code that is drawn; "divergence" of its distribution from that of its component,
    expected over the components; and "assignment", the divergence of the probabilities of the components from their
    weights; the last two weighted by ``beta``. Z. Jiang, Y. Zheng, H. Tan, B. Tang, H. Zhou, "Variational deep
    embedding", IJCAI 2017, equations 8 and 16.
    """
    assert isinstance(model, VariationalModel)
    assert isinstance(state, MixtureState)
    mean, log_variance = model.posterior(batch.x)
    codes = model.draw(mean, log_variance, state.generator)
    log_shares = F.log_softmax(state.log_joint(codes), 1)
    shares = log_shares.exp()
    own = (1 + log_variance).sum(1)
    divergence = 0.5 * ((shares * state._expected(mean, log_variance.exp())).sum(1) - own)
    assignment = (shares * (log_shares - state.log_weights)).sum(1)
    return {
        **_reconstruction(model, batch.x, codes),
        "divergence": beta * divergence.mean(),
        "assignment": beta * assignment.mean(),
    }


def _reconstruction(model: AutoencoderModel, x: Tensor, codes: Tensor) -> dict[str, Any]:
    return {name: loss.mean() for name, loss in model.losses(x, codes).items()}


def _divergence(state: TargetState, batch: Batch, codes: Tensor) -> Tensor:
    q = student_t(codes, state.centers)
    return F.kl_div(q.log(), state.target(batch.index), reduction="batchmean")
