"""The kernels of the tree, compiled once for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from tests.compilation.cubin import Kernel
from tests.compilation.measure import measure
from tests.compilation.variants import Job


@pytest.fixture(scope="session")
def kernels_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Job], dict[str, Kernel]]]:
    """The kernels of a compilation. Those that this run's tests will ask for are all begun at once."""
    with ThreadPoolExecutor() as pool:
        begin = cache(lambda job: pool.submit(measure, job))
        for item in request.session.items:
            if getattr(item, "originalname", "") == "test_machine_code":
                begin(item.callspec.params["job"])
        yield lambda job: begin(job).result()
        pool.shutdown(cancel_futures=True)
