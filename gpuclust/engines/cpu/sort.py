"""The order of integer keys by their digits, the last first (D. Knuth, TAOCP 3, section 5.2.5): stable, in parallel."""

from __future__ import annotations

import numpy as np

from gpuclust.engines.cpu.compile import bare_kernel, kernel
from gpuclust.engines.cpu.threads import n_threads, run_blocks

__all__ = ["stable_order"]

# A counter for each value of a digit: the tables stay in the cache nearest to the core.
_MOST_DIGIT_BITS = 11
# Fewer keys are sorted sooner by comparing them.
_FEW = 1 << 14


def stable_order(keys: np.ndarray, bits: int) -> np.ndarray:
    """The stable order (m,) int32 of ``keys`` (m,) int64, which lie in [0, 2**bits).

    Takes 24 bytes a key while it works, beside the keys.
    """
    m = len(keys)
    if m < _FEW:
        return np.argsort(keys, kind="stable").astype(np.int32)
    n_digits = max(1, -(-bits // _MOST_DIGIT_BITS))
    width = -(-bits // n_digits)
    order: np.ndarray = np.empty(0, np.int32)
    for digit in range(n_digits):
        shift, last = digit * width, digit == n_digits - 1
        moved = np.empty(0 if last else m, np.int64), np.empty(m, np.int32)
        _pass(keys, order, shift, width, *moved)
        keys, order = moved
    return order


def _pass(
    keys: np.ndarray, order: np.ndarray, shift: int, width: int, moved_keys: np.ndarray, moved_order: np.ndarray
) -> None:
    """Sort by one digit."""
    m = len(keys)
    block = -(-m // n_threads())
    counts = np.stack(run_blocks(lambda lo, hi: _count(keys, lo, hi, shift, width), m, block))
    # A digit's keys go after those of all smaller digits and after the same digit's of the blocks before.
    places = np.ascontiguousarray(np.cumsum(counts.T.ravel()).reshape(-1, len(counts)).T - counts)
    run_blocks(
        lambda lo, hi: _move(keys, order, lo, hi, shift, width, places[lo // block], moved_keys, moved_order), m, block
    )


@kernel
def _count(keys, lo, hi, shift, width):  # type: ignore[no-untyped-def]
    counts = np.zeros(1 << width, np.int64)
    mask = (1 << width) - 1
    for i in range(lo, hi):
        counts[(keys[i] >> shift) & mask] += 1
    return counts


@bare_kernel
def _move(keys, order, lo, hi, shift, width, places, moved_keys, moved_order):  # type: ignore[no-untyped-def]
    """Bring keys lo .. hi to their ``places``. No ``order`` stands for that of the keys, no moved keys for the last."""
    mask = (1 << width) - 1
    for i in range(lo, hi):
        digit = (keys[i] >> shift) & mask
        place = places[digit]
        places[digit] += 1
        moved_order[place] = order[i] if order.size > 0 else i
        if moved_keys.size > 0:
            moved_keys[place] = keys[i]
