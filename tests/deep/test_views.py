"""Views: what neighbours are sought by, of rows that are numbers, images, streamed or partly missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpuclust import Autoencoder, NearestNeighbors
from gpuclust.deep import views as module
from gpuclust.deep.rows import Rows
from gpuclust.deep.views import View, views_of
from gpuclust.sources import as_images, as_source

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 6, 5)).astype(np.uint8)


def seen(X, **options):
    """The views of rows, by a network that was hardly trained."""
    network = Autoencoder(3, epochs=1, random_state=0, **options).fit(X)
    rows = network.rows(X)
    return views_of(network.model_, rows, network.codes(rows)), rows, network


def test_rows_that_are_numbers():
    (codes, plain), rows, network = seen(IMAGES.reshape(40, -1))
    assert (codes.tangents, plain.tangents) == (None, None)
    assert torch.equal(codes.points, network.codes(rows))
    assert plain.points is rows.x


def test_rows_that_are_images():
    (codes, images), rows, _ = seen(IMAGES)
    index = torch.tensor([3, 0])
    assert codes.tangents(index).shape == (2, 7, 3)
    assert images.tangents(index).shape == (2, 7, 30)
    assert rows.source.row_shape == (6, 5)
    assert images.points.shape == (40, 30)


@pytest.mark.parametrize("scaling", [None, "minmax", "standard"])
def test_codes_move_as_the_network_says(scaling):
    """To the first order a code moves with its image, in the units of the image, whatever the scaling."""
    images = np.concatenate([RANDOM.normal(size=(30, 6, 6, 2)), RANDOM.normal(size=(10, 6, 6, 2))]).astype(np.float32)
    (codes, smooth), rows, network = seen(images, scaling=scaling, architecture={"widths": ()})
    tangents, index = smooth.tangents(torch.arange(40)), torch.arange(40)
    matrix = network.model_.parts[0].encoder[0].weight
    unit = 2.0 ** np.ceil(np.log2(abs(images).max()))
    expected = unit * (tangents * rows.scaling.factor.float()) @ matrix.T
    np.testing.assert_allclose(codes.tangents(index), expected.detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("unit", [2.0**200, 2.0**-200])
def test_the_unit_of_images_does_not_matter(unit):
    """Not even where their squares would overflow, or vanish."""
    expected, found = (seen(images)[0] for images in (IMAGES.astype(np.float64), unit * IMAGES))
    for one, other in zip(expected, found, strict=True):
        index = torch.arange(40)
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.tangents(index), other.tangents(index))
        assert one.tangents(index).isfinite().all()


@pytest.mark.parametrize("shape", [(40, 2, 9), (40, 9, 2)])
def test_images_too_small_to_have_tangents(shape):
    (_, plain), _, _ = seen(RANDOM.normal(size=shape).astype(np.float32))
    assert plain.tangents is None


def test_streamed_rows_have_codes_alone():
    network = Autoencoder(3, epochs=1, random_state=0).fit(IMAGES)
    source = as_images(IMAGES)
    rows = Rows(source, network.scaling_, torch.device("cpu"), max_memory=100)
    assert len(views_of(network.model_, rows, network.codes(IMAGES))) == 1


def test_neighbours_of_numbers_are_those_of_the_engine():
    points = torch.from_numpy(RANDOM.normal(size=(50, 4)).astype(np.float32))
    for found, expected in zip(View(points).neighbors(7), NearestNeighbors(7).fit(points).kneighbors(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_neighbours_by_tangents_are_the_nearest_of_the_candidates(monkeypatch):
    """All points are candidates, unless there are many: then those that are nearest without tangents."""
    points = torch.from_numpy(RANDOM.normal(size=(60, 3)).astype(np.float32))
    lines = torch.from_numpy(RANDOM.normal(size=(60, 2, 3)).astype(np.float32))
    view = View(points, lambda index: lines[index])
    every = torch.arange(60).expand(60, -1)
    distances = module.tangent_distances(points, view.tangents, every).numpy()
    np.fill_diagonal(distances, np.inf)
    found, numbers = view.neighbors(5)
    np.testing.assert_array_equal(numbers, distances.argsort(1, kind="stable")[:, :5])
    np.testing.assert_allclose(found, np.sort(distances, 1)[:, :5])
    monkeypatch.setattr(module, "_CANDIDATES", 8)
    near = NearestNeighbors(8).fit(points).kneighbors(return_distance=False)
    few = view.neighbors(5)[1]
    assert all(set(row) <= set(candidates) for row, candidates in zip(few, near, strict=True))
    assert not np.array_equal(few, numbers)


def test_some_rows_of_a_view():
    points = torch.arange(12.0).reshape(6, 2)
    lines = torch.arange(24.0).reshape(6, 2, 2)
    some = View(points, lambda index: lines[index]).at(np.array([4, 1, 3]))
    assert torch.equal(some.points, points[[4, 1, 3]])
    assert torch.equal(some.tangents(torch.tensor([2, 0])), lines[[3, 4]])
    assert View(points).at(np.array([0])).tangents is None


def test_a_view_does_not_depend_on_the_threads():
    view = seen(RANDOM.normal(size=(300, 8, 8)).astype(np.float32))[0][1]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(view.neighbors(10))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))


def test_flat_rows_are_no_images():
    assert as_source(IMAGES.reshape(40, -1)).row_shape is None
