"""pytest-benchmark entry points: ``pytest bench --benchmark-columns=min,median,max,iqr``, one group per case.

The same cases and contenders as ``python -m bench``, in one process and one after the other; ratios that are to be
quoted come from that runner. ``GPUCLUST_BENCH_SCALE`` (default 1) scales rows and what follows them.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import pytest

from bench.cases import Case
from bench.catalog import CASES
from bench.data import Rows, Unavailable
from bench.timing import REFUSALS

SCALE = float(os.environ.get("GPUCLUST_BENCH_SCALE", "1"))
PAIRS = [(case, contender) for case in CASES for contender in CASES[case].contenders]


@lru_cache(maxsize=1)  # tests of a case follow each other
def data(name: str) -> tuple[Case, Rows, tuple[Any, ...]]:
    case = CASES[name] if SCALE == 1 else CASES[name].scaled(SCALE)
    rows = case.rows()
    return case, rows, case.arguments(rows)


@pytest.mark.parametrize(("name", "contender"), [pytest.param(*pair, id="-".join(pair)) for pair in PAIRS])
def test_side_by_side(benchmark: Any, name: str, contender: str) -> None:
    try:
        case, rows, arguments = data(name)
    except Unavailable as missing:
        pytest.skip(str(missing))
    run = case.peers[contender].run
    try:
        run(*case.warm_up(rows, arguments))
    except REFUSALS as error:
        if "gpuclust" in contender:
            raise
        pytest.skip(f"{contender} refuses: {error}")
    benchmark.group = case.title
    outcome = benchmark.pedantic(run, args=(rows, *arguments), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(case.judged(rows, {contender: outcome})[contender], shape=rows.shape)
