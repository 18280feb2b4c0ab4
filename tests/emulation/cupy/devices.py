"""`cupy.cuda.Device`."""

from .machine import Machine

__all__ = ["Device"]


class Device:
    """One device of the machine; as a context, the current one."""

    def __init__(self, machine: Machine, device: int | None = None) -> None:
        self.machine = machine
        self.id = machine.device if device is None else int(device)
        machine.check_device(self.id)
        self._entered: list[int] = []

    def use(self) -> None:
        self.machine.device = self.id

    def __enter__(self) -> "Device":
        self._entered.append(self.machine.device)
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.device = self._entered.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __int__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    @property
    def compute_capability(self) -> str:
        return "{}{}".format(*self.machine.capability)

    @property
    def mem_info(self) -> tuple[int, int]:
        return self.machine.memory - self.machine.used[self.id], self.machine.memory

    def synchronize(self) -> None:
        for stream in list(self.machine.streams):
            if stream.device_id == self.id:
                stream.drain()
