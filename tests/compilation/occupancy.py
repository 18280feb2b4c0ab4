"""How many blocks of a kernel a multiprocessor holds at once, by the rules of the CUDA programming guide."""

from __future__ import annotations

from typing import NamedTuple

WARP = 32
REGISTERS = 65536  # of a multiprocessor; they are given to warps in units of 256, by each of four schedulers
SCHEDULERS = 4
RESERVED = 1024  # bytes of shared memory that the driver takes of every block, from compute capability 8.0


class Multiprocessor(NamedTuple):
    """Its limits (CUDA programming guide, "Technical specifications per compute capability")."""

    warps: int
    blocks: int
    shared_bytes: int
    block_shared_bytes: int  # the most that one block may ask for


MULTIPROCESSORS = {
    75: Multiprocessor(32, 16, 64 << 10, 64 << 10),
    80: Multiprocessor(64, 32, 164 << 10, 163 << 10),
    86: Multiprocessor(48, 16, 100 << 10, 99 << 10),
    89: Multiprocessor(48, 24, 100 << 10, 99 << 10),
    90: Multiprocessor(64, 32, 228 << 10, 227 << 10),
    100: Multiprocessor(64, 32, 228 << 10, 227 << 10),
    120: Multiprocessor(48, 24, 100 << 10, 99 << 10),
}


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def resident_blocks(capability: int, threads: int, registers: int, shared_bytes: int) -> int:
    """Blocks of `threads` that are resident together; 0 if a block does not fit at all."""
    limits = MULTIPROCESSORS[capability]
    warps = -(-threads // WARP)
    resident_warps = REGISTERS // SCHEDULERS // _up(registers * WARP, 256) * SCHEDULERS
    shared = _up(shared_bytes + RESERVED, 128) if capability >= 80 else _up(shared_bytes, 256)
    return min(
        limits.blocks,
        limits.warps // warps,
        resident_warps // warps,
        limits.shared_bytes // shared if shared else limits.blocks,
        0 if shared_bytes > limits.block_shared_bytes else limits.blocks,
    )
