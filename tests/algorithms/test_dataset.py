"""The survey of a dataset: bad values are named, and sample, frame and variance are the same for every chunking."""

from __future__ import annotations

import numpy as np
import pytest

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines.canonical import LARGEST
from gpuclust.errors import DataError
from gpuclust.sources import as_source

CHUNKINGS = [None, 1, 7, 1000, 4096, 10_000]


def _rows(n=5000, d=6, dtype=np.float64):
    rng = np.random.default_rng(0)
    return np.ascontiguousarray(rng.normal(size=(n, d)) * 10.0 ** np.arange(d) + 3, dtype=dtype)


@pytest.mark.parametrize("chunk_rows", [None, 1000, 333])
@pytest.mark.parametrize(
    ("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")], ids=["nan", "inf", "-inf"]
)
@pytest.mark.parametrize("place", [(0, 0), (4999, 5), (2000, 3), (999, 1)])
def test_a_bad_value_is_named_by_row_and_column(engine, place, value, kind, chunk_rows):
    X = _rows()
    X[place] = value
    X[place[0] :, 5] = value  # later ones are not named
    row, column = place
    with pytest.raises(DataError, match=f"Input X contains {kind}.* row {row}, column {column} "):
        Dataset(engine, as_source(X, chunk_rows=chunk_rows))


def test_a_value_beyond_reach(engine):
    X = _rows(10)
    X[3, 2] = LARGEST
    Dataset(engine, as_source(X))
    X[3, 2] = -2 * LARGEST
    with pytest.raises(DataError, match="2\\*\\*1000"):
        Dataset(engine, as_source(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_figures_do_not_depend_on_chunks(engine, sized, dtype):
    X = _rows(sized(5000, 1300), dtype=dtype)
    centers = X[:3].astype(np.float64)
    expected = Dataset(engine, as_source(X))
    np.testing.assert_array_equal(expected.column_max, np.abs(X).max(axis=0))
    for chunk_rows in CHUNKINGS[1:]:
        data = Dataset(engine, as_source(X, chunk_rows=chunk_rows))
        np.testing.assert_array_equal(data.sample, expected.sample)
        np.testing.assert_array_equal(data.column_max, expected.column_max)
        for mine, yours in zip(data.frame(centers), expected.frame(centers), strict=True):
            np.testing.assert_array_equal(mine, yours)
        assert data.variance(data.frame(centers)) == expected.variance(expected.frame(centers))
    assert expected.sample.dtype == dtype


def test_the_sample_has_one_row_of_each_stratum(engine):
    X = np.arange(5000.0)[:, None]
    numbers = Dataset(engine, as_source(X)).sample[:, 0].astype(int)
    edges = np.arange(1025) * 5000 // 1024
    assert (edges[:-1] <= numbers).all()
    assert (numbers < edges[1:]).all()
    assert len(set(numbers - edges[:-1])) > 1  # not always the first


@pytest.mark.parametrize("n", [1, 2, 1023, 1024])
def test_all_rows_of_a_small_dataset_are_its_sample(engine, n):
    X = _rows(n)
    np.testing.assert_array_equal(Dataset(engine, as_source(X)).sample, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_variance_is_numpy_s(engine, dtype, shift):
    X = (_rows() + shift).astype(dtype)
    data = Dataset(engine, as_source(X, chunk_rows=700))
    frame = data.frame(X[:2].astype(np.float64))
    wanted = np.mean(np.var(X.astype(np.float64), axis=0))
    assert data.variance(frame) / frame.scale**2 == pytest.approx(wanted, rel=1e-12)


def test_variance_in_another_frame(engine):
    """Centres beyond the rows change the frame's scale; the variance in the rows' units stays."""
    X = _rows()
    data = Dataset(engine, as_source(X))
    near, far = data.frame(X[:1]), data.frame(X[:1] * 1e6)
    assert near.scale > far.scale
    assert data.variance(near) / near.scale**2 == data.variance(far) / far.scale**2


@pytest.mark.parametrize("exponent", [-300, 300])
def test_variance_of_extreme_magnitudes(engine, exponent):
    X = _rows(500, 1) * 2.0**exponent
    data = Dataset(engine, as_source(X))
    frame = data.frame(X[:1])
    plain = np.mean(np.var(X * 2.0**-exponent, axis=0))
    assert data.variance(frame) / (frame.scale * 2.0**exponent) ** 2 == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("chunk_rows", CHUNKINGS)
def test_rows_are_taken_in_the_order_asked_for(engine, chunk_rows):
    X = _rows(300)
    data = Dataset(engine, as_source(X, chunk_rows=chunk_rows))
    for indices in ([5], [299, 0, 7, 7, 0], list(range(299, -1, -3))):
        np.testing.assert_array_equal(data.take(np.array(indices)), X[indices])


@pytest.mark.parametrize("chunk_rows", [None, 64])
def test_parts_cover_all_rows_with_their_weights(engine, chunk_rows):
    X, weights = _rows(300), np.arange(1.0, 301)
    data = Dataset(engine, as_source(X, chunk_rows=chunk_rows), weights)
    for start in (0, 100):
        # A part is valid until the next one is asked for.
        parts = [(p.rows_slice, engine.to_host(p.rows), engine.to_host(p.weights)) for p in data.parts(start=start)]
        places, rows, own = zip(*parts, strict=True)
        assert places[0].start == start
        np.testing.assert_array_equal(np.concatenate(rows), X[start:])
        np.testing.assert_array_equal(np.concatenate(own), weights[start:])
        assert [place.start for place in places[1:]] == [place.stop for place in places[:-1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows(engine, dtype):
    X = _rows(dtype=dtype)
    X[10:20] *= 1e-20
    datasets = [Dataset(engine, as_source(X, chunk_rows=c), normalize=True) for c in (None, 999)]
    rows = [np.concatenate([engine.to_host(part.rows) for part in data.parts()]) for data in datasets]
    np.testing.assert_array_equal(*rows)
    assert rows[0].dtype == dtype
    wide = X.astype(np.float64)
    np.testing.assert_allclose(
        rows[0], wide / np.linalg.norm(wide, axis=1, keepdims=True), rtol=2 * np.finfo(dtype).eps
    )
    for data in datasets:
        numbers = np.array([12, 4000, 12])
        np.testing.assert_array_equal(data.take(numbers), rows[0][numbers])


@pytest.mark.parametrize("chunk_rows", [None, 100])
def test_a_zero_row_has_no_direction(engine, chunk_rows):
    X = _rows()
    X[321] = 0
    data = Dataset(engine, as_source(X))
    assert data.n_rows == 5000
    with pytest.raises(DataError, match="row 321 of X is zero"):
        list(Dataset(engine, as_source(X, chunk_rows=chunk_rows), normalize=True).parts())
