"""How a model is trained: numbers of epochs and rows, rates and their schedules, early stopping, precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gpuclust.errors import ParameterError

__all__ = ["SCHEDULES", "Training"]

#: A plateau: so many epochs without a lower loss, after which the rate is halved.
_PLATEAU = 5


def _constant(epoch: int, epochs: int, losses: list[float]) -> float:
    return 1.0


def _cosine(epoch: int, epochs: int, losses: list[float]) -> float:
    """Half a period of a cosine, from 1 towards 0 (I. Loshchilov, F. Hutter, "SGDR", ICLR 2017)."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def _plateau(epoch: int, epochs: int, losses: list[float]) -> float:
    """Halved whenever the loss was not lowered for five epochs."""
    factor, best, waited = 1.0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == _PLATEAU:
            factor, waited = factor / 2, 0
    return factor


#: Share of the learning rate in an epoch, given its number, the number of all, and the losses of those before it.
SCHEDULES: dict[str, Callable[[int, int, list[float]], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "plateau": _plateau,
}


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Parameters
    ----------
    epochs : int, default=100
        Passes over the rows.
    batch_size : int, default=256
        Most rows of a step.
    learning_rate : float, default=1e-3
        Of Adam (D. Kingma, J. Ba, ICLR 2015), in the first epoch.
    schedule : {"constant", "cosine", "plateau"}, default="constant"
        Of the learning rate, epoch by epoch.
    weight_decay : float, default=0.0
        Decoupled from the gradient, as in AdamW.
    clip : float, optional
        Largest norm of the gradient of all weights; longer ones are scaled down.
    validation : float in [0, 1), default=0.0
        Share of the rows that is held out; its loss is reported.
    patience : int, optional
        Stop after so many epochs without a lower loss of the held-out rows, and go back to the best ones.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of matrix products: "auto" is bfloat16 on a GPU that has it, with float32 weights; float32 elsewhere.
    compile : bool, default=False
        Compile the networks with ``torch.compile``: a start of tens of seconds, for long training on a GPU.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    clip: float | None = None
    validation: float = 0.0
    patience: int | None = None
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not getattr(self, name) >= 1:
                raise ParameterError(f"{name}={getattr(self, name)!r} should be an int >= 1.")
        if not 0 < self.learning_rate < math.inf:
            raise ParameterError(f"learning_rate={self.learning_rate!r} should be a finite number > 0.")
        if self.schedule not in SCHEDULES:
            raise ParameterError(f"schedule={self.schedule!r} should be one of {sorted(SCHEDULES)}.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(f"precision={self.precision!r} should be 'auto', 'float32' or 'bfloat16'.")
        if not 0 <= self.validation < 1:
            raise ParameterError(f"validation={self.validation!r} should be in [0, 1).")
        if self.patience is not None and not (self.validation > 0 and self.patience >= 1):
            raise ParameterError(
                f"patience={self.patience!r} should be an int >= 1 and needs rows that are held out, but "
                f"validation={self.validation!r}."
            )
