"""Rows in the memory of a GPU, from the door to the labels, on an emulated GPU: computed where they lie, same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpuclust import KMeans
from gpuclust.engines import get_engine
from gpuclust.engines.cuda.discovery import discover
from gpuclust.errors import DeviceError

pytestmark = pytest.mark.emulated


@pytest.fixture
def cupy(emulated_machine: Callable[..., Any]) -> Any:
    return emulated_machine(n_devices=2, capability=(7, 5), n_multiprocessors=1)


def test_devices_are_found_and_opened(cupy: Any) -> None:
    assert [str(device) for device in discover().usable] == [
        "cuda:0 (Emulated GPU, sm_75, 1.0 GiB)",
        "cuda:1 (Emulated GPU, sm_75, 1.0 GiB)",
    ]
    assert get_engine("cuda:1") is get_engine("cuda:1")
    assert get_engine("auto").name == get_engine("cuda").name == "cuda"
    with pytest.raises(DeviceError, match="there is no GPU 2"):
        get_engine("cuda:2")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_rows_are_clustered_where_they_lie(cupy: Any, dtype: str) -> None:
    X = (np.random.default_rng(0).normal(size=(120, 6)) * 10).astype(dtype)
    parameters = {"init": X[:4].astype(np.float64), "n_init": 1, "max_iter": 3}
    expected = KMeans(4, device="cpu", **parameters).fit(X)
    with cupy.cuda.Device(1):
        rows = cupy.asarray(X)
    model = KMeans(4, **parameters)
    labels = model.fit_predict(rows)
    assert isinstance(labels, cupy.ndarray)
    assert labels.device.id == 1
    np.testing.assert_array_equal(labels.get(), expected.labels_)
    assert model.cluster_centers_.tobytes() == expected.cluster_centers_.tobytes()
    assert model.inertia_ == expected.inertia_
    assert cupy.machine.peak[1] > rows.nbytes
    assert cupy.machine.peak[0] == 0, "nothing was moved to the other GPU"
    with pytest.raises(DeviceError, match="device='cuda:0', but X lies on cuda:1"):
        KMeans(4, device="cuda:0", **parameters).fit(rows)
