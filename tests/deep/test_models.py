"""Models: plain and variational, by hand and by what must hold of distributions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from gpuclust.deep.modalities import Modality
from gpuclust.deep.models import AutoencoderModel, VariationalModel, build, from_configuration, mask
from gpuclust.errors import GpuclustWarning

LINEAR = Modality(architecture={"widths": ()})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_autoencoder_by_hand():
    """Two features, a code that is their sum, decoded into twice and thrice itself."""
    model = build({"X": LINEAR}, {"X": 2}, 1)
    with torch.no_grad():
        model.parts[0].encoder[0].weight.fill_(1.0)
        model.parts[0].encoder[0].bias.zero_()
        model.parts[0].decoder[0].weight.copy_(torch.tensor([[2.0], [3.0]]))
        model.parts[0].decoder[0].bias.zero_()
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    codes = model.encode(x)
    assert codes.tolist() == [[1.0], [2.0]]
    assert model.decode(codes).tolist() == [[2.0, 3.0], [4.0, 6.0]]
    losses = model.losses(x, codes)
    assert {name: loss.tolist() for name, loss in losses.items()} == {
        "reconstruction": [5.0, 17.0]
    }  # means of 2 values


def test_a_variational_one_by_hand():
    model = build({"X": LINEAR}, {"X": 1}, 1, variational=True)
    with torch.no_grad():
        model.parts[0].encoder[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        model.parts[0].encoder[0].bias.copy_(torch.tensor([0.0, math.log(4.0)]))
    mean, log_variance = model.posterior(torch.tensor([[3.0]]))
    assert (mean.item(), log_variance.exp().item()) == (3.0, pytest.approx(4.0))
    assert model.encode(torch.tensor([[3.0]])).item() == 3.0
    # KL(N(3, 4) || N(0, 1)) = (9 + 4 - 1 - log 4) / 2
    assert model.divergence(mean, log_variance).item() == pytest.approx(6 - math.log(2))
    drawn = model.draw(mean.expand(20_000, 1), log_variance.expand(20_000, 1), seeded())
    assert drawn.mean().item() == pytest.approx(3.0, abs=0.05)
    assert drawn.std().item() == pytest.approx(2.0, abs=0.05)


def test_gradients_pass_through_a_drawn_code():
    mean, log_variance = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    code = VariationalModel.draw(mean, log_variance, seeded())
    code.sum().backward()
    assert mean.grad.item() == 1.0
    assert log_variance.grad.item() == pytest.approx(code.item() / 2)  # d exp(l / 2) e / dl = e / 2 where l = 0


def test_masking_noise():
    x = torch.ones(200, 50)
    x[0] = torch.nan
    masked = mask(x, 0.2, seeded())
    assert masked[0].isnan().all()  # what is missing stays missing
    assert masked[1:].unique().tolist() == [0.0, 1.0]
    assert masked[1:].mean().item() == pytest.approx(0.8, abs=0.02)
    assert torch.equal(masked.nan_to_num(), mask(x, 0.2, seeded()).nan_to_num())


def test_weights_depend_on_the_seed_alone_and_nothing_global_is_touched():
    state = torch.random.get_rng_state()
    first, again, other = (build({"X": Modality()}, {"X": 20}, 3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("variational", [False, True])
def test_a_model_from_its_configuration(variational):
    modalities = {
        "genes": Modality("negative_binomial", {"widths": (6,)}, weight=2.0),
        "image": Modality(architecture={"kind": "conv", "widths": (2,), "shape": (3, 4)}),
    }
    model = build(modalities, {"genes": 5, "image": 12}, 2, variational=variational)
    again = from_configuration(json.loads(json.dumps(model.configuration())))
    again.load_state_dict(model.state_dict())
    x = torch.from_numpy(np.random.default_rng(0).poisson(2.0, (7, 17)).astype(np.float32))
    assert isinstance(again, VariationalModel) == variational
    assert torch.equal(again.encode(x), model.encode(x))
    assert torch.equal(again.decode(model.encode(x)), model.decode(model.encode(x)))
    assert again.configuration() == model.configuration()


def test_codes_wider_than_rows_are_said():
    with pytest.warns(GpuclustWarning, match="Codes of 5 numbers are wider than rows of 4 features"):
        assert isinstance(build({"X": LINEAR}, {"X": 4}, 5), AutoencoderModel)
