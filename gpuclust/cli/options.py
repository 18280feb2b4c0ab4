"""Options that commands share, the choices that options take, and what every command's help ends with."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

__all__ = [
    "EVENTS",
    "EXIT_CODES",
    "ChunkRows",
    "Color",
    "ColorChoice",
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
    "Resize",
    "Rows",
    "RowsOrImages",
    "Weights",
    "sides",
]

EXIT_CODES = """Exit codes: 0 ok, 2 usage, 3 bad data, 4 resources (memory, device, output), 5 corrupt or untrusted
model, 130 interrupted. Errors are one line on stderr; GPUCLUST_TRACEBACK=1 adds the traceback."""
EVENTS = """On a terminal a progress bar is shown. When stdout is not a terminal, or with --json, stdout gets one JSON
object per line, each with a field "event": start, iteration, stage, epoch, warning, done or error."""


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


class Color(StrEnum):
    """Channels of images."""

    auto = "auto"
    rgb = "rgb"
    grey = "grey"

    @property
    def wanted(self) -> bool | None:
        """Whether there are to be three channels; None where the images decide."""
        return None if self is Color.auto else self is Color.rgb


def sides(text: str) -> tuple[int, ...]:
    """``"28x28"`` as (28, 28), ``"32x32x3"`` as (32, 32, 3); a usage error for anything else."""
    numbers = str(text).lower().split("x")
    if not all(number.isdecimal() and int(number) for number in numbers):
        raise typer.BadParameter(f"{text!r} should be integers >= 1 with an x between, such as 28x28.")
    return tuple(int(number) for number in numbers)


def _height_and_width(text: str) -> tuple[int, ...]:
    found = sides(text)
    if len(found) != 2:
        raise typer.BadParameter(f"{text!r} should be HEIGHTxWIDTH, such as 28x28.")
    return found


Rows = Annotated[str, typer.Argument(help="Rows: an .npy, .fbin, .fvecs or .parquet file.")]
RowsOrImages = Annotated[
    str,
    typer.Argument(
        help="Rows: an .npy, .fbin, .fvecs or .parquet file; images: a folder, or an .npy of n x h x w (x channels)."
    ),
]
Resize = Annotated[
    Any,
    typer.Option(parser=_height_and_width, metavar="HxW", help="Bring the images of a folder to one size."),
]
ColorChoice = Annotated[
    Color, typer.Option("--color", help="Channels of the images of a folder; auto: grey if all are.")
]
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
