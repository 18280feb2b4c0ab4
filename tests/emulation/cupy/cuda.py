"""`cupy.cuda`: what it holds, the runtime's questions, pinned memory."""

import ctypes
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any

from .arrays import MemoryPointer
from .devices import Device
from .errors import CompileException, CUDADriverError, CUDARuntimeError, OutOfMemoryError
from .machine import Machine, Memory
from .streams import Event, Stream, external_stream, get_elapsed_time

__all__ = ["cuda_namespace"]

VERSION = 13000
PINNED_GRAIN = 512  # CuPy rounds pinned allocations up: what is asked for must be cut out of them


def cuda_namespace(machine: Machine) -> SimpleNamespace:
    """What `cupy.cuda` holds."""
    machine.null_streams = []
    for number in range(machine.n_devices):
        machine.device = number
        machine.null_streams.append(Stream(machine, null=True))
    if machine.n_devices:
        machine.device = 0
    stream = partial(Stream, machine)
    stream.null = machine.null_streams[0] if machine.n_devices else None  # type: ignore[attr-defined]
    return SimpleNamespace(
        Device=partial(Device, machine),
        Event=partial(Event, machine),
        ExternalStream=partial(external_stream, machine),
        MemoryPointer=MemoryPointer,
        Stream=stream,
        alloc=lambda size: _alloc(machine, size),
        alloc_pinned_memory=lambda size: _pinned(machine, size),
        compiler=SimpleNamespace(CompileException=CompileException),
        driver=SimpleNamespace(CUDADriverError=CUDADriverError),
        get_current_stream=lambda device_id=-1: machine.stream,
        get_elapsed_time=get_elapsed_time,
        is_available=lambda: machine.n_devices > 0,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvrtc=SimpleNamespace(getVersion=lambda: divmod(VERSION // 10, 100)),
        runtime=_runtime(machine),
    )


def _runtime(machine: Machine) -> SimpleNamespace:
    def properties(number: int) -> dict[str, Any]:
        machine.check_device(number)
        return {
            "name": b"Emulated GPU",
            "major": machine.capability[0],
            "minor": machine.capability[1],
            "multiProcessorCount": machine.n_multiprocessors,
            "sharedMemPerBlock": 48 * 1024,
            "sharedMemPerBlockOptin": machine.shared_memory,
            "totalGlobalMem": machine.memory,
            "l2CacheSize": 1 << 20,
            "warpSize": 32,
            "maxThreadsPerBlock": 1024,
        }

    def count() -> int:
        if not machine.n_devices:
            raise CUDARuntimeError(100)
        return machine.n_devices

    def use(number: int) -> None:
        machine.device = number

    return SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        deviceSynchronize=lambda: Device(machine).synchronize(),
        driverGetVersion=lambda: VERSION,
        getDevice=lambda: machine.device,
        getDeviceCount=count,
        getDeviceProperties=properties,
        is_hip=False,
        memGetInfo=lambda: Device(machine).mem_info,
        runtimeGetVersion=lambda: VERSION,
        setDevice=use,
    )


def _alloc(machine: Machine, size: int) -> MemoryPointer:
    memory = Memory(machine, size)
    return MemoryPointer(memory.ptr, memory)


def _pinned(machine: Machine, size: int) -> Any:
    """Page-locked host memory: an object with the buffer protocol and `ptr`."""
    rounded = max(1, -(-size // PINNED_GRAIN)) * PINNED_GRAIN
    kind = type("PinnedMemoryPointer", (ctypes.c_char * rounded,), {"_type_": ctypes.c_char, "_length_": rounded})
    memory = kind()
    memory.ptr = ctypes.addressof(memory)
    ctypes.memset(memory.ptr, 0xCB, rounded)
    machine.pinned[memory.ptr] = rounded
    weakref.finalize(memory, machine.pinned.pop, memory.ptr)
    return memory
