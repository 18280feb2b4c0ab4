"""Encoders and decoders: by hand, their shapes, their weights, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch

from gpuclust.deep.modalities import as_architecture
from gpuclust.deep.networks import NAMED, Architecture, Dropout, decoder, encoder, initialise
from gpuclust.errors import DataError, ParameterError

SHAPED = [
    pytest.param(Architecture(widths=(7, 5)), 12, id="dense"),
    pytest.param(Architecture(widths=()), 12, id="linear"),
    pytest.param(Architecture(widths=(7, 5), tied=True, dropout=0.5), 12, id="tied"),
    pytest.param(Architecture("conv", (3, 4), (5, 6)), 30, id="image"),
    pytest.param(Architecture("conv", (3, 4, 2), (7, 4, 3)), 84, id="colour"),
    pytest.param(Architecture("conv1d", (3, 4), (9,), "elu"), 9, id="series"),
    pytest.param(Architecture("conv1d", (3,), (5, 2), activation="gelu"), 10, id="channels"),
    pytest.param(Architecture("gru", (6,), (5, 2)), 10, id="gru"),
]


def networks(architecture, n_features, n_codes=2, seed=0):
    forward = encoder(architecture, n_features, n_codes)
    back = decoder(architecture, n_features, n_codes, forward)
    both = torch.nn.ModuleList([forward, back])
    initialise(both, torch.Generator().manual_seed(seed))
    return forward.eval(), back.eval()


def test_a_dense_encoder_by_hand():
    forward, _ = networks(Architecture(widths=(2,)), 2, 1)
    with torch.no_grad():
        forward[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        forward[0].bias.copy_(torch.tensor([0.0, 1.0]))
        forward[2].weight.copy_(torch.tensor([[2.0, 3.0]]))
        forward[2].bias.zero_()
    # (1, -1): hidden (1, 2), code 8; (-1, 2): hidden (0, 0) after the rectifier, code 0.
    assert forward(torch.tensor([[1.0, -1.0], [-1.0, 2.0]])).tolist() == [[8.0], [0.0]]


def test_an_image_is_unfolded_in_c_order_with_channels_last():
    """A convolution that picks one pixel and one channel finds it where C order puts it."""
    forward, _ = networks(Architecture("conv", (1,), (2, 2, 3)), 12, 1)
    with torch.no_grad():
        forward.layers[0].weight.zero_()
        forward.layers[0].weight[0, 2, 1, 1] = 1.0  # the centre of the kernel lies on pixel (0, 0); channel 2
        forward.layers[0].bias.zero_()
        forward.codes.weight.fill_(1.0)
        forward.codes.bias.zero_()
    rows = torch.eye(12)
    assert forward(rows)[:, 0].nonzero().tolist() == [[2]]


@pytest.mark.parametrize(("architecture", "n_features"), SHAPED)
def test_rows_come_back_in_their_shape(architecture, n_features):
    forward, back = networks(architecture, n_features)
    x = torch.rand(4, n_features, generator=torch.Generator().manual_seed(1))
    codes = forward(x)
    assert codes.shape == (4, 2)
    assert back(codes).shape == x.shape
    torch.testing.assert_close(forward(x[1:2]), codes[1:2])


@pytest.mark.parametrize(("architecture", "n_features"), SHAPED)
def test_every_weight_takes_part_and_is_drawn(architecture, n_features):
    forward, back = networks(architecture, n_features)
    x = torch.rand(64, n_features, generator=torch.Generator().manual_seed(1))
    back(forward(x)).square().sum().backward()
    for weight in [*forward.parameters(), *back.parameters()]:
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0
        assert weight.isfinite().all()


def test_weights_depend_on_the_seed_alone():
    first, again, other = (networks(NAMED["small"], 9, seed=seed)[0][0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 9**-0.5
    assert first.abs().max() > 0.9 * 9**-0.5


def test_dropout_draws_from_its_own_generator():
    layer, x = Dropout(0.25), torch.ones(1000, 10)
    state = torch.random.get_rng_state()
    layer.generator = torch.Generator().manual_seed(3)
    out = layer.train()(x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert out.mean() == pytest.approx(1.0, abs=0.03)
    layer.generator = torch.Generator().manual_seed(3)
    assert torch.equal(layer(x), out)
    assert torch.equal(layer.eval()(x), x)
    assert copy.deepcopy(layer).generator is None


def test_tied_weights_are_the_encoders():
    architecture = Architecture(widths=(3,), tied=True)
    forward, back = networks(architecture, 4, 2)
    assert sorted(name for name, _ in back.named_parameters()) == ["biases.0", "biases.1"]
    x = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    codes = forward(x)
    expected = torch.relu(codes @ forward[2].weight + back.biases[0]) @ forward[0].weight + back.biases[1]
    torch.testing.assert_close(back(codes), expected)
    # An encoder of distributions has twice as many outputs: the means' weights are tied.
    forward, _ = networks(architecture, 4, 4)
    back = decoder(architecture, 4, 2, forward)
    assert back(codes).shape == x.shape


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "transformer"}, "kind='transformer'"),
        ({"activation": "step"}, "activation='step'"),
        ({"widths": (4, 0)}, r"widths=\(4, 0\)"),
        ({"dropout": 1.0}, r"dropout=1.0 should be in \[0, 1\)"),
        ({"kind": "conv"}, "needs the shape"),
        ({"kind": "conv", "shape": (8,)}, r"shape=\(8,\) should have 2 or, with channels, 3"),
        ({"kind": "gru", "shape": (8,)}, "one number for kind='gru'"),
        ({"kind": "conv", "shape": (8, 8), "tied": True}, "for kind='dense'"),
        ({"shape": (0, 3)}, r"shape=\(0, 3\)"),
    ],
)
def test_architectures_that_break_a_rule(fields, message):
    with pytest.raises(ParameterError, match=message):
        Architecture(**fields)


def test_a_shape_that_does_not_fit_the_rows():
    with pytest.raises(DataError, match=r"shape=\(8, 7\) does not fit rows of 64 features: 8 x 7 = 56"):
        encoder(Architecture("conv", shape=(8, 7)), 64, 2)


def test_architectures_by_name_and_from_fields():
    assert as_architecture("large").widths == (500, 500, 2000)
    assert as_architecture({"widths": [3, 4]}) == Architecture(widths=(3, 4))
    with pytest.raises(ParameterError, match="'huge' should be one of"):
        as_architecture("huge")
    with pytest.raises(ParameterError, match="depth"):
        as_architecture({"depth": 3})
