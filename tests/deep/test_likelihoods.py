"""Likelihoods: by hand, against scipy's distributions, and their means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuclust.deep.likelihoods import LIKELIHOODS, Bernoulli, Categorical, Gaussian, NegativeBinomial, Poisson

COUNTS = torch.tensor([[0.0, 1.0, 7.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1000.0, 2.0, 5.0]])
OUTPUTS = torch.tensor([[0.5, -1.0, 2.0], [-3.0, 0.0, 1.0], [0.1, 0.2, 0.3], [6.0, 1.0, -2.0]])


def test_by_hand():
    x = torch.tensor([[1.0, 0.0]])
    zero = torch.zeros(1, 2)
    assert Gaussian(2).loss(torch.tensor([[3.0, 1.0]]), x).item() == 5.0
    assert Bernoulli(2).loss(zero, x).item() == pytest.approx(2 * math.log(2))
    assert Categorical(2).loss(zero, x).item() == pytest.approx(math.log(2))
    assert Poisson(2).loss(zero, torch.tensor([[2.0, 0.0]])).item() == pytest.approx(2 + math.log(2))
    # Two counts of typical total 1, so a size of 1; dispersion 1 is a geometric distribution: p(x) = (1 / 2)**(x + 1).
    assert NegativeBinomial(2).loss(zero, x).item() == pytest.approx(3 * math.log(2))


def test_against_scipy():
    x, outputs = COUNTS.double().numpy(), OUTPUTS.double().numpy()
    poisson = -scipy.stats.poisson(np.exp(outputs)).logpmf(x).sum(1)
    np.testing.assert_allclose(Poisson(3).loss(OUTPUTS, COUNTS).numpy(), poisson, rtol=1e-5)

    likelihood = NegativeBinomial(3)
    likelihood.typical_total.fill_(4.0)
    with torch.no_grad():
        likelihood.log_dispersion.copy_(torch.tensor([0.0, 1.0, -1.0]))
    theta = np.exp([0.0, 1.0, -1.0])
    mu = np.maximum(x.sum(1, keepdims=True), 1) / 4 * np.exp(outputs)
    expected = -scipy.stats.nbinom(theta, theta / (theta + mu)).logpmf(x).sum(1)
    np.testing.assert_allclose(likelihood.loss(OUTPUTS, COUNTS).detach().numpy(), expected, rtol=1e-4)

    bits = (x > 0).astype(float)
    bernoulli = -scipy.stats.bernoulli(1 / (1 + np.exp(-outputs))).logpmf(bits).sum(1)
    np.testing.assert_allclose(Bernoulli(3).loss(OUTPUTS, torch.from_numpy(bits).float()), bernoulli, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_the_mean_has_the_least_expected_loss(name):
    """For rows drawn around one mean, gradient descent on the outputs ends with that mean."""
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    likelihood = LIKELIHOODS[name](3)
    outputs = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.Adam([outputs], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        likelihood.loss(outputs.expand(4, 3), rows).mean().backward()
        optimizer.step()
    assert likelihood.mean(outputs)[0].tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.02)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LIKELIHOODS)), st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3))
def test_losses_and_gradients_stay_finite(name, outputs):
    likelihood = LIKELIHOODS[name](3)
    o = torch.tensor([outputs], requires_grad=True)
    for x in ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0]):
        loss = likelihood.loss(o, torch.tensor([x]))
        loss.sum().backward()
        assert loss.shape == (1,)
        assert loss.isfinite().all()
        assert o.grad.isfinite().all()


def test_what_the_encoder_sees_of_counts():
    assert Poisson(3).read(COUNTS)[0].tolist() == pytest.approx([0.0, math.log(2), math.log(8)])
    likelihood = NegativeBinomial(3)
    likelihood.typical_total.fill_(8.0)
    # Twice as many counts of the same row: the same to the encoder, as its total is twice the typical one.
    torch.testing.assert_close(likelihood.read(COUNTS[:1]), likelihood.read(COUNTS[:1] * 2))
    assert likelihood.read(COUNTS).isfinite().all()
