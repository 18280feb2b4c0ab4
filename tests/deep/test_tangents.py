"""Tangent distance: by hand, against float64 least squares, and what it leaves out of account."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, shift

from gpuclust.deep import tangents as module
from gpuclust.deep.tangents import TANGENTS, along, image_tangents, smoothed, tangent_distances


def spot(at=(8.0, 8.0), width=2.0, side=17):
    """A round spot on an image, (side, side, 1)."""
    y, x = np.mgrid[:side, :side]
    return np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * width**2)).astype(np.float32)[..., None]


def least_squares(x, y, own, theirs, weights):
    """The distance by definition: a ridge regression of the difference on all tangents, in float64."""
    basis = np.concatenate([own, theirs]).astype(np.float64)
    penalty = np.sqrt(np.concatenate([weights, weights]))
    apart = (x - y).astype(np.float64)
    stacked = np.concatenate([basis.T, np.diag(penalty)])
    target = np.concatenate([apart, np.zeros(len(penalty))])
    moves = np.linalg.lstsq(stacked, target, rcond=None)[0]
    return np.sqrt(np.square(stacked @ moves - target).sum())


def test_two_points_of_the_plane_by_hand(monkeypatch):
    """One may move along x, the other along y: undamped they meet, and damped they go some of the way."""
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    lines = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    others = torch.tensor([[1], [0]])
    # Along each axis the minimum of (s - a)**2 + a**2 / 10 is s**2 / 11.
    np.testing.assert_allclose(
        tangent_distances(points, lambda i: lines[i], others), [[(25 / 11) ** 0.5]] * 2, rtol=1e-6
    )
    monkeypatch.setattr(module, "_DAMPING", 1e-9)
    np.testing.assert_allclose(tangent_distances(points, lambda i: lines[i], others), [[0.0]] * 2, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 6), st.integers(1, 7), st.sampled_from([1, 2**26]))
def test_distances_are_those_of_least_squares(seed, n, d, t, n_bytes):
    random = np.random.default_rng(seed)
    points = random.normal(size=(n, d)).astype(np.float32)
    lines = random.normal(size=(n, t, d)).astype(np.float32)
    if seed % 3 == 0:
        lines[:, 0] = 0
    others = random.integers(0, n, (n, 3))
    weights = 0.1 * np.where(lines.any((0, 2)), np.square(lines.astype(np.float64)).sum(2).mean(0), 1.0)
    before, module._BYTES = module._BYTES, n_bytes
    try:
        found = tangent_distances(
            torch.from_numpy(points), lambda i: torch.from_numpy(lines)[i], torch.from_numpy(others)
        ).numpy()
    finally:
        module._BYTES = before
    expected = [[least_squares(points[i], points[j], lines[i], lines[j], weights) for j in others[i]] for i in range(n)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)


def test_without_any_tangent_that_moves_the_distance_is_euclidean():
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    others = torch.arange(6).roll(1)[:, None]
    found = tangent_distances(points, lambda i: torch.zeros(len(i), 2, 4), others)
    np.testing.assert_allclose(found[:, 0], (points - points.roll(1, 0)).norm(dim=1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (3, 30, 21, 3), (2, 3, 50, 1)])
def test_smoothing_is_scipys(shape):
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    deviation = min(shape[1:3]) / 20
    expected = gaussian_filter(images, deviation, axes=(1, 2), radius=int(np.ceil(4 * deviation)))
    np.testing.assert_allclose(smoothed(torch.from_numpy(images)), expected, atol=1e-5)


@pytest.mark.parametrize(("number", "move"), [(0, (0.0, -0.01)), (1, (-0.01, 0.0))])
def test_a_shift_by_hand(number, move):
    image = spot(width=3.0)
    ahead, behind = (spot((8 + sign * move[0], 8 + sign * move[1]), width=3.0) for sign in (1, -1))
    found = image_tangents(torch.from_numpy(image)[None])[0, number].numpy().reshape(17, 17)
    expected = (ahead - behind)[..., 0] / 0.02
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=0.05 * abs(found).max())


def test_a_spot_in_the_middle_does_not_change_when_it_is_turned():
    found = image_tangents(torch.from_numpy(spot())[None])[0].flatten(1).norm(dim=1)
    assert found.shape == (TANGENTS,)
    assert found[2] < 0.05 * found[3]


@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
def test_a_picture_turned_by_a_right_angle_has_the_same_tangents_turned(shape):
    image = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    one = image_tangents(torch.from_numpy(image)[None, ..., None])[0].numpy().reshape(TANGENTS, *shape)
    other = image_tangents(torch.from_numpy(image.T.copy())[None, ..., None])[0].numpy().reshape(TANGENTS, *shape[::-1])
    for number, (mirror, sign) in enumerate([(1, 1), (0, 1), (2, -1), (3, 1), (4, -1), (5, 1), (6, 1)]):
        np.testing.assert_allclose(other[mirror], sign * one[number].T, atol=1e-5)


def test_shifts_hardly_count():
    """A digit that is shifted by a pixel is nearer than another one that is not; to the eye, not to its pixels."""
    random = np.random.default_rng(3)
    first, second = (gaussian_filter(random.normal(size=(20, 20)), 2.0) for _ in range(2))
    moved = shift(first, (1.0, -1.0), mode="nearest")
    images = torch.from_numpy(np.stack([first, moved, second]).astype(np.float32))[..., None]
    smooth = smoothed(images)
    points = smooth.flatten(1)
    found = tangent_distances(points, lambda i: image_tangents(smooth[i]), torch.tensor([[1, 2], [0, 2], [0, 1]]))
    plain = (points[0] - points[1]).norm()
    assert found[0, 0] < 0.35 * plain
    assert found[0, 0] < 0.5 * found[0, 1]
    np.testing.assert_allclose(found[0, 0], found[1, 0], rtol=1e-5)  # both move: it is symmetric


def test_tangents_pass_through_a_linear_map_as_they_are():
    random = np.random.default_rng(4)
    points, lines, matrix = (
        torch.from_numpy(random.normal(size=shape).astype(np.float32)) for shape in ((7, 5), (7, 3, 5), (5, 2))
    )
    lines[2, 1] = 0
    found = along(lambda x: x @ matrix, points, lambda i: lines[i])
    np.testing.assert_allclose(found, lines @ matrix, atol=1e-4)


def test_a_function_of_equal_points_has_tangents_too():
    """All values equal: a step of no length would be a division by zero."""
    found = along(lambda x: x, torch.ones(4, 3), lambda i: torch.ones(len(i), 2, 3))
    assert found.isfinite().all()
