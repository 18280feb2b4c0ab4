"""scikit-learn's estimator checks for the autoencoders and what clusters their codes."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpuclust import Autoencoder, DeepClustering, VariationalAutoencoder

SMALL = {"n_components": 1, "architecture": {"widths": (4,)}, "epochs": 2, "random_state": 0}


def clusters(method, *, network=Autoencoder, **options):
    return DeepClustering(method=method, autoencoder=network(**SMALL), epochs=2, random_state=0, **options)


@parametrize_with_checks([Autoencoder(**SMALL), VariationalAutoencoder(**SMALL), clusters("ae")])
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        Autoencoder(**SMALL, validation=0.2, patience=2, noise=0.1, scaling="standard", max_memory=2000),
        clusters("idec", n_init=2),
        clusters("manifold", manifold={"n_epochs": 10}),
        clusters("dcn"),
        clusters("vade", network=VariationalAutoencoder),
    ]
)
def test_more_estimator_checks(estimator, check):
    check(estimator)
