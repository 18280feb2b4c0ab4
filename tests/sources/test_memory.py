"""Peak resident memory of passes over a file stays near its chunks, whatever the size of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# VmHWM, because ru_maxrss of a child begins at what its parent had.
CODE = """
import sys
import numpy as np
from gpuclust.sources import as_source

def peak():
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

kind, path, max_memory = sys.argv[1:]
source = as_source(np.load(path, mmap_mode="r") if kind == "memmap" else path, max_memory=max_memory)
before = peak()
for _ in range(3):
    total = sum(float(chunk.rows[:, 0].sum(dtype=np.float64)) for chunk in source.chunks())
print(total, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no VmHWM")
@pytest.mark.parametrize("kind", ["C.npy", "F.npy", "memmap", "narrow.npy", "rows.parquet"])
def test_passes_over_256_mib_within_64_mb(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind.replace("memmap", "mapped.npy")
    if kind == "rows.parquet":
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table({f"c{j}": np.full(2**20, 1 + j % 2, np.float32) for j in range(8)})
        with parquet.ParquetWriter(path, table.schema, use_dictionary=False, compression="none") as writer:
            for _ in range(8):
                writer.write_table(table)
        n_rows = 2**23
    else:
        n_rows, dtype = 2**18, np.dtype(np.uint8 if kind == "narrow.npy" else np.float32)
        shape = (n_rows, 1024 // dtype.itemsize)
        rows = np.lib.format.open_memmap(path, "w+", dtype, shape, fortran_order=kind == "F.npy")
        rows[:] = 1
        rows.flush()
        del rows
    assert path.stat().st_size >= 2**28
    arguments = [kind, str(path), "64MB"]
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], check=True, capture_output=True, text=True)
    total, grown = done.stdout.split()
    assert float(total) == n_rows
    # Two chunks of 8 MB, a block as it is stored and what the allocator keeps (32.1 MB was seen): within the budget of
    # 64 MB. For parquet also pages, and the code that decodes them.
    assert int(grown) < (100e6 if kind == "rows.parquet" else 48e6), f"{int(grown) / 1e6:.0f} MB"
