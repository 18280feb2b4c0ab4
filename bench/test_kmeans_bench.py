"""pytest-benchmark entry points: ``pytest bench --benchmark-columns=min,median,max,iqr``, one group per case.

The same cases and contenders as ``python -m bench``, in one process and one after the other; ratios that are to be
quoted come from that runner. ``GPUCLUST_BENCH_SCALE`` (default 1) scales rows and clusters.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import pytest

from bench.cases import CASES, Rows, Unavailable, initial_centers
from bench.peers import CONTENDERS
from bench.timing import REFUSALS, inertia

SCALE = float(os.environ.get("GPUCLUST_BENCH_SCALE", "1"))
PAIRS = [(case, contender) for case in CASES for contender in CASES[case].contenders]


@lru_cache(maxsize=1)  # tests of a case follow each other
def data(name: str) -> tuple[Rows, Rows, int]:
    case = CASES[name] if SCALE == 1 else CASES[name].scaled(SCALE)
    rows = case.rows()
    return rows, initial_centers(rows, case.n_clusters), case.n_iter


@pytest.mark.parametrize(("name", "contender"), [pytest.param(*pair, id="-".join(pair)) for pair in PAIRS])
def test_kmeans(benchmark: Any, name: str, contender: str) -> None:
    try:
        rows, centers, n_iter = data(name)
    except Unavailable as missing:
        pytest.skip(str(missing))
    run = CONTENDERS[contender].run
    try:
        run(rows[: max(1024, 4 * len(centers))], centers, 2)
    except REFUSALS as error:
        if "gpuclust" in contender:
            raise
        pytest.skip(f"{contender} refuses: {error}")
    benchmark.group = CASES[name].title
    found, ran = benchmark.pedantic(run, args=(rows, centers, n_iter), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(inertia=inertia(rows, found), n_iter=int(ran), shape=rows.shape)
