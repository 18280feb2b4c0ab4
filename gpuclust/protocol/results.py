"""Results in the caller's kind of array."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["in_kind_of"]


def in_kind_of(X: Any, array: np.ndarray) -> Any:
    """Return `array` as the caller's `X` is: a torch tensor or CuPy array, on its device, or else a NumPy array.

    A library whose arrays callers pass is loaded already.
    """
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(X, torch.Tensor):
        return torch.from_numpy(array).to(X.device)
    if cupy is not None and isinstance(X, cupy.ndarray):
        with X.device:
            return cupy.asarray(array)
    return array
