"""How a job tells what it does: one call per event, with a name and JSON-ready fields. The command line shows them.

========= =============================================================================================================
event     fields
========= =============================================================================================================
start     command, version, input, n_rows, n_features, dtype, output; kmeans also: estimator, n_clusters, max_iter
iteration run, iteration (both counted from 1), n_changed (rows that changed cluster), center_shift (squared, in the
          user's units), elapsed (seconds since the fit began)
warning   message
done      output, seconds; kmeans also: n_iter, inertia, cluster_sizes
error     error (the class), message, exit_code
========= =============================================================================================================
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = ["Report", "finite", "reported_warnings", "silent"]


class Report(Protocol):
    """Receives the events of a job."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Take note of one event."""


def silent(event: str, **fields: Any) -> None:
    """Ignore the event."""


@contextmanager
def reported_warnings(report: Report) -> Iterator[list[str]]:
    """Report each warning issued in the block as an event, and collect the messages in the list that is yielded."""
    messages: list[str] = []

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        messages.append(str(message))
        report("warning", message=str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield messages


def finite(value: float) -> float | None:
    """Return ``value``, or None (null) for what JSON has no number for: NaN and the infinities."""
    return float(value) if math.isfinite(value) else None
