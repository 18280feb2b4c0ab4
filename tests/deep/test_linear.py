"""Linear layers by oneDNN: the values and derivatives of torch's own, and where torch's own are taken."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gpuclust.deep import linear as module
from gpuclust.deep.linear import Linear, linear


def test_by_hand():
    x, weight, bias = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, -1.0]]), torch.tensor([0.5, 0.0])
    assert linear(x, weight, bias).tolist() == [[11.5, -2.0]]
    assert linear(x, weight, None).tolist() == [[11.0, -2.0]]


@pytest.mark.parametrize(("rows", "before", "after"), [(1, 1, 1), (7, 3, 5), (256, 64, 100)])
@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_derivatives_are_those_of_torch(rows, before, after, layout, biased):
    draw = torch.Generator().manual_seed(rows)
    x, weight, bias, gradient = (
        torch.randn(*shape, generator=draw) for shape in ((rows, before), (after, before), (after,), (rows, after))
    )
    if layout == "columns":
        x, weight, gradient = (each.t().contiguous().t() for each in (x, weight, gradient))
    found = []
    for function in (linear, F.linear):
        given = [each.clone().requires_grad_() for each in ((x, weight, bias) if biased else (x, weight))]
        y = function(*given, *(() if biased else (None,)))
        y.backward(gradient)
        found.append((y.detach(), *(each.grad for each in given)))
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, atol=1e-4, rtol=1e-5)


def test_only_derivatives_that_are_asked_for(monkeypatch):
    calls = []
    product = module._product
    monkeypatch.setattr(module, "_product", lambda *given: calls.append(1) or product(*given))
    layer = Linear(3, 2)
    layer(torch.ones(4, 3)).sum().backward()
    n_of_weight = len(calls)
    layer(torch.ones(4, 3, requires_grad=True)).sum().backward()
    assert (n_of_weight, len(calls)) == (2, 5) if module._HAS_ONEDNN else (0, 0)


@pytest.mark.parametrize("case", ["float64", "three axes", "no rows", "autocast", "no oneDNN"])
def test_torch_computes_what_is_no_float32_matrix(monkeypatch, case):
    monkeypatch.setattr(module, "_product", None)
    x, weight = torch.ones(4, 3), torch.ones(2, 3)
    if case == "float64":
        x, weight = x.double(), weight.double()
    elif case == "three axes":
        x = x[None]
    elif case == "no rows":
        x = x[:0]
    elif case == "no oneDNN":
        monkeypatch.setattr(module, "_HAS_ONEDNN", False)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        assert torch.equal(linear(x, weight, None), F.linear(x, weight))
