"""Planted mistakes are found by the layer that should find them, and correct kernels by none: the detectors detect.

| mistake | orders of threads | sanitizer |
|---|---|---|
| missing barrier | wrong results | TSan |
| plain += where threads meet | not seen | TSan |
| union-find by plain stores | with blocks interleaved | TSan |
| union-find by atomicMin, no retry | with blocks interleaved | not a race |
| missing cp.async wait | NaN in the results | not a race |
| access past the end, global or shared | not seen, unless far | ASan |
| misaligned vector access | a fault | UBSan |
| conversion or product that overflows | wrong results | UBSan |
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulation import EmulationError, Unclean, sanitized
from tests.emulation.subjects import cases

SCHEDULINGS = [
    {"order": "fifo"},
    {"order": "lifo"},
    *({"order": "random", "seed": seed} for seed in range(1, 4)),
    *({"order": "random", "seed": seed, "resident": 8, "yields": 30} for seed in range(1, 4)),
]


def wrong(case: str, bug: int, **scheduling: Any) -> bool:
    try:
        cases.ALL[case](bug, **scheduling)
    except (AssertionError, EmulationError):
        return True
    return False


@pytest.mark.parametrize("scheduling", SCHEDULINGS)
@pytest.mark.parametrize("case", cases.ALL)
def test_correct_kernels_are_right_in_every_order(case, scheduling):
    cases.ALL[case](**scheduling)


@pytest.mark.parametrize(
    ("case", "bug"),
    [("transpose", 3), ("column_sums", 1), ("column_sums", 2), ("column_sums", 3), ("locate", 1), ("locate", 2)],
)
def test_found_in_any_order(case, bug):
    assert wrong(case, bug, order="fifo")
    assert wrong(case, bug, order="lifo")
    assert wrong(case, bug, order="random")


@pytest.mark.parametrize("bug", [1, 2])
def test_lock_free_mistakes_are_found_with_blocks_interleaved(bug):
    assert not wrong("components", bug, order="fifo")
    assert all(wrong("components", bug, order="random", seed=s, resident=8, yields=30) for s in range(1, 6))


def test_a_misaligned_vector_is_a_fault():
    with pytest.raises(EmulationError, match=r"transpose: fault: an access to a misaligned address"):
        cases.transpose(2)


@pytest.mark.parametrize("sanitizer", ["asan", "ubsan", "tsan"])
def test_correct_kernels_are_clean(sanitizer):
    sanitized(sanitizer, cases.all_correct)


@pytest.mark.parametrize(
    ("sanitizer", "case", "bug", "report"),
    [
        ("asan", "transpose", 1, r"heap-buffer-overflow[^$]*READ of size 16[^$]*in transpose \S*transpose\.cu:24\b"),
        ("asan", "transpose", 4, r"heap-buffer-overflow[^$]*WRITE of size 4[^$]*in transpose \S*transpose\.cu:26\b"),
        ("ubsan", "transpose", 2, r"transpose\.cu:22:\d+: runtime error: reference binding to misaligned address"),
        ("ubsan", "locate", 1, r"arithmetic\.cu:7:\d+: runtime error: \S+ is outside the range of .* 'int'"),
        ("ubsan", "locate", 2, r"arithmetic\.cu:12:\d+: runtime error: signed integer overflow"),
        ("tsan", "transpose", 3, r"data race[^$]* transpose \S*transpose\.cu:\d+[^$]* transpose \S*transpose\.cu:\d+"),
        ("tsan", "histogram", 1, r"data race[^$]* histogram \S*histogram\.cu:9\b"),
        ("tsan", "histogram", 2, r"data race[^$]* histogram \S*histogram\.cu:17\b"),
        ("tsan", "components", 1, r"data race[^$]* unite \S*components\.cu:23\b"),
        ("tsan", "column_sums", 2, r"data race[^$]*column_sums \S*pipeline\.cu:\d+"),
        ("tsan", "column_sums", 3, r"data race[^$]*column_sums \S*pipeline\.cu:\d+"),
    ],
)
def test_found_by_a_sanitizer(sanitizer, case, bug, report):
    with pytest.raises(Unclean, match=report):
        sanitized(sanitizer, cases.ALL[case], bug=bug)


def test_the_end_of_a_device_array_is_seen():
    with pytest.raises(Unclean, match="heap-buffer-overflow"):
        sanitized("asan", cases.transpose_on_device, bug=1)


def test_a_case_that_raises_is_not_clean():
    with pytest.raises(
        Unclean, match=r"python -m tests.emulation ubsan \"tests/emulation/subjects/cases.py::column_sums"
    ):
        sanitized("ubsan", cases.column_sums, bug=1)
