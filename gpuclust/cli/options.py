"""Options that commands share, the choices that options take, and what every command's help ends with."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = [
    "EVENTS",
    "EXIT_CODES",
    "ChunkRows",
    "Device",
    "Force",
    "Json",
    "KMeansMetric",
    "Labels",
    "LabelsFormat",
    "MaxMemory",
    "Metric",
    "Outdir",
    "Precision",
    "Quiet",
    "Rows",
    "Weights",
]

EXIT_CODES = """Exit codes: 0 ok, 2 usage, 3 bad data, 4 resources (memory, device, output), 5 corrupt or untrusted
model, 130 interrupted. Errors are one line on stderr; GPUCLUST_TRACEBACK=1 adds the traceback."""
EVENTS = """On a terminal a progress bar is shown. When stdout is not a terminal, or with --json, stdout gets one JSON
object per line, each with a field "event": start, iteration, stage, warning, done or error."""


class LabelsFormat(StrEnum):
    """Formats of the labels file."""

    npy = "npy"
    parquet = "parquet"


class KMeansMetric(StrEnum):
    """Distances of k-means."""

    euclidean = "euclidean"
    cosine = "cosine"


class Metric(StrEnum):
    """Distances of DBSCAN."""

    euclidean = "euclidean"
    manhattan = "manhattan"
    chebyshev = "chebyshev"
    cosine = "cosine"
    haversine = "haversine"
    precomputed = "precomputed"


class Precision(StrEnum):
    """Whether labels are certified."""

    exact = "exact"
    fast = "fast"


Rows = Annotated[str, typer.Argument(help="Rows: an .npy, .fbin, .fvecs or .parquet file.")]
Outdir = Annotated[str, typer.Option("-o", "--output", metavar="OUTDIR", help="Folder to create.")]
Weights = Annotated[str | None, typer.Option(metavar="FILE", help="An .npy file with one weight >= 0 per row.")]
Labels = Annotated[LabelsFormat, typer.Option("--labels-format", help="Format of the labels.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or cuda:N,M.")]
MaxMemory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory for rows in flight and workspace, e.g. 512MB or 2GiB.")
]
ChunkRows = Annotated[int | None, typer.Option(min=1, help="Rows to read at a time; results do not depend on it.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but warnings and errors, on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on stdout, on a terminal too.")]
