"""Manifold: places keep neighbourhoods, equal codes share one, a seed determines the bits; what cannot be laid out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from gpuclust.deep.clustering.manifold import Manifold
from gpuclust.deep.views import View
from gpuclust.errors import DataError, GpuclustWarning, MissingDependencyError, ParameterError

pytest.importorskip("umap")


def groups(n=90, d=4, seed=0, apart=8.0):
    """Codes in three groups, and which group each is of."""
    random = np.random.default_rng(seed)
    centers = apart * np.eye(3, d)
    labels = np.arange(n) % 3
    return torch.from_numpy((centers[labels] + random.normal(size=(n, d))).astype(np.float32)), labels


@pytest.fixture(scope="module")
def fitted():
    codes, labels = groups()
    return Manifold.fit(codes, n_components=2, n_epochs=60, seed=3), labels


def test_neighbourhoods_are_kept(fitted):
    """Every place is nearest to a place of its own group; noise in the codes is not kept."""
    manifold, labels = fitted
    assert manifold.embedding.shape == (90, 2)
    assert manifold.embedding.dtype == np.float32
    squares = np.square(manifold.embedding[:, None] - manifold.embedding[None]).sum(2)
    np.fill_diagonal(squares, np.inf)
    assert (labels[squares.argmin(1)] == labels).all()


def test_new_codes_land_in_their_group(fitted):
    manifold, labels = fitted
    new, truth = groups(60, seed=1)
    places = manifold.transform(new)
    assert places.shape == (60, 2)
    assert places.dtype == np.float32
    means = np.stack([manifold.embedding[labels == label].mean(0) for label in range(3)])
    assert (np.square(places[:, None] - means[None]).sum(2).argmin(1) == truth).all()


def test_a_new_code_by_hand():
    """Between two training codes, equally far: halfway between their places."""
    codes = torch.tensor([[0.0], [2.0], [100.0], [300.0]])
    places = np.array([[0, 0], [4, 2], [50, 0], [0, 50]], np.float32)
    manifold = Manifold(codes, places, 2)
    np.testing.assert_array_equal(manifold.transform(torch.tensor([[1.0]])), [[2.0, 1.0]])
    # Both belong with a total of log2(2) = 1: p + p**3 = 1 for distances of 0.5 and 1.5.
    p = 0.6823278038280193
    np.testing.assert_allclose(
        manifold.transform(torch.tensor([[0.5]])), [np.array([4, 2]) * p**3 / (p + p**3)], rtol=1e-6
    )


def test_a_training_code_has_its_own_place(fitted):
    manifold, _ = fitted
    assert np.array_equal(manifold.transform(manifold.codes), manifold.embedding)


def test_a_place_does_not_depend_on_the_codes_beside_it(fitted):
    manifold, _ = fitted
    new, _ = groups(40, seed=2)
    assert np.array_equal(manifold.transform(new)[11:17], manifold.transform(new[11:17]))


def test_equal_codes_have_one_place():
    codes, _ = groups(30)
    order = np.random.default_rng(0).permutation(90)
    repeated = codes.repeat(3, 1)[torch.from_numpy(order)]
    manifold = Manifold.fit(repeated, n_epochs=30)
    _, which = np.unique(repeated.numpy(), axis=0, return_inverse=True)
    for code in range(30):
        assert len(np.unique(manifold.embedding[which.ravel() == code], axis=0)) == 1
    assert len(np.unique(manifold.embedding, axis=0)) == 30
    assert np.array_equal(manifold.transform(codes.flip(0)), manifold.transform(codes)[::-1])
    # Repetitions in order are laid out as the codes once.
    assert np.array_equal(
        Manifold.fit(codes.repeat(2, 1), n_epochs=30).embedding[:30], Manifold.fit(codes, n_epochs=30).embedding
    )


def test_a_seed_determines_the_bits(fitted):
    manifold, _ = fitted
    again, other = (Manifold.fit(groups()[0], n_components=2, n_epochs=60, seed=seed) for seed in (3, 4))
    assert np.array_equal(again.embedding, manifold.embedding)
    assert not np.array_equal(other.embedding, manifold.embedding)


def test_several_views():
    """The graph is the mean of theirs; pairs that none of them has are in none."""
    rows, _ = groups()
    codes = torch.from_numpy(np.random.default_rng(9).normal(size=(90, 3)).astype(np.float32))
    both = Manifold.fit(codes, views=[View(codes), View(rows)], n_epochs=5)
    alone, other = (Manifold.fit(view, n_epochs=5).affinity.toarray() for view in (codes, rows))
    np.testing.assert_allclose(both.affinity.toarray(), (alone + other) / 2, rtol=1e-6)
    assert np.array_equal(both.transform(codes), both.embedding)


def test_fewer_dimensions_for_few_codes():
    codes = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    assert Manifold.fit(codes, n_epochs=5).embedding.shape == (8, 6)


def test_restored(fitted):
    manifold, _ = fitted
    settings = json.loads(json.dumps(manifold.settings()))
    tensors = manifold.tensors()
    assert all(tensor.is_contiguous() and tensor.dtype == torch.float32 for tensor in tensors.values())
    restored = Manifold.restore(settings, tensors)
    new, _ = groups(50, seed=5)
    assert np.array_equal(restored.embedding, manifold.embedding)
    assert np.array_equal(restored.transform(new), manifold.transform(new))


@pytest.mark.parametrize(("n", "n_components", "n_neighbors"), [(4, 2, 15), (7, 5, 2), (12, 10, 12), (20, 2, 20)])
def test_few_rows(n, n_components, n_neighbors):
    """All other codes are neighbours, or none but one."""
    codes = torch.from_numpy(np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32))
    manifold = Manifold.fit(codes, n_components=n_components, n_neighbors=n_neighbors, n_epochs=20)
    assert np.isfinite(manifold.embedding).all()
    assert np.array_equal(manifold.transform(codes), manifold.embedding)
    assert np.isfinite(manifold.transform(codes + 0.1)).all()


def test_many_islands():
    """More connected parts of the graph than dimensions can tell apart."""
    codes = torch.cat([100.0 * at + groups(12)[0] for at in range(9)])
    assert np.isfinite(Manifold.fit(codes, n_neighbors=4, n_epochs=20).embedding).all()


def test_a_regular_grid():
    """Every distance many times: as many ties as there can be."""
    codes = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0))
    assert np.isfinite(Manifold.fit(codes, n_epochs=20).embedding).all()


@pytest.mark.parametrize("codes", [torch.zeros(1, 3), torch.zeros(50, 3), torch.eye(3)])
def test_too_few_distinct_codes(codes):
    with pytest.raises(DataError, match=r"distinct codes, but a layout needs >= 4: pass more rows"):
        Manifold.fit(codes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 0),
        ("n_neighbors", 1),
        ("n_neighbors", 2.5),
        ("min_dist", -0.1),
        ("min_dist", 2.0),
        ("n_epochs", 0),
    ],
)
def test_parameters_that_break_their_rules(name, value):
    with pytest.raises(ParameterError, match=rf"{name}={value}"):
        Manifold.fit(groups(20)[0], **{name: value})


def test_nothing_is_said():
    """umap warns of what does not matter here: codes in separate parts, eigenvectors found by another way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Manifold.fit(groups(40, apart=1e4)[0], n_neighbors=5, n_epochs=5)


def test_a_start_that_failed_is_announced(monkeypatch):
    import scipy.sparse.linalg

    def fails(*args, **kwargs):
        raise scipy.sparse.linalg.ArpackError(-1)

    monkeypatch.setattr(scipy.sparse.linalg, "eigsh", fails)
    with pytest.warns(GpuclustWarning, match="began at random places"):
        manifold = Manifold.fit(groups(apart=1.0)[0], n_epochs=5)
    assert np.isfinite(manifold.embedding).all()


def test_without_umap(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gpuclust\[manifold\]'"):
        Manifold.fit(groups(20)[0])


def test_restoring_needs_no_umap(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    corners = torch.eye(4)
    manifold = Manifold.restore({"n_neighbors": 2}, {"codes": corners, "embedding": 2 * corners})
    assert np.array_equal(manifold.transform(corners), 2 * np.eye(4))


@pytest.mark.slow
def test_same_bits_for_any_number_of_threads():
    """Among them BLAS's, which the spectral start multiplies by."""
    code = (
        "import gpuclust.deep, numpy as np, torch, hashlib\n"
        "from gpuclust.deep.clustering.manifold import Manifold\n"
        "codes = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 10)).astype('f'))\n"
        "print(hashlib.sha256(Manifold.fit(codes, n_epochs=20).embedding.tobytes()).hexdigest())"
    )
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    digests = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | dict.fromkeys(names, threads),
        ).stdout
        for threads in ("1", "2")
    ]
    assert digests[0] == digests[1]
