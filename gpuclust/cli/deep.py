"""``gpuclust deep``: its options. What it does is in `gpuclust.jobs.deep`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from gpuclust.cli.auto import count_or_auto
from gpuclust.cli.options import (
    ChunkRows,
    Color,
    ColorChoice,
    Device,
    Force,
    Json,
    Labels,
    LabelsFormat,
    MaxMemory,
    Outdir,
    Quiet,
    Resize,
    RowsOrImages,
    sides,
)
from gpuclust.cli.show import shown

__all__ = ["deep"]


class Method(StrEnum):
    """How codes are clustered."""

    ae = "ae"
    manifold = "manifold"
    dec = "dec"
    idec = "idec"
    dcn = "dcn"
    vade = "vade"


class Scaling(StrEnum):
    """How rows are scaled."""

    auto = "auto"
    minmax = "minmax"
    standard = "standard"


def deep(
    input: RowsOrImages,
    n_clusters: Annotated[
        Any,
        typer.Option(
            "-k",
            "--n-clusters",
            parser=count_or_auto,
            metavar="INTEGER|auto",
            help="Number of clusters, at least 1; auto: as the codes suggest.",
        ),
    ],
    output: Outdir,
    method: Annotated[
        Method,
        typer.Option(
            help="ae: clusters of the codes; manifold: of the codes laid out by UMAP; dec, idec, dcn, vade: network "
            "and clusters trained further together."
        ),
    ] = Method.manifold,
    latent: Annotated[int | None, typer.Option(help="Length of a code. [default: the method's]")] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="small, large, conv, conv1d, gru, widths such as 500,500,2000, or both, such as conv:16,32. "
            "[default: the method's]",
        ),
    ] = None,
    shape: Annotated[
        Any,
        typer.Option(parser=sides, metavar="HxW[xC]", help="Shape of a row, for conv and pictures; of images, known."),
    ] = None,
    neighbors: Annotated[
        int | None,
        typer.Option(help="Keep so many nearest neighbours together in the codes; 0: none. [default: the method's]"),
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="Share of values hidden from the network in training. [default: the method's]")
    ] = None,
    scaling: Annotated[
        Scaling | None,
        typer.Option(help="minmax: all values to [0, 1]; standard: each column to variance 1. [default: the method's]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the autoencoder. [default: the method's]")] = None,
    refine_epochs: Annotated[
        int | None, typer.Option(help="Of the further training of dec, idec, dcn, vade. [default: the method's]")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Rows of a step of training. [default: 256]")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Learning rate of the autoencoder. [default: the method's]")
    ] = None,
    restarts: Annotated[int, typer.Option(help="Fits from different seeds, the best is kept.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Keep the training in files FILE.*: the same command goes on after it was interrupted, to the same "
            "result.",
        ),
    ] = None,
    resize: Resize = None,
    color: ColorChoice = Color.auto,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    labels_format: Labels = LabelsFormat.npy,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Draw nothing.")] = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cluster rows or images by the codes that a neural network learns of them.

    OUTDIR gets labels.npy (or .parquet), codes.npy, soft.npy (how far a row belongs to each cluster), centers.npy,
    decoded_centers.npy, model.safetensors (for `gpuclust predict` and `gpuclust encode`), manifest.json (what was run,
    on what, with which versions, losses, how long, checksums); of a folder of images files.txt, their names in the
    order of the labels; and pictures (with the extra viz). It appears when all is written, or not at all.
    """
    from gpuclust.jobs.deep import DeepJob, run_deep

    with shown(as_json=as_json, quiet=quiet) as report:
        job = DeepJob(
            input=input,
            output=output,
            n_clusters=n_clusters,
            method=method.value,
            latent=latent,
            architecture=architecture,
            shape=shape,
            neighbors=neighbors,
            noise=noise,
            scaling=None if scaling is None else scaling.value,
            epochs=epochs,
            refine_epochs=refine_epochs,
            batch=batch,
            rate=rate,
            restarts=restarts,
            seed=seed,
            checkpoint=checkpoint,
            resize=resize,
            color=color.wanted,
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            labels_format=labels_format.value,
            pictures=not no_pictures,
            force=force,
        )
        run_deep(job, report)
