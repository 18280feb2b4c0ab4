"""Linear layers whose matrix products on the CPU are oneDNN's.

torch gives float32 products on the CPU to MKL, which leaves half of an AVX-512 processor idle if Intel did not make it:
115 of 250 GFLOP/s on a core of an AMD EPYC. oneDNN, which is in every torch for x86, asks the processor what it can do.
The operator is the one that torch's own compiler calls; a torch without it computes as usual.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Linear", "linear"]

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """`torch.nn.Linear` by :func:`linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, in_features) to (b, out_features)."""
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.T + bias``, as `torch.nn.functional.linear`, and as differentiable."""
    if (
        _HAS_ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.ndim == 2
        and x.numel()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    ):
        return _OneDnn.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class _OneDnn(torch.autograd.Function):
    """The product and its derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if of_x else None,
            _product(gradient.t(), x.t()) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b.T + bias`` of strided float32 matrices."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], None)
