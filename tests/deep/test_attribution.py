"""Attribution: by hand for a linear network, against plain autograd, and for features that are planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpuclust import Autoencoder, KMeans
from gpuclust.deep.attribution import attribute
from gpuclust.deep.clustering.soft import student_t
from gpuclust.deep.modalities import Modality
from gpuclust.deep.models import build
from tests.deep.helpers import blobs, network, opened


def linear(weights):
    """A network whose codes are rows times ``weights`` (latent, d)."""
    model = network(d=len(weights[0]), latent=len(weights), widths=())
    (layer,) = model.parts[0].encoder
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.zero_()
    return model


def test_two_rows_by_hand():
    """Codes are the first feature, at the centres -1 and 1; the mean row is 0.

    At z = 1, q = a / (a + b) with a = 1, a' = 0, b = 1 / 5, b' = -4 / 25: q' = -a b' / (a + b)**2 = 1 / 9.
    """
    rows = opened(np.float32([[-1, 5, 0], [1, -5, 0]]), scaling=None)
    found = attribute(linear([[1.0, 0, 0]]), rows, np.array([[-1.0], [1.0]]), np.array([0, 1]), steps=1)
    np.testing.assert_allclose(found, [[1 / 9, 0, 0], [1 / 9, 0, 0]], atol=1e-7)


def test_two_steps_by_hand():
    """The same, with the gradient at z = 1/2 too: a = 4/5, a' = 16/25, b = 4/13, b' = -48/169, q' = 234/324."""
    rows = opened(np.float32([[-1, 5, 0], [1, -5, 0]]), scaling=None)
    a, da, b, db = 4 / 5, 16 / 25, 4 / 13, -48 / 169
    half = (da * b - a * db) / (a + b) ** 2
    found = attribute(linear([[1.0, 0, 0]]), rows, np.array([[-1.0], [1.0]]), np.array([0, 1]), steps=2)
    np.testing.assert_allclose(found[:, 0], (half + 1 / 9) / 2, rtol=1e-6)


def test_input_is_measured_from_the_mean_row():
    X = np.float32([[-1, 5, 0], [1, -5, 0]])
    centers, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    found = attribute(linear([[1.0, 0, 0]]), opened(X, scaling=None), centers, labels)
    far = attribute(linear([[1.0, 0, 0]]), opened(X + np.float32([64, 0, 3]), scaling=None), centers + 64, labels)
    np.testing.assert_allclose(far, found, atol=1e-6)


def by_autograd(model, x, centers, labels, steps):
    """The definition, for one row after the other, in float64."""
    model, baseline = model.double(), x.double().mean(0)
    sums, sizes = np.zeros((len(centers), x.shape[1])), np.zeros(len(centers))
    for row, label in zip(x.double(), labels, strict=True):
        for step in range(1, steps + 1) if label >= 0 else ():
            at = (baseline + step / steps * (row - baseline)).requires_grad_()
            distances = (model.parts[0].encoder(at[None]) - torch.from_numpy(centers)).square().sum(1)
            near = 1 / (1 + distances)
            (near[label] / near.sum()).backward()
            sums[label] += ((row - baseline) * at.grad / steps).detach().numpy()
        sizes[label] += label >= 0
    model.float()
    return sums / sizes[:, None]


def test_like_autograd_row_by_row():
    """More rows than a block has, noise among them, and clusters in any order."""
    X, random = blobs(300), np.random.default_rng(1)
    rows, model, centers = opened(X), network(), random.normal(size=(4, 2))
    labels = random.integers(-1, 4, size=300)
    found = attribute(model, rows, centers, labels, steps=3)
    np.testing.assert_allclose(found, by_autograd(model, rows.x, centers, labels, 3), rtol=1e-4, atol=1e-6)


def test_they_sum_to_what_is_explained():
    """To q of the rows less q of the mean row, the more exactly the more steps there are."""
    rows, model = opened(blobs(60)), network()
    with torch.no_grad():
        codes = model.encode(rows.x) * 1.0
        centers = codes[:3]
        labels = student_t(codes, centers).argmax(1)
        gained = student_t(codes, centers) - student_t(model.encode(rows.x.mean(0)[None]), centers)
    expected = np.array([gained[labels == label, label].mean() for label in range(3)])
    errors = []
    for steps in (4, 64):
        found = attribute(model, rows, centers.numpy(), labels.numpy(), steps=steps)
        errors.append(np.abs(found.sum(1) - expected).max())
    assert errors[1] < 0.02 * np.abs(expected).max()
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("steps", [1, 8])
def test_planted_features_are_found(steps):
    """Cluster c is high in the features 2c and 2c + 1; four more are noise."""
    random = np.random.default_rng(0)
    truth = random.integers(3, size=300)
    X = 0.5 * random.normal(size=(300, 10))
    for label in range(3):
        X[truth == label, 2 * label : 2 * label + 2] += 3
    autoencoder = Autoencoder(3, architecture={"widths": (16,)}, epochs=40, batch_size=32, random_state=0).fit(X)
    rows = autoencoder.rows(X)
    kmeans = KMeans(3, n_init=3, random_state=0).fit(autoencoder.codes(rows))
    found = attribute(autoencoder.model_, rows, kmeans.cluster_centers_, kmeans.labels_, steps=steps)
    for label in range(3):
        planted = np.bincount(truth[kmeans.labels_ == label]).argmax()
        assert set(np.argsort(-found[label])[:2]) == {2 * planted, 2 * planted + 1}
        assert np.abs(found[label, 6:]).max() < found[label, 2 * planted : 2 * planted + 2].min()


def test_a_missing_modality_is_at_the_mean():
    """It adds nothing, and takes nothing from the mean row of those that have it."""
    modalities = {name: Modality(architecture={"widths": (4,)}, scaling=None) for name in "ab"}
    model = build(modalities, {"a": 2, "b": 3}, 2, seed=0)
    X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    X[:4, 2:] = np.nan
    autoencoder = Autoencoder(2, modalities=modalities, epochs=1, random_state=0).fit({"a": X[:, :2], "b": X[:, 2:]})
    rows = autoencoder.rows({"a": X[:, :2], "b": X[:, 2:]})
    labels = np.arange(8) // 4
    found = attribute(model, rows, np.random.default_rng(1).normal(size=(2, 2)), labels)
    assert np.isfinite(found).all()
    assert (found[0, 2:] == 0).all()
    assert (found[1] != 0).all()
    shifted = X + np.float32(0)
    shifted[4:, 2:] = X[4:, 2:].mean(0)  # all at the mean of the rows that have it
    rows = autoencoder.rows({"a": shifted[:, :2], "b": shifted[:, 2:]})
    again = attribute(model, rows, np.random.default_rng(1).normal(size=(2, 2)), labels)
    np.testing.assert_allclose(again[1, 2:], 0, atol=1e-6)


def test_a_cluster_without_rows_has_none():
    found = attribute(network(), opened(blobs(5)), np.eye(3, 2), np.array([0, 0, 2, -1, 2]))
    np.testing.assert_array_equal(np.isnan(found).all(1), [False, True, False])
    assert np.isfinite(found[[0, 2]]).all()


def test_the_network_stays_as_it_was():
    model = network(dropout=0.5).train()
    centers, labels, rows = np.eye(2), np.zeros(20, int), opened(blobs(20))
    found = attribute(model, rows, centers, labels)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    np.testing.assert_array_equal(attribute(model, rows, centers, labels), found)  # nothing was dropped out


def test_sequences():
    """A recurrent network has gradients too."""
    autoencoder = Autoencoder(
        2, architecture={"kind": "gru", "widths": (4,), "shape": (3, 2)}, epochs=1, random_state=0
    )
    autoencoder.fit(blobs(20))
    found = attribute(autoencoder.model_, autoencoder.rows(blobs(20)), np.eye(2), np.arange(20) % 2)
    assert (found != 0).all()
