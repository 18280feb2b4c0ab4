"""A trained model over all rows, block by block, without gradients, on its device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gpuclust.deep.models import AutoencoderModel
from gpuclust.deep.rows import Rows

__all__ = ["decode", "encode", "over_rows"]


def over_rows(model: AutoencoderModel, rows: Rows, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function`` of blocks of rows (b, n_features), one result for each row, together on the device.

    Blocks have always as many rows, so that the result of a row does not depend on the rows beside it.
    """
    training = model.training
    model.eval()
    out: Tensor | None = None
    try:
        with torch.no_grad():
            for first, count, block in rows.blocks():
                values = function(block)
                if out is None:
                    out = torch.empty((rows.n_rows, *values.shape[1:]), dtype=values.dtype, device=values.device)
                out[first : first + count] = values[:count]
    finally:
        model.train(training)
    assert out is not None  # a source has at least one row
    return out


def encode(model: AutoencoderModel, rows: Rows) -> Tensor:
    """Codes of all rows, (n, latent) float32, on the device, C-contiguous: what the engines take by DLPack."""
    return over_rows(model, rows, lambda block: model.encode(block).float())


def decode(model: AutoencoderModel, codes: Tensor) -> Tensor:
    """Expected rows of codes (m, latent), scaled as the network sees them, (m, n_features) float32, on the device."""
    with torch.no_grad():
        return model.decode(codes.to(model.device, torch.float32))
