"""What training reports: one `Epoch` after another, and the `History` of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["Epoch", "History"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the rows.

    Attributes
    ----------
    number : int
        From 0.
    epochs : int
        How many there are to be.
    terms : dict
        Mean over the rows of each term of the loss, while it was minimised.
    validation : float or None
        Loss of the rows held out, after the epoch.
    learning_rate : float
    seconds : float
    rows_per_second : float
    stage : str
        Of several trainings in a row, which; empty for one alone.
    """

    number: int
    epochs: int
    terms: dict[str, float]
    validation: float | None
    learning_rate: float
    seconds: float
    rows_per_second: float
    stage: str = ""

    @property
    def loss(self) -> float:
        """Sum of the terms."""
        return sum(self.terms.values())

    @property
    def remaining(self) -> float:
        """Seconds to the end, if all epochs take as long as this one."""
        return (self.epochs - self.number - 1) * self.seconds

    def __str__(self) -> str:
        terms = ", ".join(f"{name} {value:.6g}" for name, value in self.terms.items())
        held_out = "" if self.validation is None else f", held out {self.validation:.6g}"
        stage = f"{self.stage}, " if self.stage else ""
        return (
            f"{stage}epoch {self.number + 1}/{self.epochs}: {terms}{held_out}; {self.rows_per_second:,.0f} rows/s, "
            f"{self.remaining:.0f} s to go"
        )


@dataclass
class History:
    """All epochs so far."""

    epochs: list[Epoch] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    @property
    def losses(self) -> list[float]:
        """Loss of each epoch."""
        return [epoch.loss for epoch in self.epochs]

    @property
    def best(self) -> int:
        """Number of the epoch with the least loss of the held-out rows; without them, the last. The first of equals."""
        held_out = [epoch.validation for epoch in self.epochs]
        if not held_out or held_out[0] is None:
            return len(held_out) - 1
        return min(range(len(held_out)), key=lambda number: held_out[number] or 0.0)

    def as_dict(self) -> dict[str, Any]:
        """The epochs as JSON knows them."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The history of which ``as_dict`` was written."""
        return cls([Epoch(**epoch) for epoch in fields["epochs"]])
