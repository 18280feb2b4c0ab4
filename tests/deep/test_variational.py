"""VariationalAutoencoder: the terms of its bound, its samples, and what beta does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from gpuclust import VariationalAutoencoder
from gpuclust.errors import ParameterError
from tests.deep.helpers import blobs

SMALL = {"n_components": 2, "architecture": {"widths": (8,)}, "epochs": 2, "random_state": 0}


def test_the_terms_are_reported_apart_and_beta_weighs_one():
    X = blobs(200)
    options = {**SMALL, "epochs": 60, "batch_size": 32, "learning_rate": 1e-2, "scaling": "standard"}
    free, ordinary, strict = (VariationalAutoencoder(beta=beta, **options).fit(X) for beta in (0.0, 1.0, 100.0))
    terms = [model.history_.epochs[-1].terms for model in (free, ordinary, strict)]
    assert [list(found) for found in terms] == [["reconstruction", "divergence"]] * 3
    assert terms[0]["divergence"] == 0.0
    assert terms[0]["reconstruction"] < terms[1]["reconstruction"] < terms[2]["reconstruction"]
    # So strict that codes say nothing: rows are decoded as their mean, 6 columns of variance 1.
    assert terms[2]["reconstruction"] == pytest.approx(6, rel=0.15)
    assert np.abs(strict.transform(X)).max() < 0.2 < np.abs(ordinary.transform(X)).max()


def test_the_score_is_the_bound():
    X = blobs()
    model = VariationalAutoencoder(**SMALL).fit(X)
    rows = model.rows(X).x
    mean, log_variance = model.model_.posterior(rows)
    bound = -model.model_.losses(rows, mean)["reconstruction"] - model.model_.divergence(mean, log_variance)
    assert model.score(X) == pytest.approx(bound.mean().item(), rel=1e-5)
    np.testing.assert_allclose(model.transform(X), mean.detach(), rtol=1e-5, atol=1e-6)
    error = model.reconstruction_error(X)
    np.testing.assert_allclose(error, (model.model_.decode(mean) - rows).square().sum(1).detach(), rtol=1e-4)


def test_samples_are_like_digits():
    X = load_digits().data
    model = VariationalAutoencoder(
        8, epochs=60, batch_size=64, likelihood="bernoulli", scaling="minmax", random_state=0
    )
    drawn = model.fit(X).sample(500)
    np.testing.assert_array_equal(drawn, model.sample(500))
    assert drawn.min() >= 0
    assert drawn.max() <= 16
    assert np.abs(drawn.mean(0) - X.mean(0)).mean() < 0.15 * X.std()
    assert drawn.std(0).mean() > 0.4 * X.std(0).mean()


def test_noise_is_of_the_seed_alone():
    X, state = blobs(), torch.random.get_rng_state()
    first, again, other = (
        VariationalAutoencoder(**{**SMALL, "random_state": seed}, noise=0.1).fit(X).transform(X) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_counts_of_genes():
    """Rows of two kinds that differ in the proportions of their counts, and in depth by chance."""
    random = np.random.default_rng(0)
    kinds = np.arange(200) % 2
    proportions = np.array([[8.0, 8, 1, 1, 1, 1], [1.0, 1, 8, 8, 1, 1]])[kinds]
    X = random.poisson(proportions * random.uniform(0.3, 5.0, (200, 1))).astype(float)
    X[7] = 0  # nothing was counted
    options = {**SMALL, "epochs": 60, "batch_size": 32, "learning_rate": 1e-2}
    model = VariationalAutoencoder(likelihood="negative_binomial", **options).fit(X)
    codes = model.transform(X)
    assert np.isfinite(codes).all()
    between = np.linalg.norm(codes[kinds == 0].mean(0) - codes[kinds == 1].mean(0))
    assert between > np.sqrt(codes[kinds == 0].var(0).sum())
    # The mean of a row of typical total, for each kind.
    decoded = model.inverse_transform(np.array([codes[kinds == kind].mean(0) for kind in (0, 1)]))
    assert decoded[0, :2].sum() > 3 * decoded[0, 2:4].sum()
    assert decoded[1, 2:4].sum() > 3 * decoded[1, :2].sum()
    np.testing.assert_allclose(decoded.sum(1), X.sum(1).mean(), rtol=0.4)


def test_neighbourhoods_are_kept():
    """As UMAP has it: beside the distances of codes of other rows, those of neighbours are short."""
    X = blobs(150, d=8)
    distances = ((X[:, None] - X) ** 2).sum(2)
    graph = distances.argsort(1)[:, 1:6]
    options = {"n_components": 2, "architecture": {"widths": (16,)}, "random_state": 0, "scaling": "standard"}
    options |= {"learning_rate": 1e-2, "beta": 0.01, "batch_size": 32}

    def contrast(model):
        codes = model.fit(X).transform(X)
        logs = np.log1p(((codes[:, None] - codes) ** 2).sum(2))
        return logs.mean() - np.take_along_axis(logs, graph, 1).mean()

    keeping = VariationalAutoencoder(neighbors=5, epochs=30, **options)
    assert contrast(keeping) > 1.25 * contrast(VariationalAutoencoder(epochs=30, **options))
    assert list(keeping.history_.epochs[-1].terms) == ["reconstruction", "divergence", "attraction", "repulsion"]
    weights = [VariationalAutoencoder(neighbors=5, neighbor_weight=weight, epochs=1, **options) for weight in (1, 2)]
    first, second = (model.fit(X).history_.epochs[0].terms["repulsion"] for model in weights)
    assert second == pytest.approx(2 * first, rel=0.1)
    assert first > 8  # a sum over the row's 8 values, as the reconstruction is


def test_a_beta_below_zero_is_refused():
    with pytest.raises(ParameterError, match="beta"):
        VariationalAutoencoder(beta=-1.0).fit(blobs())
