"""Peak resident memory of a pass over a file stays near its chunks, whatever the size of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CODE = """
import resource, sys
import numpy as np
from gpuclust.sources import as_source

kind, path, max_memory = sys.argv[1:]
X = np.load(path, mmap_mode="r") if kind == "memmap" else path
total, before = 0.0, None
for chunk in as_source(X, max_memory=max_memory).chunks():
    total += float(chunk.rows[:, 0].sum(dtype=np.float64))
    if before is None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(total, grown * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize("kind", ["C.npy", "F.npy", "memmap", "narrow.npy"])
def test_a_pass_over_256_mib_within_64_mb(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind.replace("memmap", "mapped.npy")
    dtype = np.uint8 if kind == "narrow.npy" else np.float32
    rows = np.lib.format.open_memmap(
        path, "w+", dtype, (2**18, 256 * 4 // np.dtype(dtype).itemsize), fortran_order=kind == "F.npy"
    )
    rows[:] = 1
    rows.flush()
    del rows
    arguments = [kind, str(path), "64MB"]
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], check=True, capture_output=True, text=True)
    total, grown = done.stdout.split()
    assert float(total) == 2**18
    # After the first of the chunks of 8 MB: a second one, a block before widening, and what malloc keeps.
    assert int(grown) < 32e6
