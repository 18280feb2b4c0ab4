"""What restarts are chosen by: an order that agrees with the truth, in one space, the same for every restart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import kneighbors_graph

from gpuclust import Autoencoder, DeepClustering
from gpuclust.deep.clustering.restarts import Judge
from tests.deep.helpers import blobs, opened

TRUE = (np.arange(90) % 3).astype(np.int32)


def modularity(X, labels, k):
    """By the definition, over all pairs of rows."""
    edges = kneighbors_graph(X, k).toarray()
    chance = np.outer(edges.sum(1), edges.sum(0)) / edges.sum()
    return ((edges - chance) * (labels[:, None] == labels)).sum() / edges.sum()


def test_by_hand():
    """Two groups of eight rows; each row has two neighbours, all in its group, and half would be there by chance."""
    X = np.array([[10.0 * (row % 2) + 0.1 * row, 0.0] for row in range(16)], np.float32)
    judge = Judge(opened(X))
    assert judge(np.arange(16) % 2) == 0.5
    assert judge(np.where(np.arange(16) % 2, 7, -1)) == 0.5  # numbers of clusters say nothing, noise is one
    assert judge(np.zeros(16, np.int32)) == 0.0
    assert judge(np.arange(16)) == pytest.approx(-1 / 16)
    assert Judge(opened(X[:1]))(np.zeros(1, np.int32)) == 0.0


def test_it_is_the_modularity_of_the_scaled_rows():
    rows = opened(blobs(90))
    judge, random = Judge(rows), np.random.default_rng(0)
    for labels in (TRUE, np.where(TRUE == 2, 1, TRUE), random.integers(0, 4, 90)):
        assert judge(labels) == pytest.approx(modularity(rows.x.numpy(), labels, 11), abs=1e-3)
    assert judge(TRUE) > 0.6 > judge(np.where(TRUE == 2, 1, TRUE)) > 0.3 > abs(10 * judge(np.roll(np.sort(TRUE), 7)))
    assert judge(TRUE) == Judge(opened(blobs(90), max_memory=200))(TRUE)  # streamed


def test_what_is_missing_counts_as_zero():
    rows, filled = opened(blobs(90)), opened(blobs(90))
    rows.x[:60:2, 3:], filled.x[:60:2, 3:] = torch.nan, 0.0
    assert Judge(rows)(TRUE) == Judge(filled)(TRUE)


def test_many_rows_are_sampled():
    X, labels = blobs(6000), np.arange(6000) % 3
    assert Judge(opened(X))(labels) == pytest.approx(2 / 3, abs=0.02)


def test_the_best_restart_is_kept():
    """Each as if it had been alone, from its own seed; the one that is kept has the largest criterion."""
    X = blobs(90)
    network = Autoencoder(2, architecture={"widths": (4,)}, epochs=3)
    options = {"method": "dcn", "autoencoder": network, "epochs": 2}
    several = DeepClustering(5, n_init=4, random_state=3, **options).fit(X)
    found = [restart["criterion"] for restart in several.restarts_]
    assert len({restart["seed"] for restart in several.restarts_}) == len(set(found)) == 4
    assert several.score(X) == max(found) > min(found)
    first = DeepClustering(5, random_state=3, **options).fit(X)
    assert first.restarts_ == [{"seed": several.restarts_[0]["seed"], "criterion": None}]
    assert first.score(X) == found[0]
