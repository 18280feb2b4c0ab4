"""The commands and their options. What they do is in `gpuclust.jobs`, which is imported when a command runs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gpuclust.cli.auto import count_or_auto, number_or_auto
from gpuclust.cli.deep import deep
from gpuclust.cli.encode import encode
from gpuclust.cli.evaluate import evaluate
from gpuclust.cli.exits import Commands
from gpuclust.cli.knn import knn
from gpuclust.cli.options import (
    EVENTS,
    EXIT_CODES,
    ChunkRows,
    Color,
    ColorChoice,
    Device,
    Force,
    Json,
    KMeansMetric,
    Labels,
    LabelsFormat,
    MaxMemory,
    Metric,
    Outdir,
    Precision,
    Quiet,
    Resize,
    Rows,
    RowsOrImages,
    Weights,
)
from gpuclust.cli.show import shown
from gpuclust.cli.suggest import suggest

__all__ = ["app"]

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would cost half of the time that --help may take
)


def _show_version(value: bool) -> None:
    if value:
        import gpuclust

        typer.echo(f"gpuclust {gpuclust.__version__}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def gpuclust(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Cluster large numeric datasets, with one answer everywhere."""


@app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")
def kmeans(
    input: Rows,
    n_clusters: Annotated[
        Any,
        typer.Option(
            "-k",
            "--n-clusters",
            parser=count_or_auto,
            metavar="INTEGER|auto",
            help="Number of clusters, at least 1; auto chooses it as `gpuclust suggest` does.",
        ),
    ],
    output: Outdir,
    init: Annotated[
        str | None,
        typer.Option(help="k-means++, k-means||, random, or an .npy file of initial centres. [default: k-means++]"),
    ] = None,
    n_init: Annotated[
        int | None,
        typer.Option(help="Runs from different seeds, the best is kept. [default: 1; several with --init random]"),
    ] = None,
    max_iter: Annotated[int | None, typer.Option(help="Most iterations. [default: 300; 100 with --minibatch]")] = None,
    tol: Annotated[float | None, typer.Option(help="Relative tolerance. [default: 1e-4; 0 with --minibatch]")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    metric: Annotated[
        KMeansMetric, typer.Option(help="Distance; cosine is spherical k-means.")
    ] = KMeansMetric.euclidean,
    precision: Annotated[
        Precision, typer.Option(help="fast skips the certificate that labels are exact.")
    ] = Precision.exact,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    weights: Weights = None,
    labels_format: Labels = LabelsFormat.npy,
    minibatch: Annotated[
        bool, typer.Option("--minibatch", help="Mini-batch k-means: approximate, few passes.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Rows per batch; with --minibatch only.")] = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cluster the rows of a file into K clusters.

    OUTDIR gets labels.npy (or .parquet), centers.npy, model.safetensors (for `gpuclust predict`) and manifest.json
    (what was run, on what, with which versions, how long, checksums). It appears when all is written, or not at all.
    """
    from gpuclust.jobs.fit import run_fit
    from gpuclust.jobs.kmeans import KMeansJob

    with shown(as_json=as_json, quiet=quiet) as report:
        job = KMeansJob(
            input=input,
            output=output,
            n_clusters=n_clusters,
            init=init,
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
            seed=seed,
            metric=metric.value,
            precision=precision.value,
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            weights=weights,
            labels_format=labels_format.value,
            minibatch=minibatch,
            batch_size=batch_size,
            force=force,
        )
        run_fit(job, report)


@app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")
def dbscan(
    input: Rows,
    eps: Annotated[
        Any,
        typer.Option(
            parser=number_or_auto,
            metavar="FLOAT|auto",
            help="Largest distance of neighbours, above 0; haversine: in radians; auto chooses it as `gpuclust "
            "suggest` does.",
        ),
    ],
    output: Outdir,
    min_samples: Annotated[
        int, typer.Option(help="Neighbours that make a row a core row, itself included, at least 1.")
    ] = 5,
    metric: Annotated[
        Metric,
        typer.Option(
            help="Distance. haversine: rows are latitude and longitude in radians; precomputed: the file holds the "
            "distances of all rows, n x n."
        ),
    ] = Metric.euclidean,
    weights: Weights = None,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    labels_format: Labels = LabelsFormat.npy,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cluster the rows of a file by density.

    Clusters are what is dense, of any number and shape; the rest is noise.

    OUTDIR gets labels.npy (or .parquet; -1 is noise), core_sample_indices.npy, model.safetensors (for `gpuclust
    predict`; not with precomputed distances) and manifest.json (what was run, on what, with which versions, how long,
    checksums). It appears when all is written, or not at all.
    """
    from gpuclust.jobs.dbscan import DBSCANJob
    from gpuclust.jobs.fit import run_fit

    with shown(as_json=as_json, quiet=quiet) as report:
        job = DBSCANJob(
            input=input,
            output=output,
            eps=eps,
            min_samples=min_samples,
            metric=metric.value,
            weights=weights,
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            labels_format=labels_format.value,
            force=force,
        )
        run_fit(job, report)


@app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")
def predict(
    model: Annotated[str, typer.Argument(help="A model file, or the folder that kmeans, dbscan or deep created.")],
    input: RowsOrImages,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Labels: .npy or .parquet.")],
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    resize: Resize = None,
    color: ColorChoice = Color.auto,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Label the rows of a file with a saved model."""
    from gpuclust.jobs.predict import run_predict

    with shown(as_json=as_json, quiet=quiet) as report:
        run_predict(
            model,
            input,
            output,
            device=device,
            max_memory=max_memory,
            chunk_rows=chunk_rows,
            resize=resize,
            color=color.wanted,
            force=force,
            report=report,
        )


app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")(deep)
app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")(encode)
app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")(knn)
app.command(epilog=f"{EVENTS}\n\n{EXIT_CODES}")(evaluate)
app.command(epilog=EXIT_CODES)(suggest)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show versions, devices, threads, and which engine would run and why."""
    from gpuclust.jobs.environment import environment

    found = environment()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    engine, threads, cuda = found["engine"], found["threads"], found["cuda"] or {"not looked at": "for this device"}
    lines = {
        "engine": f"{engine['name'] or 'none'}: {engine['why']}",
        "devices": "; ".join(found["devices"]),
        "cuda": ", ".join(f"{name} {value}" for name, value in cuda.items() if value),
        "threads": f"{threads['used']} ({threads['usable']} of {threads['cores']} cores usable)",
        "processor": f"{found['cpu']['model']} ({' '.join(found['cpu']['features'])})",
        "system": f"{found['platform']['system']}, Python {found['platform']['python']}",
    } | {name: version or "not installed" for name, version in found["versions"].items()}
    for name, value in lines.items():
        typer.echo(f"{name:<16}{value}")


@app.command()
def demo(
    output: Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="Folder for data and results.")] = (
        "gpuclust-demo"
    ),
) -> None:
    """Cluster two photographs, next to scikit-learn, and redraw them from their centres.

    The data are the photographs that scikit-learn ships; nothing is downloaded.
    """
    from gpuclust.jobs.demo import run_demo

    run_demo(output)
