"""Objectives: their terms by hand, and what draws them together and apart."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from gpuclust.deep.encoding import encode
from gpuclust.deep.objectives import NeighborState, State, elbo, neighbors, reconstruction
from gpuclust.deep.rows import Batch
from gpuclust.deep.training import Training, train
from gpuclust.deep.views import view_of
from tests.deep.helpers import blobs, network, opened


def whole(rows):
    return Batch(rows.x, torch.arange(rows.n_rows), rows)


def same_code(X):
    """Rows and a network whose codes are the rows themselves: linear, the identity."""
    rows, model = opened(X, scaling=None), network(2, 2, widths=())
    with torch.no_grad():
        for layer in (model.parts[0].encoder[0], model.parts[0].decoder[0]):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    return rows, model


def test_neighbours_by_hand():
    """Three rows on a line at 0, 1 and 3: each has one neighbour, and the two others as negatives, drawn in turn."""
    rows, model = same_code(np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]], np.float32))
    state = NeighborState(torch.from_numpy(view_of(rows).neighbors(1)[1]))
    assert state.graph.tolist() == [[1], [0], [1]]
    state.generator = torch.Generator().manual_seed(0)
    terms = neighbors(model, whole(rows), state, weight=1.0, n_negatives=2)
    assert list(terms) == ["reconstruction", "attraction", "repulsion"]
    assert terms["reconstruction"].item() == 0.0
    assert terms["attraction"].item() == pytest.approx((math.log(2) + math.log(2) + math.log(5)) / 3)

    def apart(square):
        return math.log((square + 1) / (square + 1e-3))

    # A turn by one place pairs squares of 1, 4, 9, one by two places 9, 1, 4: any two turns give the same sum.
    assert terms["repulsion"].item() == pytest.approx(2 * (apart(1) + apart(4) + apart(9)) / 3, rel=1e-5)
    heavier = neighbors(model, whole(rows), state, weight=3.0, n_negatives=2)
    assert heavier["attraction"].item() == pytest.approx(3 * terms["attraction"].item())


def test_no_row_is_its_own_negative():
    """All codes equal: attraction is nothing, and every negative is as near as can be."""
    rows, model = same_code(np.zeros((5, 2), np.float32))
    state = NeighborState(torch.zeros(5, 1, dtype=torch.int64))
    state.generator = torch.Generator().manual_seed(0)
    terms = neighbors(model, whole(rows), state, weight=1.0, n_negatives=7)
    assert terms["repulsion"].item() == pytest.approx(4 * math.log(1000), rel=1e-4)  # of 5 rows, 4 are others
    rows, model = same_code(np.zeros((1, 2), np.float32))
    assert neighbors(model, whole(rows), state)["repulsion"].item() == 0.0


def test_neighbours_draw_together_and_others_apart():
    """Trained for attraction and repulsion alone, codes are of two groups that the graph knows and the rows do not."""
    random = np.random.default_rng(0)
    rows = opened(random.normal(size=(40, 30)).astype(np.float32), scaling="standard")
    groups = np.arange(40) % 2
    graph = torch.from_numpy(np.array([random.choice(np.flatnonzero(groups == group), 5) for group in groups]))
    model = network(30, 5, widths=(32,))

    def without_reconstruction(model, batch, state):
        terms = neighbors(model, batch, state, weight=1.0, n_negatives=2)
        return {name: terms[name] for name in ("attraction", "repulsion")}

    training = Training(epochs=200, batch_size=40, learning_rate=1e-2)
    train(model, rows, without_reconstruction, training, state=NeighborState(graph))
    codes = encode(model, rows)
    distances = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
    assert (groups[distances.argmin(1).numpy()] == groups).mean() > 0.9


def test_the_bound_by_hand():
    """The divergence is weighted by beta, and the code that is decoded is drawn, not the mean."""
    rows, model = opened(blobs()), network(variational=True)
    state = State()
    state.generator = torch.Generator().manual_seed(0)
    terms = elbo(model, whole(rows), state, beta=4.0)
    mean, log_variance = model.posterior(rows.x)
    assert terms["divergence"].item() == pytest.approx(4 * model.divergence(mean, log_variance).mean().item())
    drawn = model.draw(mean, log_variance, torch.Generator().manual_seed(0))
    assert terms["reconstruction"].item() == pytest.approx(model.losses(rows.x, drawn)["reconstruction"].mean().item())
    assert terms["reconstruction"].item() != pytest.approx(model.losses(rows.x, mean)["reconstruction"].mean().item())


def test_the_bound_with_neighbours():
    """One neighbour each: what attracts are the means, not the codes that are drawn."""
    rows, model = opened(blobs()), network(variational=True)
    graph = torch.arange(70).roll(1)[:, None]
    found = []
    for weight in (1.0, 3.0):
        state = NeighborState(graph)
        state.generator = torch.Generator().manual_seed(0)
        found.append(elbo(model, whole(rows), state, weight=weight))
    assert list(found[0]) == ["reconstruction", "divergence", "attraction", "repulsion"]
    mean = model.encode(rows.x)
    expected = (mean - mean[graph[:, 0]]).square().sum(1).log1p().mean()
    assert found[0]["attraction"].item() == pytest.approx(expected.item(), rel=1e-5)
    for name, factor in {"reconstruction": 1, "divergence": 1, "attraction": 3, "repulsion": 3}.items():
        assert found[1][name].item() == pytest.approx(factor * found[0][name].item(), rel=1e-5)


def test_codes_are_without_dropout_whatever_the_mode():
    rows, model = opened(blobs()), network(dropout=0.5)
    expected = encode(model.eval(), rows)
    assert torch.equal(encode(model.train(), rows), expected)
    assert model.training


@pytest.mark.parametrize("objective", [reconstruction, elbo], ids=["reconstruction", "elbo"])
def test_noise_is_put_on_what_is_encoded_not_on_what_is_compared(objective):
    rows, model = opened(blobs()), network(variational=objective is elbo)
    seen = []
    model.losses = lambda x, codes: seen.append(x) or {"reconstruction": codes.sum(1)}
    state = State()
    found = []
    for noise in (0.0, 0.5):
        state.generator = torch.Generator().manual_seed(0)
        found.append(partial(objective, noise=noise)(model, whole(rows), state)["reconstruction"].item())
    assert all(torch.equal(x, rows.x) for x in seen)
    assert found[0] != found[1]
