"""The order of rows for tiles, and which panels are near: projections with their bounds, boxes, keys, lists."""

from __future__ import annotations

import numpy as np
import pytest

from tests.emulation import Module
from tests.emulation.sanitize import sanitized

AXES = 8
INFINITE = np.float32(np.inf)


def kernel(name, dtype=np.float32, **options):
    row = "float" if np.dtype(dtype) == np.float32 else "double"
    return Module("dbscan_boxes", {"ROW": row}, **options).get_function(name)


def project(x, origin, scale, basis, *, blocks=2, **options):
    m, d = x.shape
    points, wide = np.full((m, AXES), np.nan, np.float32), np.zeros((d, AXES))
    wide[:, : basis.shape[1]] = basis
    error = np.float64((d + 8) * 2.0**-52 + 2.0**-22)
    kernel("project", x.dtype, **options)(
        (blocks,), (256,), (x, np.int32(m), np.int32(d), origin, np.float64(scale), wide, error, points)
    )
    return points


def boxes_of(points, order, leaf, n_boxes, **options):
    m = len(points)
    n_leaves, out = -(-m // leaf), np.full((n_boxes, 2 * AXES), np.nan, np.float32)
    kernel("bounding_boxes", **options)(
        (n_boxes,), (256,), (points, order, np.int32(m), np.int32(leaf), np.int32(n_leaves), np.int32(n_boxes), out)
    )
    return out


def keys_of(points, order, leaf, boxes, *, blocks=2, **options):
    m, out = len(points), np.zeros(len(points), np.int64)
    sizes = np.int32(m), np.int32(leaf), np.int32(-(-m // leaf)), np.int32(len(boxes))
    kernel("keys", **options)((blocks,), (256,), (points, order, *sizes, boxes, out))
    return out


def near_panels(tiles, panels, limit, *, metric=0, first=0, n=None, tile_rows=128, panel_rows=64, same=False,
                chosen=None, part=1, blocks=2, **options):  # fmt: skip
    n = len(tiles) - first if n is None else n
    near, counts, most = np.full((n, len(panels)), -1, np.int32), np.full(n, -1, np.int32), np.zeros(1, np.int32)
    numbers = (first, n, tile_rows, len(panels), panel_rows, int(same), metric)
    kernel("near_panels", **options)(
        (blocks,), (256,),
        (tiles, panels, *map(np.int32, numbers), np.float32(limit), chosen, np.int32(part), near, counts, most),
    )  # fmt: skip
    assert most[0] == counts.max()
    assert (near[np.arange(len(panels)) >= counts[:, None]] == -1).all()
    return [list(row[:count]) for row, count in zip(near, counts, strict=True)]


def rows_of_points(m, seed=0):
    points = np.random.default_rng(seed).normal(size=(m, AXES)).astype(np.float32)
    points[:, -1] = np.abs(points[:, -1]) / 8
    return points


def test_project_by_hand():
    x = np.array([[3.0, 4.0, 1.0], [1.0, 0.0, 1.0]], np.float32)
    basis = np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 0.0]])
    points = project(x, np.array([1.0, 2.0, 0.0]), 2.0, basis)
    np.testing.assert_array_equal(points[:, :-1], [[4, 2, 0, 0, 0, 0, 0], [0, -2, 0, 0, 0, 0, 0]])
    # The bound: 2**-22 of |4| + |4| + |2| and of |0| + |-4| + |2|, and some.
    np.testing.assert_allclose(points[:, -1], np.array([10, 6]) * 2.0**-22, rtol=1e-6)
    assert (points[:, -1] > np.array([10, 6]) * 2.0**-22).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (9, 3), (150, 33), (40, 200)])
def test_projections_are_within_their_bounds(m, d, dtype):
    rng, exact = np.random.default_rng(d), np.longdouble
    x = (rng.normal(size=(m, d)) * 10.0 ** rng.integers(-30, 9, size=(m, 1)) + 1e5 * (m % 2)).astype(dtype)
    origin, basis = x.astype(np.float64).mean(axis=0), np.linalg.qr(rng.normal(size=(d, d)))[0][:, : AXES - 1]
    points = project(x, origin, 2.0**-5, basis)
    wanted = np.zeros((m, AXES - 1), exact)
    wanted[:, : basis.shape[1]] = ((x.astype(exact) - origin.astype(exact)) * exact(2.0**-5)) @ basis.astype(exact)
    assert (np.abs(points[:, :-1] - wanted) <= points[:, -1:]).all()
    assert (points[:, -1] <= 1e-6 * np.abs(wanted).max(axis=1) * d + 1e-6 * d).all() or (m % 2)


@pytest.mark.filterwarnings("ignore:overflow")
def test_rows_that_have_no_projection_are_anywhere():
    x = np.array([[1e300, 1.0], [np.nan, 0.0], [1e31, 0.0], [1e29, 0.0], [-1e300, 1e300]])
    points = project(x, np.zeros(2), 1.0, np.eye(2))
    lost = [0, 1, 2, 4]
    assert (points[lost, :-1] == 0).all()
    assert (points[lost, -1] == INFINITE).all()
    assert np.isfinite(points[3]).all()
    box = boxes_of(points, np.array([3, 0], np.int32)[np.arange(5) % 2], 8, 1)[0]
    assert (box[:7] == -INFINITE).all()
    assert (box[8:15] == INFINITE).all()


@pytest.mark.parametrize(
    ("m", "leaf", "n_boxes"), [(1, 64, 1), (300, 64, 5), (300, 64, 2), (301, 16, 7), (129, 128, 2)]
)
def test_boxes(m, leaf, n_boxes):
    points, order = rows_of_points(m), np.random.default_rng(1).permutation(m).astype(np.int32)
    n_leaves = -(-m // leaf)
    cuts = [b * n_leaves // n_boxes * leaf for b in range(n_boxes)] + [m]
    boxes = boxes_of(points, order, leaf, n_boxes)
    for b, box in enumerate(boxes):
        mine = points[order[cuts[b] : cuts[b + 1]]]
        values, errors = mine[:, :-1], mine[:, -1:]
        np.testing.assert_array_equal(box[:7], (values - errors).min(axis=0))
        np.testing.assert_array_equal(box[8:15], (values + errors).max(axis=0))


@pytest.mark.parametrize(("m", "leaf", "n_boxes"), [(300, 64, 5), (300, 64, 2), (301, 16, 7)])
def test_keys_order_the_rows_of_a_box_by_its_widest_direction(m, leaf, n_boxes):
    points, order = rows_of_points(m), np.random.default_rng(2).permutation(m).astype(np.int32)
    points[:, 2] *= 3
    points[::3, 4] = -0.0
    boxes = boxes_of(points, order, leaf, n_boxes)
    boxes[1, 4], boxes[1, 12] = -100, 100
    found = order[np.argsort(keys_of(points, order, leaf, boxes), kind="stable")]
    n_leaves = -(-m // leaf)
    cuts = [b * n_leaves // n_boxes * leaf for b in range(n_boxes)] + [m]
    for b in range(n_boxes):
        own = order[cuts[b] : cuts[b + 1]]
        assert set(found[cuts[b] : cuts[b + 1]]) == set(own)
        column = points[found[cuts[b] : cuts[b + 1]], 4 if b == 1 else 2]
        assert (np.diff(column) >= 0).all()


def unit_boxes(corners):
    """Boxes of side 1 with these lower corners along the first two axes, and from 0 to 0 along the others."""
    out = np.zeros((len(corners), 2 * AXES), np.float32)
    out[:, :2] = corners
    out[:, AXES : AXES + 2] = np.asarray(corners) + 1
    return out


def test_near_panels_by_hand():
    tiles, panels = unit_boxes([(0, 0), (10, 0)]), unit_boxes([(0, 0), (4, 5), (1, 1), (12, 0), (5, 5)])
    # Gaps of the first tile: none, (3, 4), none, (11, 0), (4, 4).
    assert near_panels(tiles, panels, 25) == [[0, 1, 2], [3]]
    assert near_panels(tiles, panels, np.nextafter(np.float32(25), 0)) == [[0, 2], [3]]
    assert near_panels(tiles, panels, 7, metric=1) == [[0, 1, 2], [3]]
    assert near_panels(tiles, panels, 6.5, metric=1) == [[0, 2], [3]]
    assert near_panels(tiles, panels, 4, metric=2) == [[0, 1, 2, 4], [3, 4]]
    assert near_panels(tiles, panels, 25, first=1) == [[3]]
    # Of one block: tile 1 begins with panel 2, or with panel 1 where panels are as large as tiles.
    assert near_panels(tiles, panels, 1e9, same=True) == [[0, 1, 2, 3, 4], [2, 3, 4]]
    assert near_panels(tiles, panels, 1e9, same=True, panel_rows=128) == [[0, 1, 2, 3, 4], [1, 2, 3, 4]]
    chosen = np.array([[1, 0, 1], [0, 1, 0]], np.int32)
    assert near_panels(tiles, panels, 1e9, chosen=chosen, part=2) == [[0, 1, 4], [2, 3]]


@pytest.mark.parametrize("options", [{}, {"order": "random", "resident": 3, "blocks": 3}], ids=str)
@pytest.mark.parametrize("metric", [0, 1, 2])
def test_near_panels(metric, options):
    def boxes(n, seed):
        ends = np.random.default_rng(seed).normal(size=(2, n, AXES)).astype(np.float32)
        return np.concatenate([ends.min(axis=0), ends.max(axis=0)], axis=1)

    tiles, panels = boxes(21, 1), boxes(100, 2)
    tiles[4, :8], tiles[4, 8:] = -INFINITE, INFINITE
    panels[7, :8], panels[7, 8:] = -INFINITE, INFINITE
    with np.errstate(invalid="ignore"):
        gaps = np.maximum(tiles[:, None, :7] - panels[:, 8:15], panels[:, :7] - tiles[:, None, 8:15])
    gaps = np.maximum(np.nan_to_num(gaps, nan=-1.0), 0)
    total = {0: np.square(gaps).sum(axis=2), 1: gaps.sum(axis=2), 2: gaps.max(axis=2)}[metric]
    limit = np.sort(total.ravel())[1000:1002].mean()
    expected = [list(np.flatnonzero(row <= limit)) for row in total]
    assert near_panels(tiles, panels, limit, metric=metric, **options) == expected
    assert expected[4] == list(range(100))
    assert all(7 in panels for panels in expected)


@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_sanitized(sanitizer):
    sanitized(sanitizer, test_near_panels, metric=0, options={"order": "random", "resident": 3, "blocks": 3})
    sanitized(sanitizer, test_keys_order_the_rows_of_a_box_by_its_widest_direction, m=301, leaf=16, n_boxes=7)
    sanitized(sanitizer, test_projections_are_within_their_bounds, m=9, d=3, dtype="float32")
