"""Objectives: plain functions of (model, batch, state) that return the named terms of a loss, whose sum is minimised.

Each term is a scalar, a mean over the rows of the batch, with its weight applied. What an objective can be told beside
these three, it takes as keywords: ``functools.partial(elbo, beta=4.0)``. What it needs to keep is in its state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gpuclust.deep.models import AutoencoderModel, VariationalModel, mask
from gpuclust.deep.rows import Batch, Rows

__all__ = ["NeighborState", "Objective", "State", "elbo", "neighbors", "reconstruction"]


class State(nn.Module):
    """What an objective keeps: its parameters are trained beside the model's, its buffers saved in checkpoints.

    Attributes
    ----------
    generator : torch.Generator
        Where an objective's random numbers come from; set by the trainer, anew for every epoch.
    """

    generator: torch.Generator | None = None

    def before_epoch(self, model: AutoencoderModel, rows: Rows, epoch: int) -> None:
        """Called before each epoch, without gradients: what depends on all rows is computed here.

        It must not depend on anything that is not in the model, the rows, the parameters and buffers of this state and
        the number of the ``epoch``, from 0: then training that was interrupted goes on to the same bits.
        """


Objective: TypeAlias = Callable[[AutoencoderModel, Batch, State], Mapping[str, Tensor]]


def reconstruction(model: AutoencoderModel, batch: Batch, state: State, *, noise: float = 0.0) -> dict[str, Tensor]:
    """How far rows are from what is decoded of their codes: one term, "reconstruction", or one for each modality.

    ``noise`` is the share of values that are masked before they are encoded (`gpuclust.deep.models.mask`).
    """
    x = mask(batch.x, noise, state.generator) if noise else batch.x
    return _means(model.losses(batch.x, model.encode(x)))


def elbo(
    model: AutoencoderModel,
    batch: Batch,
    state: State,
    *,
    beta: float = 1.0,
    noise: float = 0.0,
    weight: float = 1.0,
    n_negatives: int = 5,
) -> dict[str, Tensor]:
    """Minus the evidence lower bound, its terms apart: the reconstruction of a code that is drawn, and "divergence".

    The divergence from the prior is weighted by ``beta`` (I. Higgins et al., "beta-VAE", ICLR 2017). With a
    `NeighborState`, the means keep the neighbourhoods of rows: see `neighbors`.
    """
    assert isinstance(model, VariationalModel)
    x = mask(batch.x, noise, state.generator) if noise else batch.x
    mean, log_variance = model.posterior(x)
    terms = _means(model.losses(batch.x, model.draw(mean, log_variance, state.generator)))
    terms["divergence"] = beta * model.divergence(mean, log_variance).mean()
    return terms | (_kept(model, batch, state, mean, weight, n_negatives) if isinstance(state, NeighborState) else {})


class NeighborState(State):
    """The graph of nearest neighbours: row i's are ``graph[i]``, (n, n_neighbors) int64."""

    graph: Tensor

    def __init__(self, graph: Tensor) -> None:
        super().__init__()
        self.register_buffer("graph", graph, persistent=False)  # a function of the rows: made again, not saved


def neighbors(
    model: AutoencoderModel,
    batch: Batch,
    state: State,
    *,
    weight: float = 1.0,
    n_negatives: int = 5,
    noise: float = 0.0,
) -> dict[str, Tensor]:
    """Reconstruction, and codes that keep the neighbourhoods of rows.

    With q = 1 / (1 + |z_i - z_j|**2), "attraction" is -log q of a row and one of its neighbours, drawn anew in each
    step, and "repulsion" the sum of -log (1 - q) of a row and ``n_negatives`` other rows of the batch: the
    cross-entropy of UMAP (L. McInnes, J. Healy, J. Melville, arXiv:1802.03426), with edges of equal weight, learned by
    the encoder as in T. Sainburg, L. McInnes, T. Gentner, "Parametric UMAP embeddings", Neural Computation 33, 2021.
    """
    assert isinstance(state, NeighborState)
    x = mask(batch.x, noise, state.generator) if noise else batch.x
    codes = model.encode(x)
    return _means(model.losses(batch.x, codes)) | _kept(model, batch, state, codes, weight, n_negatives)


def _kept(
    model: AutoencoderModel, batch: Batch, state: NeighborState, codes: Tensor, weight: float, n_negatives: int
) -> dict[str, Tensor]:
    """Attraction and repulsion of the batch's codes: see `neighbors`."""
    graph, b = state.graph[batch.index], len(batch.x)
    pick = torch.randint(graph.shape[1], (b, 1), generator=state.generator, device=graph.device)
    others = model.encode(batch.rows.take(graph.gather(1, pick)[:, 0])).float()
    z = codes.float()
    attraction = (z - others).square().sum(1).log1p()
    repulsion = torch.zeros_like(attraction)
    for _ in range(min(n_negatives, b - 1)):
        # A turn by 1 to b - 1 places: no row is its own negative.
        turn = torch.randint(1, b, (1,), generator=state.generator, device=graph.device)
        places = (torch.arange(b, device=graph.device) + turn) % b
        squares = (z - z[places]).square().sum(1)
        repulsion = repulsion + (squares + 1).log() - (squares + 1e-3).log()
    return {"attraction": weight * attraction.mean(), "repulsion": weight * repulsion.mean()}


def _means(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: loss.mean() for name, loss in losses.items()}
