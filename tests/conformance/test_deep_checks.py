"""scikit-learn's estimator checks for the autoencoders."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpuclust import Autoencoder, VariationalAutoencoder

SMALL = {"n_components": 1, "architecture": {"widths": (4,)}, "epochs": 2, "random_state": 0}


@parametrize_with_checks([Autoencoder(**SMALL), VariationalAutoencoder(**SMALL)])
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [Autoencoder(**SMALL, validation=0.2, patience=2, noise=0.1, scaling="standard", max_memory=2000)]
)
def test_streamed_with_early_stopping(estimator, check):
    check(estimator)
