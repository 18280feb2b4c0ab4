"""Objectives that know of clusters: their terms by hand and against NumPy in float64."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from gpuclust import GaussianMixture
from gpuclust.deep.clustering.heads import ClustererHead
from gpuclust.deep.clustering.methods import METHODS
from gpuclust.deep.clustering.objectives import DriftState, MixtureState, TargetState, dcn, dec, idec, vade
from gpuclust.deep.clustering.soft import sharpen, squared_distances, student_t
from gpuclust.deep.encoding import encode
from gpuclust.deep.rows import Batch
from gpuclust.deep.training import Training, train
from tests.deep.helpers import blobs, network, opened

ON_A_LINE = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]], np.float32)


def batch_of(rows, index=None):
    index = torch.arange(rows.n_rows) if index is None else torch.tensor(index)
    return Batch(rows.x[index], index, rows)


def same_code(X):
    """Rows and a network whose codes are the rows themselves, and are decoded as 0.9 times themselves."""
    rows, model = opened(X, scaling=None), network(2, 2, widths=())
    with torch.no_grad():
        for layer, factor in ((model.parts[0].encoder[0], 1.0), (model.parts[0].decoder[0], 0.9)):
            layer.weight.copy_(factor * torch.eye(2))
            layer.bias.zero_()
    return rows, model


def prepared(state, rows, model, epoch=0):
    with torch.no_grad():
        state.before_epoch(model, rows, epoch)
    state.generator = torch.Generator().manual_seed(0)
    return state


def test_soft_assignment_by_hand():
    codes, centers = torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert squared_distances(codes, centers).tolist() == [[0.0, 1.0], [4.0, 5.0]]
    torch.testing.assert_close(student_t(codes, centers), torch.tensor([[2 / 3, 1 / 3], [6 / 11, 5 / 11]]))


def test_soft_assignment_far_from_the_origin():
    """As exact where everything lies at 1e5, where squares of float32 have no digit left for a distance of 1."""
    random = np.random.default_rng(0)
    codes, centers = random.integers(0, 8, (50, 3)) / 4, random.integers(0, 8, (4, 3)) / 4
    expected = 1 / (1 + ((codes[:, None] - centers) ** 2).sum(2))
    expected /= expected.sum(1, keepdims=True)
    for shift in (0.0, 1e5):
        found = student_t(torch.from_numpy(codes + shift).float(), torch.from_numpy(centers + shift).float())
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_networks_of_bfloat16_leave_distances_alone():
    """Of which 8 bits would remain."""
    codes = torch.from_numpy(blobs(d=3))
    state = MixtureState(torch.ones(2) / 2, codes[:2], torch.full((2, 3), 0.01))
    expected = squared_distances(codes, codes[:2]), state.log_joint(codes)
    with torch.autocast("cpu", torch.bfloat16):
        found = squared_distances(codes, codes[:2]), state.log_joint(codes)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_target_by_hand():
    q = torch.tensor([[0.8, 0.2], [0.4, 0.6]])  # frequencies of 1.2 and 0.8
    first, second = 0.64 / 1.2 / (0.64 / 1.2 + 0.04 / 0.8), 0.16 / 1.2 / (0.16 / 1.2 + 0.36 / 0.8)
    expected = torch.tensor([[first, 1 - first], [second, 1 - second]])
    torch.testing.assert_close(sharpen(q), expected)
    torch.testing.assert_close(sharpen(q[:1], q.sum(0)), expected[:1])


def test_the_target_is_of_all_rows_and_of_the_epoch_before():
    rows, model = opened(blobs()), network()
    state = prepared(TargetState(encode(model, rows)[:3]), rows, model)
    expected = sharpen(student_t(encode(model, rows), state.centers)).detach()
    with torch.no_grad():  # as a step does
        state.centers += 1
        model.parts[0].encoder[0].weight += 1
    torch.testing.assert_close(state.target(torch.tensor([5, 69, 2])), expected[[5, 69, 2]])
    prepared(state, rows, model, 1)
    assert not torch.allclose(state.target(torch.arange(70)), expected)


def test_dec_and_idec_by_hand():
    rows, model = same_code(ON_A_LINE)
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    state = prepared(TargetState(centers), rows, model)
    q = 1 / (1 + ((ON_A_LINE[:, None].astype(float) - centers.numpy()) ** 2).sum(2))
    q /= q.sum(1, keepdims=True)
    p = q**2 / q.sum(0)
    p /= p.sum(1, keepdims=True)
    rows_apart = (p * np.log(p / q)).sum(1)
    terms = dec(model, batch_of(rows), state)
    assert list(terms) == ["clustering"]
    assert terms["clustering"].item() == pytest.approx(rows_apart.mean(), rel=1e-4)
    # Of some rows: the target is still that of all.
    some = idec(model, batch_of(rows, [3, 1]), state, weight=0.5)
    assert some["clustering"].item() == pytest.approx(0.5 * rows_apart[[3, 1]].mean(), rel=1e-4)
    # Of each row, the mean over its two values of the square of a tenth of it.
    assert some["reconstruction"].item() == pytest.approx((1.1**2 + 0.1**2) / 2 / 2, rel=1e-4)
    # The gradient of the paper's equation 4.
    terms["clustering"].backward()
    apart = ON_A_LINE[:, None] - centers.numpy()
    pull = (p - q) / (1 + (apart**2).sum(2))
    expected = -2 * (pull[:, :, None] * apart).sum(0) / len(ON_A_LINE)
    np.testing.assert_allclose(state.centers.grad, expected, atol=1e-6)


def test_dcn_by_hand():
    rows, model = same_code(ON_A_LINE)
    state = prepared(DriftState(torch.tensor([[0.0, 0.0], [10.0, 0.0], [99.0, 0.0]])), rows, model)
    assert state.centers.tolist() == [[0.5, 0.0], [10.5, 0.0], [99.0, 0.0]]  # the last has no rows: it stays
    assert state.scale.item() == pytest.approx(0.5, rel=1e-3)  # squares of 0, 1, 0 and 1 from the centres before
    terms = dcn(model, batch_of(rows), state, weight=0.1)
    assert terms["clustering"].item() == pytest.approx(0.1 * 0.25 / 0.5, rel=1e-3)
    assert terms["reconstruction"].item() == pytest.approx((1 + 100 + 121) * 0.01 / 2 / 4, rel=1e-4)
    assert prepared(state, rows, model, 1).scale.item() == pytest.approx(0.5, rel=1e-3)  # of the first epoch, for good


@pytest.mark.parametrize("k", [1, 3])
def test_vade_in_numpy(k):
    """Equation 16 of the paper, term by term, loops and float64, for the codes that are drawn."""
    rows, model, random = opened(blobs()), network(variational=True), np.random.default_rng(k)
    weights = random.dirichlet(np.ones(k))
    means, variances = random.normal(size=(k, 2)), random.uniform(0.5, 2, (k, 2))
    state = prepared(MixtureState(*map(torch.from_numpy, (weights, means, variances))), rows, model)
    terms = vade(model, batch_of(rows), state, beta=0.3)
    mean, log_variance = model.posterior(rows.x)
    drawn = model.draw(mean, log_variance, torch.Generator().manual_seed(0))
    z, m, v = (value.detach().double().numpy() for value in (drawn, mean, log_variance.exp()))
    divergence = assignment = 0.0
    for row in range(len(z)):
        joint = weights * np.exp(-0.5 * ((z[row] - means) ** 2 / variances + np.log(variances)).sum(1))
        share = joint / joint.sum()
        for c in range(k):
            inside = np.log(variances[c]) + (v[row] + (m[row] - means[c]) ** 2) / variances[c] - 1 - np.log(v[row])
            divergence += 0.5 * share[c] * inside.sum() / len(z)
            assignment += share[c] * math.log(share[c] / weights[c]) / len(z)
    assert list(terms) == ["reconstruction", "divergence", "assignment"]
    assert terms["divergence"].item() == pytest.approx(0.3 * divergence, rel=1e-4)
    assert terms["assignment"].item() == pytest.approx(0.3 * assignment, rel=1e-4, abs=1e-6)
    expected = model.losses(rows.x, drawn)["reconstruction"].mean()
    assert terms["reconstruction"].item() == pytest.approx(expected.item())


def test_one_standard_component_is_the_plain_bound():
    rows, model = opened(blobs()), network(variational=True)
    state = prepared(MixtureState(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2)), rows, model)
    terms = vade(model, batch_of(rows), state)
    expected = model.divergence(*model.posterior(rows.x)).mean()
    assert terms["divergence"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["assignment"].item() == 0.0


def test_the_prior_begins_as_the_mixture_and_ends_as_one():
    codes, refinement = torch.from_numpy(blobs(d=2)), METHODS["vade"].refinement
    head, _ = ClustererHead.fit(GaussianMixture(3, covariance_type="diag", random_state=0), codes)
    state = refinement.begin(head)
    found = torch.softmax(state.log_joint(codes), 1).detach()
    np.testing.assert_allclose(found, head.soft(codes), atol=1e-4)
    with torch.no_grad():
        for values in state.parameters():
            values += torch.linspace(0.1, 0.3, values.numel()).reshape(values.shape)
    found, after = torch.softmax(state.log_joint(codes), 1).detach(), refinement.end(state)
    np.testing.assert_allclose(after.soft(codes), found, atol=1e-4)
    np.testing.assert_array_equal(after.labels(codes), found.argmax(1))
    assert torch.equal(after.centers, state.means)
    assert np.abs(after.soft(codes) - head.soft(codes)).max() > 0.01


@pytest.mark.parametrize("objective", [dec, partial(idec, weight=0.5), partial(dcn, weight=0.5)])
def test_training_draws_codes_to_their_centres(objective):
    """Relative to how far clusters are apart, codes end nearer to the centres than they began."""
    random, places = np.random.default_rng(0), np.array([[0, 0], [4, 0], [0, 4]])
    rows, model = same_code((places[np.arange(90) % 3] + 0.7 * random.normal(size=(90, 2))).astype(np.float32))

    def spread(codes, centers):
        apart = squared_distances(centers, centers).sum() / 6
        return (squared_distances(codes, centers).amin(1).mean() / apart).item()

    centers = torch.from_numpy(places).float()
    state = (DriftState if "dcn" in repr(objective) else TargetState)(centers)
    train(model, rows, objective, Training(epochs=20, batch_size=30, learning_rate=1e-2), state=state)
    assert spread(encode(model, rows), state.centers.detach()) < 0.9 * spread(rows.x, centers)
    assert squared_distances(state.centers.detach(), centers).sqrt().amin(1).max() < 2
