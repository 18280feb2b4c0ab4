"""``gpuclust encode``: its options. What it does is in `gpuclust.jobs.encode`."""

from __future__ import annotations

from typing import Annotated

import typer

from gpuclust.cli.options import (
    ChunkRows,
    Color,
    ColorChoice,
    Device,
    Force,
    Json,
    MaxMemory,
    Quiet,
    Resize,
    RowsOrImages,
)
from gpuclust.cli.show import shown

__all__ = ["encode"]


def encode(
    model: Annotated[str, typer.Argument(help="A saved network, or the folder that deep created.")],
    input: RowsOrImages,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Codes: .npy or .parquet.")],
    decode: Annotated[bool, typer.Option("--decode", help="INPUT holds codes; FILE gets what rows they stand for.")] = (
        False
    ),
    reconstruction_error: Annotated[
        bool, typer.Option("--reconstruction-error", help="One number a row, what is lost of it, in place of codes.")
    ] = False,
    resize: Resize = None,
    color: ColorChoice = Color.auto,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Encode the rows of a file, or the images of a folder, with a saved network.

    FILE gets the codes, float32, a row for each of INPUT (images in the order of their paths).
    """
    from gpuclust.errors import ParameterError
    from gpuclust.jobs.encode import EncodeJob, run_encode

    if decode and reconstruction_error:
        raise ParameterError("--decode and --reconstruction-error ask for different things: choose one.")
    with shown(as_json=as_json, quiet=quiet) as report:
        job = EncodeJob(
            model=model,
            input=input,
            output=output,
            what="rows" if decode else "errors" if reconstruction_error else "codes",
            resize=resize,
            color=color.wanted,
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            force=force,
        )
        run_encode(job, report)
