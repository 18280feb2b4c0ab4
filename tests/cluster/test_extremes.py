"""Magnitudes at the edge of float64: an exact answer or a typed error, never a silently wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust import KMeans
from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import make_frame
from gpuclust.engines.planner import SketchUse
from gpuclust.errors import DataError
from gpuclust.sources import as_source


def test_cosine_sees_a_tiny_row_among_long_ones(engine):
    rows = np.array([[3e-200, 4e-200], [0.6, 0.8], [5e200, 0.0]])
    data = Dataset(engine, as_source(rows), normalize=True)
    np.testing.assert_allclose(data.take(np.arange(3)), [[0.6, 0.8], [0.6, 0.8], [1.0, 0.0]], rtol=1e-15)
    assert KMeans(2, metric="cosine", random_state=0).fit_predict(rows).tolist() in ([0, 0, 1], [1, 1, 0])


@pytest.mark.parametrize(("value", "weight"), [(1e200, 1e200), (1e-200, 1e-150)])
def test_weights_that_leave_the_range_with_the_rows_are_refused(value, weight):
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]) * value
    with pytest.raises(DataError, match=r"sample_weight: weights up to .* leave the range of float64"):
        KMeans(2, random_state=0).fit(rows, sample_weight=np.full(3, weight))


def test_weights_too_small_to_count_are_refused():
    rows = np.arange(8.0).reshape(4, 2)
    with pytest.raises(DataError, match=r"sample_weight: the smallest positive weight, 1e-20 at row 2"):
        KMeans(2, random_state=0).fit(rows, sample_weight=[1.0, 1.0, 1e-20, 0.0])
    KMeans(2, random_state=0).fit(rows, sample_weight=[1.0, 1.0, 1e-11, 0.0])


def test_a_centre_that_creeps_away_by_less_than_a_float32_loses_its_row(engine):
    """Bounds are kept in float32; below 2**-126 they cannot be widened, so there they must not be believed."""
    quantum, n_features = 2.0**-149, 20
    rows = np.zeros((2, n_features))
    rows[1, 0] = 1.0
    frame = make_frame(np.zeros(n_features), np.abs(rows).max(0), 1.0, 2, 1.0)

    def centers(own: float) -> np.ndarray:
        placed = np.zeros((3, n_features))
        placed[0, 0], placed[1, 1], placed[2, 0] = own * quantum / frame.scale, 2.55 * quantum / frame.scale, 1.0
        return placed

    own = 1.4
    state, placed, before = engine.new_assignment(2), engine.place(rows), engine.array(centers(own))
    sketch = engine.planner(placed, rows, 3, frame, "sketch")._host.build(np.eye(n_features)[:, :8])
    use = SketchUse(sketch, engine.array(np.full(1, 2.4 * quantum))[0])
    engine.assign(placed, 0, engine.prepare_centers(before, frame), state, None)
    for _ in range(12):
        own += 0.4
        now = engine.array(centers(own))
        movement = engine.movement(before, now, frame)
        prepared = engine.prepare_centers(now, frame, movement)
        engine.assign(placed, 0, prepared, state, movement, sketch=use)
        expected = engine.pairwise(placed, now, frame).argmin(axis=1)
        np.testing.assert_array_equal(engine.to_host(state.labels), expected)
        before = now
