"""``gpuclust knn``: its options. What it does is in `gpuclust.jobs.knn`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from gpuclust.cli.options import ChunkRows, Device, Force, Json, MaxMemory, Outdir, Quiet, Rows
from gpuclust.cli.show import shown

__all__ = ["knn"]


class Distance(StrEnum):
    """Distances of neighbours."""

    euclidean = "euclidean"
    cosine = "cosine"
    manhattan = "manhattan"
    chebyshev = "chebyshev"


class Index(StrEnum):
    """How neighbours are sought."""

    flat = "flat"
    ivf_flat = "ivf_flat"
    ivf_pq = "ivf_pq"
    hnsw = "hnsw"


def knn(
    input: Rows,
    k: Annotated[int, typer.Option("-k", "--n-neighbors", help="Neighbours of a row, at least 1.")],
    output: Outdir,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Rows whose neighbours are sought in INPUT. [default: those of INPUT, none its own neighbour]",
        ),
    ] = None,
    metric: Annotated[
        Distance, typer.Option(help="Distance; cosine is one minus the cosine of the angle.")
    ] = Distance.euclidean,
    index: Annotated[
        Index, typer.Option(help="flat is exact; the others look at a part of the rows, and recall is measured.")
    ] = Index.flat,
    index_param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=INT", help="Parameter of the index, e.g. nprobe=32; may be repeated."),
    ] = None,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the K nearest rows of each row of a file.

    Exact neighbours are those of a brute force in float64, equally near ones in order of their number.

    OUTDIR gets indices.npy (int64) and distances.npy (float64), a row of K for each query, nearest first, and
    manifest.json (what was run, on what, with which versions, how long, recall, checksums). It appears when all is
    written, or not at all.
    """
    from gpuclust.jobs.knn import KNNJob, run_knn

    with shown(as_json=as_json, quiet=quiet) as report:
        job = KNNJob(
            input=input,
            output=output,
            n_neighbors=k,
            queries=queries,
            metric=metric.value,
            index=index.value,
            index_params=_parameters(index_param or []),
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            force=force,
        )
        run_knn(job, report)


def _parameters(given: list[str]) -> dict[str, int] | None:
    """``["nlist=64"]`` as a dict; None if nothing is given."""
    from gpuclust.errors import ParameterError

    found = {}
    for text in given:
        name, _, value = text.partition("=")
        if not value.isdecimal():
            raise ParameterError(f"--index-param {text!r} should be NAME=INT, such as nprobe=32.")
        found[name] = int(value)
    return found or None
