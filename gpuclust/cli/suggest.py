"""``gpuclust suggest``: its options. What it does is in `gpuclust.jobs.suggest`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from gpuclust.cli.options import ChunkRows, Device, Force, MaxMemory, Rows
from gpuclust.cli.show import shown

__all__ = ["suggest"]


class Distance(StrEnum):
    """Distances for which something can be suggested."""

    euclidean = "euclidean"
    cosine = "cosine"
    haversine = "haversine"


def suggest(
    input: Rows,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUTDIR", help="Folder to create. [default: none]")
    ] = None,
    k: Annotated[
        str | None,
        typer.Option(
            "--k", metavar="LOW:HIGH", help="Numbers of clusters to try. [default: 2 to sqrt(rows), at most 64]"
        ),
    ] = None,
    min_samples: Annotated[
        int | None,
        typer.Option(help="Neighbours that will make a core row. [default: twice the features, within 5 and 64]"),
    ] = None,
    metric: Annotated[
        Distance, typer.Option(help="Distance. With haversine, which k-means does not have, eps only.")
    ] = Distance.euclidean,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    max_time: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop choosing k after this time; the result says what is missing."),
    ] = None,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    force: Force = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show nothing but warnings and errors, on stderr.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout in place of the tables.")] = False,
) -> None:
    """Suggest a number of clusters for kmeans, and eps and min_samples for dbscan.

    A table of what was tried and the reason for the choice go to stdout. OUTDIR, if one is given, gets suggestion.json
    (all figures), k.png and eps.png (with the extra viz) and manifest.json (what was run, on what, with which versions,
    how long, checksums). It appears when all is written, or not at all.
    """
    from gpuclust.jobs.suggest import SuggestJob, run_suggest

    job = SuggestJob(
        input=input,
        output=output,
        k=_range(k),
        min_samples=min_samples,
        metric=metric.value,
        seed=seed,
        max_time=max_time,
        device=device,
        max_memory=max_memory,
        chunk_rows=chunk_rows,
        force=force,
    )
    # What is found is the output: progress is shown on a terminal only.
    with shown(as_json=False, quiet=quiet or as_json or not sys.stdout.isatty()) as report:
        found = run_suggest(job, report)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), allow_nan=False))
    elif not quiet:
        typer.echo(found.to_text())


def _range(text: str | None) -> tuple[int, int] | None:
    """``"2:20"`` as (2, 20), ``"7"`` as (7, 7)."""
    from gpuclust.errors import ParameterError

    if text is None:
        return None
    low, _, high = text.partition(":")
    if not (low.isdecimal() and (high or low).isdecimal()):
        raise ParameterError(f"--k {text!r} should be LOW:HIGH, such as 2:20.")
    return int(low), int(high or low)
