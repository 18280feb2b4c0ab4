"""The stand-in for CuPy refuses what CuPy and CUDA refuse, and shows what the host forgot to wait for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuclust.engines.cuda.device import Device
from tests.emulation import EmulatedCuPy, EmulationError

ADD = """#line 1 "add.cu"
extern "C" __global__ void __launch_bounds__(64) add(const float* x, float value, int n, float* out) {
  extern __shared__ float unused[];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = x[i] + value * FACTOR;
}
"""


@pytest.fixture
def xp() -> Any:
    return EmulatedCuPy()


@pytest.fixture
def later() -> Any:
    return EmulatedCuPy(asynchronous=True)


def adder(xp: Any) -> Any:
    return xp.RawModule(code=ADD, options=("-std=c++17", "-fmad=false", "-DFACTOR=2"), backend="nvrtc").get_function(
        "add"
    )


def add(xp: Any, x: Any, value: float, out: Any, **options: Any) -> None:
    adder(xp)((1,), (64,), (x, np.float32(value), np.int32(x.size), out), **options)


def pinned(xp: Any, n: int) -> np.ndarray:
    return np.frombuffer(xp.cuda.alloc_pinned_memory(4 * n), np.float32, n)


def test_arrays_go_there_and_back(xp):
    host = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = xp.asarray(host)
    host[:] = 0
    assert (x.shape, x.dtype, x.nbytes, x.data.ptr % 512, x.device.id) == ((3, 4), np.float32, 48, 0, 0)
    np.testing.assert_array_equal(x[1:, ::2].get(), [[4, 6], [8, 10]])
    x[0] = 7
    x[:, 3] += x[:, 2] * 2
    np.testing.assert_array_equal(x.get(), [[7, 7, 7, 21], [4, 5, 6, 19], [8, 9, 10, 31]])
    x[:] = np.ones((3, 4), np.float32)
    assert float(x.sum()) == 12
    assert int(xp.argsort(-xp.arange(5))[0]) == 4
    np.testing.assert_array_equal(xp.concatenate([x[0], xp.zeros(2, np.float32)]).get(), [1, 1, 1, 1, 0, 0])
    assert type(x.sum()) is xp.ndarray


def test_unset_memory_is_poison(xp):
    np.testing.assert_array_equal(xp.empty(3, np.uint8).get(), 0xCB)
    assert int(xp.empty((), np.int32)) == int.from_bytes(b"\xcb" * 4, "little", signed=True)


def test_views_share_memory_and_copies_do_not(xp):
    x = xp.zeros(8, np.int32)
    x.reshape(2, 4)[1].fill(3)
    x.view(np.uint32)[0] = 9
    copy = x.copy()
    copy.fill(0)
    np.testing.assert_array_equal(x.get(), [9, 0, 0, 0, 3, 3, 3, 3])
    assert x[2:].data.ptr == x.data.ptr + 8
    assert xp.asarray(x) is x


@pytest.mark.parametrize(
    "mixed",
    [
        np.asarray,
        lambda x: np.add(x, np.ones(3)),
        lambda x: x + np.ones(3),
        lambda x: np.concatenate([x, x]),
        np.linalg.norm,
    ],
)
def test_nothing_becomes_a_host_array_by_itself(xp, mixed):
    with pytest.raises(TypeError):
        mixed(xp.ones(3))


def test_set_and_get_are_strict(xp):
    x = xp.zeros((2, 3), np.float32)
    for wrong, error in (
        (np.zeros((2, 3)), TypeError),
        (np.zeros((3, 2), np.float32), ValueError),
        ([[0.0] * 3] * 2, TypeError),
    ):
        with pytest.raises(error):
            x.set(wrong)
    with pytest.raises(ValueError):
        x.get(out=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="whole device array"):
        x[0] = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match=r"xp\.matmul: a host array"):
        xp.matmul(x, np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="Unsupported dtype"):
        xp.empty(3, "U3")


def test_kernels_take_device_arrays_and_numpy_scalars(xp):
    x, out = xp.arange(40, dtype=np.float32), xp.empty(40, np.float32)
    add(xp, x, 0.5, out)
    np.testing.assert_array_equal(out.get(), np.arange(40) + 1)
    assert [(launch.kernel, launch.grid, launch.block) for launch in xp.machine.launches] == [("add", (1,), (64,))]
    with pytest.raises(TypeError, match="a host array among the arguments"):
        add(xp, x.get(), 0.5, out)
    with pytest.raises(TypeError, match="a NumPy scalar, not int"):
        adder(xp)((1,), (64,), (x, np.float32(1), 40, out))
    with pytest.raises(EmulationError, match="65 threads in a block, at most 64"):
        adder(xp)((1,), (65,), (x, np.float32(1), np.int32(40), out))


def test_a_kernel_that_does_not_compile(xp):
    module = xp.RawModule(code=ADD, options=())  # nothing yet: CuPy compiles when a function is wanted
    with pytest.raises(xp.cuda.compiler.CompileException, match=r"add\.cu:4:\d+: error: .FACTOR"):
        module.get_function("add")


def test_more_than_48_kb_of_shared_memory_must_be_asked_for(xp):
    x, kernel = xp.zeros(1, np.float32), adder(xp)
    arguments = ((1,), (1,), (x, np.float32(1), np.int32(1), x))
    kernel(*arguments, shared_mem=48 * 1024)
    with pytest.raises(xp.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_VALUE"):
        kernel(*arguments, shared_mem=48 * 1024 + 1)
    kernel.max_dynamic_shared_size_bytes = 100_000
    kernel(*arguments, shared_mem=100_000)
    with pytest.raises(xp.cuda.driver.CUDADriverError):
        kernel(*arguments, shared_mem=100_001)
    with pytest.raises(xp.cuda.driver.CUDADriverError):
        kernel.max_dynamic_shared_size_bytes = 227 * 1024 + 1
    with pytest.raises(xp.cuda.driver.CUDADriverError):
        adder(EmulatedCuPy(capability=(7, 5))).max_dynamic_shared_size_bytes = 65 * 1024


def test_memory_runs_out_and_comes_back():
    xp = EmulatedCuPy(memory=10_000)
    first = xp.empty(5000, np.uint8)
    with pytest.raises(
        xp.cuda.memory.OutOfMemoryError, match=r"allocating 5,120 bytes \(allocated so far: 5,120 bytes"
    ):
        xp.empty(5000, np.uint8)
    view = first[:10]
    del first
    assert xp.cuda.runtime.memGetInfo() == (10_000 - 5120, 10_000)
    del view
    xp.empty(5000, np.uint8)
    assert (xp.machine.used, xp.machine.peak) == ([0], [5120])


def test_the_engine_reads_the_devices_figures():
    xp = EmulatedCuPy(n_devices=2, capability=(8, 6), n_multiprocessors=3, memory=1 << 20)
    device = Device(1, xp)
    assert (device.capability, device.n_multiprocessors, device.shared_memory) == (86, 3, 99 * 1024)
    assert device.memory() == (1 << 20, 1 << 20)
    with device.active():
        x = xp.zeros(1, np.float32)
    assert (x.device.id, xp.cuda.runtime.getDevice(), xp.machine.used) == (1, 0, [0, 512])
    with pytest.raises(ValueError, match="an array of device 1 on device 0"):
        add(xp, x, 1, x)
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        Device(2, xp)


def test_no_device():
    xp = EmulatedCuPy(n_devices=0)
    assert not xp.cuda.is_available()
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice") as caught:
        xp.cuda.runtime.getDeviceCount()
    assert caught.value.status == 100
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError):
        xp.empty(1)


def test_tensors_of_other_libraries(xp):
    x = xp.arange(4, dtype=np.float32)

    class Tensor:
        """Somebody's CUDA tensor."""

        __dlpack__ = staticmethod(x.__dlpack__)
        __dlpack_device__ = staticmethod(x.__dlpack_device__)

    np.testing.assert_array_equal(xp.from_dlpack(Tensor()).get(), [0, 1, 2, 3])
    assert xp.from_dlpack(x).data.ptr == x.data.ptr == x.__cuda_array_interface__["data"][0]
    with pytest.raises(ValueError, match="not on a CUDA device"):
        xp.from_dlpack(np.zeros(3))


# Streams: work is done as late as CUDA allows


def test_a_result_read_on_another_stream_too_early_is_poison(later):
    xp, first, second = later, later.cuda.Stream(non_blocking=True), later.cuda.Stream(non_blocking=True)
    x, out = xp.arange(8, dtype=np.float32), xp.empty(8, np.float32)
    with first:
        add(xp, x, 1, out)
        done = first.record()
    with second:
        assert (out.get() < 0).all()
        second.wait_event(done)
        np.testing.assert_array_equal(out.get(), np.arange(8) + 2)


def test_the_default_stream_waits_for_blocking_streams_only(later):
    xp = later
    for non_blocking in (False, True):
        stream, x, out = xp.cuda.Stream(non_blocking=non_blocking), xp.zeros(8, np.float32), xp.empty(8, np.float32)
        with stream:
            add(xp, x, 1, out)
        assert (out.get() == 2).all() != non_blocking
        stream.synchronize()
        assert (out.get() == 2).all()


def test_a_staging_buffer_filled_again_too_early_sends_the_wrong_rows(later):
    xp, stream, staging = later, later.cuda.Stream(non_blocking=True), pinned(later, 4)
    x = xp.empty(4, np.float32)
    staging[:] = 1
    x.set(staging, stream)
    sent = stream.record()
    assert not sent.done
    staging[:] = 2  # too early
    sent.synchronize()
    assert sent.done
    assert (x.get() == 2).all()
    pageable = np.full(4, 3, np.float32)
    x.set(pageable, stream)
    pageable[:] = 4  # read already
    assert (x.get(stream) == 3).all()


def test_a_copy_to_pinned_memory_must_be_waited_for(later):
    xp, stream = later, later.cuda.Stream()
    x, out = xp.ones(4, np.float32), pinned(later, 4)
    out[:] = 0
    x.get(stream, out=out, blocking=False)
    assert (out == 0).all()
    stream.synchronize()
    assert (out == 1).all()
    x.fill(5)
    assert (x.get(stream, out=out) == 5).all()


def passed_through(xp: Any, pieces: list[np.ndarray], forgotten: str = "") -> list[np.ndarray]:
    """Each piece plus nothing, by way of a staging buffer and a device buffer, on two streams."""
    copying, working = xp.cuda.Stream(non_blocking=True), xp.cuda.Stream(non_blocking=True)
    staging, buffer, results = pinned(xp, 4), xp.empty(4, np.float32), []
    sent, used = xp.cuda.Event(), xp.cuda.Event()
    for event in (sent, used):
        event.record(copying)
    for piece in pieces:
        if forgotten != "sent, by the host":
            sent.synchronize()
        staging[:] = piece
        if forgotten != "used":
            copying.wait_event(used)
        buffer.set(staging, copying)
        sent.record(copying)
        with working:
            if forgotten != "sent":
                working.wait_event(sent)
            results.append(xp.empty(4, np.float32))
            add(xp, buffer, 0, results[-1])
            used.record(working)
    working.synchronize()
    return [result.get() for result in results]


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_streams_that_wait_for_each_other_are_right(seed):
    pieces = list(np.arange(20, dtype=np.float32).reshape(5, 4))
    xp = EmulatedCuPy(asynchronous=True, stream_seed=seed)
    np.testing.assert_array_equal(passed_through(xp, pieces), pieces)


@pytest.mark.parametrize("forgotten", ["sent, by the host", "used", "sent"])
def test_a_wait_that_is_forgotten_shows(forgotten):
    pieces = list(np.arange(20, dtype=np.float32).reshape(5, 4))
    machines = [EmulatedCuPy(asynchronous=True, stream_seed=seed) for seed in (None, *range(10))]
    assert any(not np.array_equal(passed_through(xp, pieces, forgotten), pieces) for xp in machines)


def test_arrays_live_until_the_kernels_that_use_them_have_run(later):
    xp, stream = later, later.cuda.Stream()
    x, out = xp.ones(4, np.float32), xp.empty(4, np.float32)
    with stream:
        add(xp, x, 1, out)
    del x
    assert xp.machine.used == [1024]
    stream.synchronize()
    assert xp.machine.used == [512]


def test_work_outlives_its_stream(later):
    xp = later
    x = xp.ones(4, np.float32)
    with xp.cuda.Stream():
        x.fill(3)
    xp.cuda.Device().synchronize()
    assert (x.get() == 3).all()


def test_events(xp):
    first, second = xp.cuda.Event(), xp.cuda.Event()
    for use in (first.synchronize, lambda: first.done, lambda: xp.cuda.get_current_stream().wait_event(first)):
        with pytest.raises(RuntimeError, match="never recorded"):
            use()
    first.record()
    second.record()
    assert xp.cuda.get_elapsed_time(first, second) >= 0
    untimed = xp.cuda.Event(disable_timing=True)
    untimed.record()
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError):
        xp.cuda.get_elapsed_time(first, untimed)


def test_streams_of_somebody_else(xp):
    stream = xp.cuda.Stream()
    with xp.cuda.ExternalStream(stream.ptr) as external:
        assert external is stream is xp.cuda.get_current_stream()
    assert xp.cuda.get_current_stream() is xp.cuda.ExternalStream(0)
    foreign = xp.cuda.ExternalStream(12345)
    assert foreign.ptr == 12345
    assert xp.cuda.ExternalStream(12345) is foreign
