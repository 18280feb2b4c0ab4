"""Showing a job's events: a progress bar on a terminal, JSON lines otherwise, warnings on stderr when quiet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpuclust._cancel import checkpoint
from gpuclust.cli.exits import exit_code, one_line
from gpuclust.jobs.events import Report

__all__ = ["shown"]

_STAGES = {
    "count": "counting neighbours",
    "link": "joining core rows",
    "claim": "claiming border rows",
    "search": "searching neighbours",
    "scan": "comparing what is too close to call",
    "fits": "k-means for every k",
    "stability": "halving the rows",
    "gap": "comparing with rows without clusters",
}


@contextmanager
def shown(*, as_json: bool, quiet: bool) -> Iterator[Report]:
    """Yield the receiver of a job's events that fits the options and stdout.

    JSON lines go to stdout, one object per event, ``event`` first; an exception is reported as event ``error`` before
    it goes on to become the exit code and the line on stderr.
    """
    with _quiet() if quiet else _json_lines() if as_json or not sys.stdout.isatty() else _bar() as show:

        def report(event: str, **fields: Any) -> None:
            checkpoint()
            show(event, **fields)

        yield report


@contextmanager
def _quiet() -> Iterator[Report]:
    def report(event: str, **fields: Any) -> None:
        if event == "warning":
            print(f"gpuclust: warning: {fields['message']}", file=sys.stderr)

    yield report


@contextmanager
def _json_lines() -> Iterator[Report]:
    def report(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}, ensure_ascii=False, allow_nan=False), flush=True)

    try:
        yield report
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        code = exit_code(error)
        if code is not None:
            report("error", error=type(error).__name__, message=one_line(error), exit_code=code)
        raise


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def report(event: str, **fields: Any) -> None:
            match event:
                case "start":
                    console.print(f"{fields['command']}: {fields['input']}", highlight=False, markup=False)
                    if "max_iter" in fields:
                        progress.update(task, description=f"seeding k={fields['n_clusters']}", total=fields["max_iter"])
                case "iteration":
                    progress.update(
                        task,
                        completed=fields["iteration"],
                        description=f"run {fields['run']}, iteration {fields['iteration']}: "
                        f"{fields['n_changed']:,} rows changed, shift {_number(fields['center_shift'])}",
                    )
                case "batch":
                    progress.update(
                        task,
                        total=None,
                        description=f"batch {fields['step']:,}: inertia {_number(fields['batch_inertia'])}, "
                        f"shift {_number(fields['center_shift'])}",
                    )
                case "stage":
                    progress.update(
                        task, completed=fields["done"], total=fields["total"], description=_STAGES[fields["stage"]]
                    )
                case "epoch":
                    progress.update(
                        task,
                        completed=fields["epoch"],
                        total=fields["epochs"],
                        description=f"{fields['stage']}, epoch {fields['epoch']}/{fields['epochs']}: loss "
                        f"{_number(fields['loss'])}, {_number(fields['rows_per_second'])} rows/s, "
                        f"{fields['remaining']:.0f} s to go",
                    )
                case "warning":
                    console.print(f"warning: {fields['message']}", style="yellow", highlight=False, markup=False)
                case "done":
                    console.print(_summary(fields), highlight=False, markup=False)

        yield report


def _summary(fields: dict[str, Any]) -> str:
    found = []
    if "n_iter" in fields:
        found += [f"{fields['n_iter']} iterations", f"inertia {_number(fields['inertia'])}"]
    if "n_core" in fields:
        found += [
            f"{fields['n_clusters']:,} clusters",
            f"{fields['n_core']:,} core rows",
            f"{fields['n_noise']:,} noise",
        ]
    if "recall" in fields:
        found += [f"neighbours of {fields['n_queries']:,} rows", f"recall {fields['recall']:.4g}"]
    if "losses" in fields:
        found += [f"{stage} loss {_number(loss)}" for stage, loss in fields["losses"].items()]
        found.append(f"{fields['n_clusters']:,} clusters")
    if "cluster_sizes" in fields:
        sizes = fields["cluster_sizes"]
        found.append(f"cluster sizes {sizes['min']:,} to {sizes['max']:,} (median {sizes['median']:,.0f})")
    text = f"done in {fields['seconds']:.2f} s{': ' if found else ''}{', '.join(found)}"
    if "selection" in fields:
        text += f"\nchosen: {fields['selection']['reason']}"
    return f"{text}\nresult: {fields['output']}" if fields["output"] else text


def _number(value: float | None) -> str:
    return "beyond float64" if value is None else f"{value:.6g}"
