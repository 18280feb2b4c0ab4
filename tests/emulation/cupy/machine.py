"""The emulated machine: its devices' figures and memory, and what is current in each thread."""

import ctypes
import random
import threading
import weakref
from typing import Any, NamedTuple

from .errors import CUDARuntimeError, OutOfMemoryError

__all__ = ["Launched", "Machine", "Memory"]

ALIGNMENT = 512  # of CuPy's allocations
POISON = 0xCB
# Bytes of shared memory that a block may ask for, by compute capability; the CUDA programming guide's table.
SHARED = {75: 64, 80: 163, 86: 99, 87: 163, 89: 99, 90: 227, 100: 227, 103: 227, 110: 227, 120: 99, 121: 99}

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]


class Launched(NamedTuple):
    """One kernel launch, for tests that ask what was launched."""

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared_memory: int


class Machine:
    """What a test sets: see `EmulatedCuPy` for the parameters."""

    def __init__(
        self,
        n_devices: int,
        capability: tuple[int, int],
        n_multiprocessors: int,
        memory: int,
        asynchronous: bool,
        stream_seed: int | None,
    ) -> None:
        self.n_devices, self.capability = n_devices, capability
        self.n_multiprocessors = n_multiprocessors
        self.memory = memory
        self.asynchronous = asynchronous
        self.random = None if stream_seed is None else random.Random(stream_seed)
        self.shared_memory = SHARED[10 * capability[0] + capability[1]] * 1024
        self.used = [0] * n_devices
        self.peak = [0] * n_devices
        self.launches: list[Launched] = []
        self.pinned: dict[int, int] = {}  # first address: bytes
        self.null_streams: list[Any] = []
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self.busy: set[Any] = set()  # streams with work to do
        self.lock = threading.RLock()
        self._thread = threading.local()

    @property
    def device(self) -> int:
        """Number of this thread's current device."""
        return getattr(self._thread, "device", 0)

    @device.setter
    def device(self, number: int) -> None:
        self.check_device(number)
        self._thread.device = number

    def check_device(self, number: int) -> None:
        if not self.n_devices:
            raise CUDARuntimeError(100)
        if not 0 <= number < self.n_devices:
            raise CUDARuntimeError(101)

    @property
    def stream(self) -> Any:
        """This thread's current stream of its current device."""
        return self._streams.get(self.device, self.null_streams[self.device])

    @stream.setter
    def stream(self, stream: Any) -> None:
        self._streams[self.device] = stream

    @property
    def _streams(self) -> dict[int, Any]:
        if not hasattr(self._thread, "streams"):
            self._thread.streams = {}
        return self._thread.streams

    def is_pinned(self, address: int, size: int) -> bool:
        return any(first <= address and address + size <= first + n for first, n in self.pinned.items())


class Memory:
    """One allocation on a device: aligned as CuPy's, poisoned, no larger than asked for, so that ASan sees its end."""

    def __init__(self, machine: Machine, size: int) -> None:
        machine.check_device(machine.device)
        self.device, self.size, self.ptr = machine.device, size, 0
        if not size:
            return
        rounded = -(-size // ALIGNMENT) * ALIGNMENT
        with machine.lock:
            used = machine.used[self.device] + rounded
            if used > machine.memory:
                raise OutOfMemoryError(rounded, used - rounded, machine.memory)
            machine.used[self.device] = used
            machine.peak[self.device] = max(machine.peak[self.device], used)
        pointer = ctypes.c_void_p()
        if _libc.posix_memalign(ctypes.byref(pointer), ctypes.c_size_t(ALIGNMENT), ctypes.c_size_t(size)):
            raise MemoryError
        assert pointer.value
        self.ptr = pointer.value
        ctypes.memset(self.ptr, POISON, size)
        weakref.finalize(self, _release, machine, self.device, self.ptr, rounded)

    def buffer(self) -> Any:
        """The bytes; whoever holds it must hold this object too."""
        return (ctypes.c_char * self.size).from_address(self.ptr) if self.size else bytearray()


def _release(machine: Machine, device: int, pointer: int, rounded: int) -> None:
    _libc.free(pointer)
    with machine.lock:
        machine.used[device] -= rounded
