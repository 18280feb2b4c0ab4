"""Fixtures for all tests: the engines under test, so that one test body runs on each of them."""

from __future__ import annotations

import pytest

from gpuclust.engines import get_engine
from gpuclust.errors import DeviceError

ENGINES = [pytest.param("cpu", id="cpu"), pytest.param("cuda", id="cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=ENGINES)
def engine(request):
    """Each engine in turn; skipped where its device is absent."""
    try:
        return get_engine(request.param)
    except DeviceError as error:
        pytest.skip(str(error))
