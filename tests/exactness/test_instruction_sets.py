"""The same bits on every instruction set: kernels compiled for older processors than this one."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AVX2 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+popcnt,+f16c"
TARGETS = {"host": {}, "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2}, "sse2": {
    "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse,+sse2"}}  # fmt: skip

FIT = """
import hashlib, json
import numpy as np
from gpuclust import DBSCAN, KMeans
from gpuclust.engines.cpu.vector import tile_shape
from gpuclust.metrics import silhouette_score

random = np.random.default_rng(4)
found = {"lanes": tile_shape(np.float32).lanes}
for d, dtype, offset in ((3, np.float32, 0), (40, np.float32, 1e4), (70, np.float64, 1e6)):
    rows = 4 * random.standard_normal((40, d))[random.integers(0, 40, 3000)] + offset
    rows += random.standard_normal(rows.shape)
    model = KMeans(33, random_state=1, max_iter=15, n_init=1).fit(rows.astype(dtype))
    bits = model.labels_.tobytes() + model.cluster_centers_.tobytes() + repr((model.inertia_, model.n_iter_)).encode()
    found[f"{d} {np.dtype(dtype)}"] = hashlib.sha256(bits).hexdigest()
    for metric in ("euclidean", "manhattan"):
        score = silhouette_score(rows.astype(dtype), model.labels_, metric=metric)
        found[f"{d} {np.dtype(dtype)} silhouette {metric}"] = score
    for metric, eps in (("euclidean", 1.1 * d**0.5), ("manhattan", 0.8 * d), ("chebyshev", 2.0)):
        dense = DBSCAN(eps, metric=metric).fit(rows.astype(dtype))
        bits = dense.labels_.tobytes() + dense.core_sample_indices_.tobytes()
        found[f"{d} {np.dtype(dtype)} {metric}"] = hashlib.sha256(bits).hexdigest()
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names the instruction sets of x86-64")
def test_bits_do_not_depend_on_the_instruction_set(tmp_path):
    found = {}
    for name, variables in TARGETS.items():
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "GPUCLUST_CACHE_DIR": str(tmp_path / name)}
        done = subprocess.run(
            [sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    assert (found["avx2"].pop("lanes"), found["sse2"].pop("lanes")) == (8, 4)
    assert found["host"].pop("lanes") >= 4
    assert found["avx2"] == found["host"]
    assert found["sse2"] == found["host"]
