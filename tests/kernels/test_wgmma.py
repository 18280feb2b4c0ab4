"""Compute capability 9.0: the pieces of kernels/ptx_hopper.cuh, and settle on tiles that warpgroups multiply."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpuclust.engines.cuda.precision import HALF_PRECISION, SINGLE_PRECISION
from gpuclust.engines.cuda.tiles import SETTLE, settle_tile, tile_for
from gpuclust.engines.cuda.warpgroups import WarpgroupTile
from tests.emulation import EmulationError, Module, sanitized
from tests.kernels.screens import Problem, clusters
from tests.kernels.test_settle import check
from tests.kernels.tiles import Outcome, State, settle

MACROS = {"SCREEN_WGMMA": 1, "SLICE_BYTES": 128}
SUBJECT = Path(__file__).parent / "subjects" / "wgmma.cu"
# How rows come: with all their columns, for all panels, or slice by slice.
WHOLE, HALF, SLICED = WarpgroupTile(2, True), WarpgroupTile(1, True), WarpgroupTile(1, False)


def swizzled(matrix: np.ndarray) -> np.ndarray:
    """Rows of 64 float16 as wgmma wants them in shared memory: bits 7 to 9 of an address change bits 4 to 6."""
    places = np.arange(matrix.nbytes // 16)
    out = np.zeros((len(places), 16), np.uint8)
    out[places ^ (places >> 3 & 7)] = np.ascontiguousarray(matrix).view(np.uint8).reshape(-1, 16)
    return out


def multiply(a: np.ndarray, b: np.ndarray, mistake: int = 0, **options: Any) -> np.ndarray:
    """The product of a (64, width) and b (128, width) by the small pipeline of the subject."""
    n = a.shape[1] // 64
    slices = [np.concatenate([swizzled(part) for part in np.split(matrix, n, axis=1)]) for matrix in (a, b)]
    fragments = np.zeros((4, 8, 4, 2, 16, 2), np.float32)  # warp, lane / 4, lane % 4, i, j / 2, j % 2
    module = Module(SUBJECT, {**MACROS, "MISTAKE": mistake}, **options)
    module.get_function("multiply")((1,), (128,), (*slices, np.int32(n), fragments), shared_mem=2 * (64 + 128) * 128)
    return fragments.transpose(0, 3, 1, 4, 2, 5).reshape(64, 128)


def operands(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-8, 8, (rows, 64 * n)).astype(np.float16) for rows in (64, 128)]


@pytest.mark.parametrize("offset", [0, 16, 32, 1024, 96 * 1024 + 64])
def test_descriptor(offset):
    """PTX ISA, "Matrix Descriptor Format": address and offsets in units of 16 bytes, the swizzle of 128 bytes."""
    words = np.zeros(4, np.uint32)
    describe = Module(SUBJECT, MACROS).get_function("describe")
    describe((1,), (32,), (np.int32(offset), words), shared_mem=128 * 1024)
    assert words[0] == offset // 16
    assert words[1] == 0  # the swizzle repeats after 1024 bytes
    assert words[2] & 0x3FFF == 1
    assert words[3] & 0x3FFF == 1024 // 16
    assert words[3] >> 17 & 7 == 0  # base offset
    assert words[3] >> 30 == 1


@pytest.mark.parametrize("order", ["fifo", "lifo", "random"])
def test_product(order):
    a, b = operands(3)
    np.testing.assert_array_equal(multiply(a, b, order=order), a.astype(float) @ b.T.astype(float))


def test_sums_are_truncated_by_less_than_the_bound_allows():
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=(rows, 128)).astype(np.float16) for rows in (64, 128))
    exact, sizes = a.astype(float) @ b.T.astype(float), np.abs(a).astype(float) @ np.abs(b).T.astype(float)
    assert (np.abs(multiply(a, b) - exact) <= (128 + 128 / 4) * 2.0**-23 * sizes).all()


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (1, "lanes differ"),
        (2, "not fenced"),
        (3, "operands changed"),
        (4, r"no wgmma\.fence"),
        (5, "operands changed"),
        (6, "operands changed"),
    ],
)
def test_mistakes_are_found(mistake, says):
    """By the emulator, which alone knows another order."""
    with pytest.raises(EmulationError, match=says):
        multiply(*operands(3), mistake, order="lifo")


@pytest.mark.parametrize(
    ("width", "n_clusters", "expected"),
    [
        (48, 1000, None), (64, 1000, HALF), (80, 1000, WHOLE), (128, 129, WHOLE), (128, 128, SLICED),
        (144, 1000, SLICED), (4096, 10, SLICED),
    ],
)  # fmt: skip
def test_which_tile_settle_takes(width, n_clusters, expected):
    device = SimpleNamespace(capability=90, wgmma=True, shared_memory=227 * 1024)
    chosen = settle_tile(device, HALF_PRECISION, width, n_clusters)
    assert chosen == (expected or tile_for(device, HALF_PRECISION, width, SETTLE))
    assert chosen.shared_memory(width) <= device.shared_memory
    of_floats = tile_for(device, SINGLE_PRECISION, width, SETTLE)
    assert settle_tile(device, SINGLE_PRECISION, width, n_clusters) == of_floats
    device.wgmma = False
    assert settle_tile(device, HALF_PRECISION, width, n_clusters) == tile_for(device, HALF_PRECISION, width, SETTLE)


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((300, 140, 64), HALF),
        ((600, 300, 128), WHOLE),
        ((100, 257, 90), WHOLE),
        ((700, 100, 128), SLICED),
        ((300, 1, 65), SLICED),
        ((1, 400, 300), SLICED),
    ],
    ids=str,
)
def test_shapes(shape, tile):
    problem = Problem(*clusters(*shape), "half")
    outcome = settle(problem, tile=tile)
    assert len(check(problem, outcome)) > 0.8 * shape[0]
    assert outcome.work.tolist() == [shape[0] * -(-shape[1] // 128) * 128, 0, 0]


@pytest.mark.parametrize("options", [{"order": "lifo"}, {"order": "random", "seed": 3, "resident": 3}], ids=str)
@pytest.mark.parametrize("tile", [WHOLE, SLICED], ids=["whole", "sliced"])
def test_in_any_order_of_threads(tile, options):
    """One block takes all tiles, or three take a few each; some rows lie so close to a border that they stay open."""
    problem = Problem(*clusters(1100, 300, 80, spread=1.5), "half")
    first, other = settle(problem, tile=tile, blocks=1), settle(problem, tile=tile, blocks=3, **options)
    check(problem, first)
    assert first.open == other.open != {}
    for mine, theirs in zip(first.state, other.state, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_scores_are_those_of_the_other_tile():
    """To the rounding of one addition: the constant is added at the end, not at the beginning."""
    problem = Problem(*clusters(300, 200, 100), "half")
    mine, other = settle(problem, tile=WHOLE), settle(problem)
    np.testing.assert_array_equal(mine.state.labels, other.state.labels)
    np.testing.assert_allclose(mine.state.upper, other.state.upper, rtol=1e-5)
    np.testing.assert_allclose(mine.state.lower, other.state.lower, rtol=1e-5)


@pytest.mark.parametrize("tile", [WHOLE, SLICED], ids=["whole", "sliced"])
def test_rows_of_a_list_against_their_leading_panels(tile):
    """Tiles of few panels follow tiles of many: no row needs a centre beyond the leading ones, since none has moved."""
    m, k = 1500, 400
    x, c = clusters(m, k, 128)
    rng = np.random.default_rng(2)
    problem = Problem(x, c, "half", order=rng.permutation(k))
    kept = rng.permutation(m)[:1400].astype(np.int32)
    needs = np.repeat(np.array([4, 3, 1, 1, 1, 1], np.int32), 256)[:1400]
    state = State(m)
    state.labels[:], state.upper[:], state.lower[:] = problem.labels, problem.nearest * 1.001, problem.others
    outcome = settle(problem, tile=tile, blocks=1, kept=kept, needs=needs, drifts=np.zeros(k + 1), state=state)
    screened = np.maximum(needs, 2) if tile is WHOLE else needs
    assert outcome.work[0] == screened.sum() * 128
    assert set(outcome.open) <= set(kept[:256].tolist())
    assert len(outcome.again) < 20
    np.testing.assert_array_equal(state.labels, problem.labels)
    assert (state.lower[kept] <= problem.others[kept] * (1 + 1e-6)).all()


@pytest.mark.parametrize("tile", [WHOLE, SLICED], ids=["whole", "sliced"])
def test_ties_stay_open(tile):
    x, c = clusters(100, 70, 70)
    problem = Problem(x, np.concatenate([c, c[::-1]]), "half", order=np.random.default_rng(1).permutation(140))
    outcome = settle(problem, tile=tile)
    assert len(outcome.open) == 100


def test_no_rows_and_a_halted_run():
    problem = Problem(*clusters(50, 300, 64), "half")
    for options in ({"kept": np.empty(0, np.int32)}, {"halt": np.ones(1, np.int32)}):
        outcome: Outcome = settle(problem, tile=WHOLE, **options)
        assert (outcome.state.labels == -1).all()
        assert not outcome.work.any()


def _clean_case() -> None:
    problem = Problem(*clusters(520, 260, 64), "half")
    check(problem, settle(problem, tile=HALF, blocks=1))


@pytest.mark.parametrize("sanitizer", ["asan", "tsan"])
def test_is_clean(sanitizer):
    sanitized(sanitizer, _clean_case)
