"""``gpuclust evaluate``: how good labels are, by themselves and against the truth."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from gpuclust.cli.options import ChunkRows, Device, Force, Json, KMeansMetric, MaxMemory, Quiet, Rows
from gpuclust.cli.show import shown

__all__ = ["evaluate", "table"]


class Noise(StrEnum):
    """What rows with label -1 are."""

    cluster = "cluster"
    ignore = "ignore"


def evaluate(
    input: Rows,
    labels: Annotated[
        str, typer.Argument(help="Labels of the rows, .npy or .parquet, or the folder that kmeans or dbscan created.")
    ],
    truth: Annotated[str | None, typer.Option(metavar="FILE", help="True labels, .npy or .parquet.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Scores, .json.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Scores, separated by commas: inertia, calinski_harabasz, davies_bouldin, silhouette, dbcv; with "
            "--truth also adjusted_rand, normalized_mutual_info, adjusted_mutual_info, homogeneity, completeness, "
            "v_measure, fowlkes_mallows, purity, accuracy. [default: all but dbcv]",
        ),
    ] = None,
    metric: Annotated[
        KMeansMetric, typer.Option(help="Distance; cosine: rows are scaled to unit length first.")
    ] = KMeansMetric.euclidean,
    sample_size: Annotated[
        int | None,
        typer.Option(
            min=0, help="Rows of the silhouette's sample; 0: all. [default: all up to 50,000 rows, else 4096]"
        ),
    ] = None,
    noise: Annotated[
        Noise, typer.Option(help="Whether rows with label -1 are a cluster as any, or left out.")
    ] = Noise.cluster,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score the labels of a file's rows: how well clusters are separated, and how well they match the truth.

    On a terminal, or into a file with --output. Rows are compared with each other in blocks, so that memory does not
    grow with pairs. Truth is compared with labels as they are, noise (-1) being a cluster.
    """
    from gpuclust.jobs.evaluate import EvaluateJob, run_evaluate

    with shown(as_json=as_json, quiet=quiet) as report:
        job = EvaluateJob(
            input=input,
            labels=labels,
            truth=truth,
            output=output,
            metrics=tuple(name.strip() for name in metrics.split(",") if name.strip()) if metrics else (),
            metric=metric.value,
            sample_size=sample_size,
            noise=noise.value,
            seed=seed,
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            force=force,
        )
        found = run_evaluate(job, report)
    if sys.stdout.isatty() and not as_json and not quiet:
        typer.echo(table(found))


def table(found: dict[str, Any]) -> str:
    """The scores of a job as text."""
    how = found["silhouette"] or {}
    said = {"silhouette": f"of {how['sample_size']:,} random rows" if how.get("form") == "sampled" else "exact"}
    noise = f", {found['n_noise']:,} rows of noise" if found["n_noise"] else ""
    lines = [f"{found['n_rows']:,} rows, {found['n_features']:,} features, {found['n_clusters']:,} clusters{noise}"]
    for name, value in found["scores"].items():
        shown_value = "not defined" if value is None else f"{value:.6g}"
        lines.append(f"{name:<24}{shown_value:>14}  {said.get(name, '')}".rstrip())
    return "\n".join(lines)
