"""How far a choice has come, and whether it may go on: the caller's callback and time limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from time import monotonic
from typing import Any

from gpuclust.errors import ParameterError

__all__ = ["Callback", "Progress"]

#: callback(stage, done, total). An exception that it raises ends the choice.
Callback = Callable[[str, int, int], None]


class Progress:
    """Tells ``callback`` what is done; ``over()`` once ``max_time`` seconds have passed.

    Raises
    ------
    ParameterError
        ``max_time`` is not a number above 0.
    """

    def __init__(self, callback: Callback | None = None, max_time: Any = None) -> None:
        number = isinstance(max_time, Real) and not isinstance(max_time, bool)
        if max_time is not None and not (number and max_time > 0):  # which NaN is not either
            raise ParameterError(f"max_time={max_time!r} should be None or a number of seconds above 0.")
        self.max_time = math.inf if max_time is None else float(max_time)
        self._callback, self._began = callback, monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._callback is not None:
            self._callback(stage, done, total)

    def over(self, share: float = 1.0) -> bool:
        """Whether this share of the time has passed."""
        return monotonic() - self._began > share * self.max_time
