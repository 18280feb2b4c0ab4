"""FAISS, scikit-learn, torch and gpuclust in one process, loaded in any order: no crash, and the same results."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WORK = """
import hashlib, sys
for name in sys.argv[1:]:
    __import__(name)
import faiss, numpy as np, sklearn.cluster, torch
from gpuclust import Autoencoder, KMeans, NearestNeighbors

X = np.random.default_rng(0).random((600, 8), dtype=np.float32)
n_threads = torch.get_num_threads()
found = []
for _ in range(2):  # in turns, so that every pool of threads is woken after the others
    found += [KMeans(5, random_state=0, device="cpu").fit(X).cluster_centers_]
    found += [Autoencoder(2, epochs=2, random_state=0, device="cpu").fit(X).transform(X)]
    found += [NearestNeighbors(n_neighbors=3, device="cpu").fit(X).kneighbors(X, return_distance=False)]
    sklearn.cluster.KMeans(5, random_state=0).fit(X)
assert all((first == second).all() for first, second in zip(found[:3], found[3:]))
assert torch.get_num_threads() == n_threads
print(hashlib.sha256(b"".join(each.tobytes() for each in found)).hexdigest())
"""


ORDERS = [("torch", "faiss", "sklearn.cluster"), ("sklearn.cluster", "faiss", "torch"), ()]


@pytest.mark.slow
def test_any_order_of_imports():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    found = set()
    for first in ORDERS:
        done = subprocess.run(
            [sys.executable, "-c", WORK, *first], capture_output=True, text=True, timeout=300, env=environment
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
