"""What belongs to rows, sums and centres that several GPUs hold together.

Rows are cut into stripes; stripe i lies on device i mod n. Per-row arrays have a piece per stripe. What belongs to all
rows, centres and their movement, is made on the first device and copied to the others when they ask for it.
"""

from __future__ import annotations

from typing import Any

from gpuclust.engines.base import Assignment, Movement, Outcome, Sums, Update
from gpuclust.engines.canonical import Frame
from gpuclust.engines.cuda.engine import CudaEngine

__all__ = [
    "STRIPE",
    "Shared",
    "SplitAssignment",
    "SplitCenters",
    "SplitRows",
    "SplitSums",
    "SplitUpdate",
    "here",
    "moved",
]

# A multiple of every number of rows that an algorithm looks at by itself (a block of draws, a piece of k-means||).
STRIPE = 1 << 20


class SplitRows:
    """A per-row array in stripes. A slice lies within one stripe and is that device's array."""

    def __init__(self, engines: list[CudaEngine], stripes: list[Any], n_rows: int) -> None:
        self._engines, self.stripes, self._n_rows = engines, stripes, n_rows

    def __len__(self) -> int:
        return self._n_rows

    def __getitem__(self, rows: slice) -> Any:
        stripe, local = located(rows)
        return self.stripes[stripe][local]

    def __setitem__(self, rows: slice, values: Any) -> None:
        stripe, local = located(rows)
        with self._engines[stripe % len(self._engines)].device.active():
            self.stripes[stripe][local] = values

    def fill(self, value: float) -> None:
        for i, stripe in enumerate(self.stripes):
            with self._engines[i % len(self._engines)].device.active():
                stripe.fill(value)


class Shared:
    """An array that all devices may need: made in one place, copied to a device when it is first wanted there."""

    def __init__(self, values: Any, home: int | None = None) -> None:
        self._copies: dict[int | None, Any] = {home: values}
        self.shape = values.shape

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> Shared:
        home, values = next(iter(self._copies.items()))
        return Shared(values[rows], home)

    def on(self, engine: CudaEngine) -> Any:
        """The array on the engine's device."""
        number = engine.device.number
        if number not in self._copies:
            self._copies[number] = engine.array(next(iter(self._copies.values())))
        return self._copies[number]


class SplitAssignment(Assignment):
    """State of a fit in stripes; all stripes of a device share its flag and its screening."""

    def __init__(self, engines: list[CudaEngine], stripes: list[Assignment], n_rows: int) -> None:
        self.parts = stripes
        names = ("labels", "previous", "upper", "lower")
        super().__init__(*(SplitRows(engines, [getattr(part, name) for part in stripes], n_rows) for name in names))

    def __getitem__(self, rows: slice) -> Assignment:
        stripe, local = located(rows)
        return self.parts[stripe][local]


def located(rows: slice) -> tuple[int, slice]:
    """The stripe of some rows, and their place in it."""
    stripe = rows.start // STRIPE
    assert rows.stop <= (stripe + 1) * STRIPE, "rows of one stripe"
    return stripe, slice(rows.start - stripe * STRIPE, rows.stop - stripe * STRIPE)


class SplitSums(Sums):
    """Sums of each device's rows; ``on`` device number."""

    def __init__(self, on: dict[int, Sums]) -> None:
        self.on = on
        any_part = next(iter(on.values()))
        super().__init__(any_part.high, any_part.low, any_part.weight_high, any_part.weight_low, any_part.n_moved)


class SplitCenters:
    """Centres prepared by the devices that ask for them."""

    def __init__(self, centers: Shared, frame: Frame, movement: Movement | None) -> None:
        self._centers, self._frame, self._movement = centers, frame, movement
        self._prepared: dict[int, Any] = {}

    def on(self, engine: CudaEngine) -> Any:
        """The centres as the engine's `assign` reads them."""
        number = engine.device.number
        if number not in self._prepared:
            movement = moved(self._movement, engine)
            self._prepared[number] = engine.prepare_centers(self._centers.on(engine), self._frame, movement)
        return self._prepared[number]


class SplitUpdate:
    """The first device's update, for all."""

    def __init__(self, update: Update, number: int, state: SplitAssignment) -> None:
        self._update, self._state = update, state
        self.centers = Shared(update.centers, number)
        self.movement = Movement(*(Shared(array, number) for array in update.movement))

    def outcome(self) -> Outcome:
        """What the update found. What the first device's screens go on in, the others' do too."""
        found = self._update.outcome()
        for part in self._state.parts:
            part.screening.precision = self._state.parts[0].screening.precision  # type: ignore[attr-defined]
        return found


def here(array: Any | None, engine: CudaEngine) -> Any | None:
    """The array on the engine's device; one that is no `Shared` lies there."""
    return array.on(engine) if isinstance(array, Shared) else array


def moved(movement: Movement | None, engine: CudaEngine) -> Movement | None:
    return None if movement is None else Movement(*(here(array, engine) for array in movement))
