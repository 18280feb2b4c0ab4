"""Fixtures for the job tests: a small file of rows with three obvious clusters."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rows() -> np.ndarray:
    """Return 600 rows in three blobs, float32 (600, 4)."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(center, 1, (200, 4)) for center in (-20, 0, 20)]).astype(np.float32)


@pytest.fixture
def points(tmp_path, rows):
    """Return the path of `rows` as an .npy file."""
    path = tmp_path / "points.npy"
    np.save(path, rows)
    return path


class Log:
    """Keeps the events."""

    def __init__(self):
        self.events = []

    def __call__(self, event, **fields):
        self.events.append((event, fields))


@pytest.fixture
def log():
    """Return a receiver of events that keeps them."""
    return Log()
