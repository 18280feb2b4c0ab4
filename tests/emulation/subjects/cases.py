"""The subjects, run and checked against NumPy. Each takes the planted mistake and how to schedule the threads."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.emulation import EmulatedCuPy, Module

HERE = Path(__file__).parent


def kernel(file: str, name: str, bug: int, **scheduling: Any) -> Any:
    return Module(HERE / file, {"BUG": bug}, **scheduling).get_function(name)


def transpose(bug: int = 0, **scheduling: Any) -> None:
    x = np.random.default_rng(0).random((70, 40), dtype=np.float32)
    out = np.zeros((40, 70), np.float32)
    launch = kernel("transpose.cu", "transpose", bug, **scheduling)
    launch((2, 3), (256,), (x, out, np.int32(70), np.int32(40)))
    np.testing.assert_array_equal(out, x.T)


def transpose_on_device(bug: int = 0) -> None:
    """The same on the emulated device, by way of the stand-in for CuPy."""
    xp = EmulatedCuPy(order="random")
    options = ("-std=c++17", f"-DBUG={bug}")
    launch = xp.RawModule(code=(HERE / "transpose.cu").read_text(), options=options).get_function("transpose")
    x = xp.arange(70 * 40, dtype=np.float32).reshape(70, 40)
    out = xp.empty((40, 70), np.float32)
    launch((2, 3), (256,), (x, out, np.int32(70), np.int32(40)))
    np.testing.assert_array_equal(out.get(), x.get().T)


def histogram(bug: int = 0, **scheduling: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 9, 2000, dtype=np.int32)
    counts = np.zeros(9, np.int32)
    launch = kernel("histogram.cu", "histogram", bug, **scheduling)
    launch((3,), (128,), (labels, np.int32(labels.size), np.int32(9), counts), shared_mem=9 * 4)
    np.testing.assert_array_equal(counts, np.bincount(labels))


def components(bug: int = 0, **scheduling: Any) -> None:
    """A random tree: without any one of its edges it is in pieces."""
    n, random = 400, np.random.default_rng(0)
    edges = [(i, random.integers(max(0, i - 20), i)) for i in range(1, n)]
    edges = np.ascontiguousarray(random.permutation(random.permutation(n)[np.array(edges)]).astype(np.int32))
    parent, labels = np.arange(n, dtype=np.int32), np.full(n, -1, np.int32)
    grid = -(-len(edges) // 32)
    kernel("components.cu", "unite", bug, **scheduling)((grid,), (32,), (edges, np.int32(len(edges)), parent))
    kernel("components.cu", "label", bug, **scheduling)((-(-n // 32),), (32,), (parent, np.int32(n), labels))
    np.testing.assert_array_equal(labels, 0)


def column_sums(bug: int = 0, **scheduling: Any) -> None:
    x = np.random.default_rng(0).integers(0, 100, (7, 64)).astype(np.float32)
    sums = np.zeros(64, np.float32)
    kernel("pipeline.cu", "column_sums", bug, **scheduling)((1,), (16,), (x, np.int32(len(x)), sums))
    np.testing.assert_array_equal(sums, x.sum(axis=0))


def locate(bug: int = 0, **scheduling: Any) -> None:
    x = np.array([0.0, -1.5, 2.5, 3e9, -3e9, np.nan] * 3, np.float32)
    cells, offsets = np.zeros(x.size, np.int32), np.zeros(x.size, np.int64)
    launch = kernel("arithmetic.cu", "locate", bug, **scheduling)
    launch((1,), (32,), (x, np.int32(x.size), np.float32(1), np.int32(2**30), cells, offsets))
    limits = np.iinfo(np.int32)
    np.testing.assert_array_equal(
        cells, np.nan_to_num(np.clip(x.astype(float), limits.min, limits.max)).astype(np.int32)
    )
    np.testing.assert_array_equal(offsets, np.arange(x.size) * 2**30)


ALL = {case.__name__: case for case in (transpose, histogram, components, column_sums, locate)}


def all_correct() -> None:
    """What a sanitizer must not complain about."""
    for case in ALL.values():
        case()
        case(order="random", resident=4, yields=30)
    transpose_on_device()
