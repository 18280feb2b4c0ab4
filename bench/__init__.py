"""Benchmarks: gpuclust and its peers, side by side on the same data, with the same parameters.

``python -m bench`` runs them (``--help`` lists the options); ``pytest bench`` is the pytest-benchmark view of them.
"""

import os

# Before any OpenMP runtime is loaded: threads that spin between parallel regions slow their neighbours up to fourfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
