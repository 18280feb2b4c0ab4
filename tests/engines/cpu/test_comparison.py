"""The limits between which a pair is decided canonically, against their derivation: no term missing, none too wide."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from gpuclust.engines.cpu import comparison
from gpuclust.engines.neighborhood import METRICS, Neighborhood

make_side, make_rule, pack = comparison.Side, comparison.make_rule, comparison.pack
pack_tile, new_workspace = comparison._pack_tile, comparison.new_workspace


@numba.njit
def _limits(side, tile, rule):
    columns = pack(side, 0, rule)
    work = new_workspace(side.data.shape[1], rule)
    pack_tile(side, tile, rule.rows, columns, rule, work)
    return columns, work


@pytest.mark.parametrize("reach", [1.0, 1e4])
@pytest.mark.parametrize("d", [3, 100])
@pytest.mark.parametrize("metric", METRICS)
def test_limits_are_those_of_the_derivation(metric, d, reach):
    rng = np.random.default_rng(d)
    rule = make_rule(Neighborhood.within(1.7, metric), d, 2)
    # Rows of very different length: each has limits of its own.
    X = rng.normal(size=(3 * rule.rows, d)) * reach * 10.0 ** rng.uniform(-2, 1, size=(3 * rule.rows, 1))
    empty = np.empty((3, 0))
    columns, work = _limits(make_side(X, np.arange(len(X), dtype=np.int32), empty, empty, 0), 2, rule)
    exact = np.longdouble
    scaled = (X.astype(exact) - X[rule.rows].astype(exact)) * rule.scale
    order = {"euclidean": 2, "manhattan": 1, "chebyshev": np.inf}[metric]
    norms = np.abs(scaled).max(1) if metric == "chebyshev" else (np.abs(scaled) ** order).sum(1)
    rows, ys = norms[2 * rule.rows :], norms[: 2 * rule.rows].reshape(-1, rule.columns)
    constants = columns.panels.reshape(-1, 1 + d, rule.columns)[:, 0]
    e, v, limit, floor = rule.error, 2.0**-23, rule.limit, rule.floor
    if metric == "euclidean":
        excluded = (rows - limit) / 2 - e * rows / 2 - floor
        sure = (rows - limit) / 2 + e * rows / 2 + floor
        slack, blur = 2 * e * ys.max(1), 4 * e * rows
        np.testing.assert_allclose(constants, ((e - 0.5) * ys).astype(np.float64), rtol=1e-7)
    else:
        excluded = -limit * (1 + 2 * e) - 2 * v * rows - floor
        sure = -limit * (1 - 2 * e) + 2 * v * rows + floor
        slack, blur = 6 * v * ys.max(1), 4 * v * rows
        np.testing.assert_allclose(constants, (2 * v * ys).astype(np.float64), rtol=1e-7)
    blur += 1e-5 * (limit + abs(excluded))
    assert (work.low <= excluded).all()
    assert (work.low >= excluded - blur).all()
    assert (work.high >= sure).all()
    assert (work.high <= sure + blur).all()
    assert (columns.slacks >= slack).all()
    assert (columns.slacks <= slack * 1.001).all()


@pytest.mark.parametrize("metric", METRICS)
def test_rows_beyond_the_analysis_have_no_limits(metric):
    rule = make_rule(Neighborhood.within(1.0, metric), 4, 2)
    X = np.random.default_rng(1).normal(size=(3 * rule.rows, 4))
    X[-1] *= 1e20
    X[-2] *= 1e60
    X[-3] *= 2.0**40
    empty = np.empty((3, 0))
    _, work = _limits(make_side(X, np.arange(len(X), dtype=np.int32), empty, empty, 0), 2, rule)
    assert np.isnan(work.low[-2:]).all()
    assert np.isnan(work.high[-2:]).all()
    assert np.isfinite(work.low[:-2]).all()
    assert np.isfinite(work.high[:-2]).all()
