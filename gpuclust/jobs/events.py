"""How a job tells what it does: one call per event, with a name and JSON-ready fields. The command line shows them.

========= =============================================================================================================
event     fields
========= =============================================================================================================
start     command, version, input, n_rows, n_features, dtype, output; kmeans also: estimator, n_clusters, max_iter;
          dbscan: estimator, eps, min_samples, metric; knn: queries, n_neighbors, metric, index; suggest:
          metric; deep: estimator, method, n_clusters; encode: estimator, what
iteration run, iteration (both counted from 1), n_changed (rows that changed cluster), center_shift (squared, in the
          user's units), elapsed (seconds since the fit began)
batch     mini-batch k-means, at most ten a second: step (counted from 1), batch_inertia (mean), center_shift, elapsed
stage     DBSCAN, at most ten a second and the first and last of each: stage ("count": neighbours, "link": core rows,
          "claim": border rows), done, total, elapsed; knn: "search", and "scan" of what is too close to call;
          suggest: "fits", "stability", "gap", and those of knn
epoch     deep, at most ten a second and the last of each stage: stage ("pretraining", "refinement"; of restarts also
          which), epoch (counted from 1), epochs, loss, terms (of the loss, by name), validation (loss of rows held out,
          or null), rows_per_second, remaining (seconds to the end of the stage), elapsed
warning   message
done      output, seconds; kmeans also: n_iter, inertia, cluster_sizes; dbscan: n_clusters, n_core, n_noise,
          cluster_sizes; knn: n_queries, recall; suggest: k and eps, each with its reason; kmeans and dbscan with
          "auto": selection; evaluate: n_rows, n_features, n_clusters, n_noise, cluster_sizes, silhouette (exact or of
          a sample), scores (by name, null where one is not defined); deep: n_clusters, cluster_sizes, epochs and
          losses (number and last, by stage), restarts (seed and criterion of each, if there are several), selection
          (with "auto"); encode: shape
error     error (the class), message, exit_code
========= =============================================================================================================
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol

__all__ = [
    "Report",
    "batch_callback",
    "epoch_callback",
    "finite",
    "iteration_callback",
    "reported_warnings",
    "silent",
    "stage_callback",
]


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


def iteration_callback(report: Report) -> Callable[[int, int, float], None]:
    """Return KMeans' callback: one event per iteration; a count that starts again is the next run of ``n_init``."""
    began, last, run, done = perf_counter(), math.inf, 0, 0

    def callback(iteration: int, n_changed: int, center_shift: float) -> None:
        nonlocal last, run, done
        run, done = (run, done + 1) if iteration > last else (run + 1, 1)
        last = iteration
        report(
            "iteration",
            run=run,
            iteration=done,
            n_changed=int(n_changed),
            center_shift=finite(center_shift),
            elapsed=perf_counter() - began,
        )

    return callback


def batch_callback(report: Report) -> Callable[[int, float, float], None]:
    """Return MiniBatchKMeans' callback: batches are many and quick, so that only some become events."""
    began, last, done = perf_counter(), -math.inf, 0

    def callback(step: int, batch_inertia: float, center_shift: float) -> None:
        nonlocal last, done
        done += 1
        elapsed = perf_counter() - began
        if elapsed - last >= 0.1:
            last = elapsed
            report(
                "batch",
                step=done,
                batch_inertia=finite(batch_inertia),
                center_shift=finite(center_shift),
                elapsed=elapsed,
            )

    return callback


def stage_callback(report: Report) -> Callable[[str, int, int], None]:
    """Return DBSCAN's callback: of each stage the first and the last call become events, and some in between."""
    began, last, current = perf_counter(), -math.inf, ""

    def callback(stage: str, done: int, total: int) -> None:
        nonlocal last, current
        elapsed = perf_counter() - began
        if stage != current or done >= total or elapsed - last >= 0.1:
            last, current = elapsed, stage
            report("stage", stage=stage, done=int(done), total=int(total), elapsed=elapsed)

    return callback


def epoch_callback(report: Report) -> Callable[[Any], None]:
    """Return the callback of networks: of each stage the last epoch becomes an event, and some before it."""
    began, last = perf_counter(), -math.inf

    def callback(epoch: Any) -> None:
        nonlocal last
        elapsed = perf_counter() - began
        if epoch.number + 1 == epoch.epochs or elapsed - last >= 0.1:
            last = elapsed
            report(
                "epoch",
                stage=epoch.stage,
                epoch=epoch.number + 1,
                epochs=epoch.epochs,
                loss=finite(epoch.loss),
                terms={name: finite(value) for name, value in epoch.terms.items()},
                validation=None if epoch.validation is None else finite(epoch.validation),
                rows_per_second=finite(epoch.rows_per_second),
                remaining=finite(epoch.remaining),
                elapsed=elapsed,
            )

    return callback
