"""The commands and their options. What they do is in `gpuclust.jobs`, which is imported when a command runs."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from gpuclust.cli.exits import Commands
from gpuclust.cli.show import shown

__all__ = ["app"]

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would cost half of the time that --help may take
)

_EXIT_CODES = """Exit codes: 0 ok, 2 usage, 3 bad data, 4 resources (memory, device, output), 5 corrupt or untrusted
model, 130 interrupted. Errors are one line on stderr; GPUCLUST_TRACEBACK=1 adds the traceback."""
_EVENTS = """On a terminal a progress bar is shown. When stdout is not a terminal, or with --json, stdout gets one JSON
object per line, each with a field "event": start, iteration, warning, done or error."""


class LabelsFormat(StrEnum):
    """Formats of the labels file."""

    npy = "npy"
    parquet = "parquet"


class Metric(StrEnum):
    """Distances of k-means."""

    euclidean = "euclidean"
    cosine = "cosine"


class Precision(StrEnum):
    """Whether labels are certified."""

    exact = "exact"
    fast = "fast"


Rows = Annotated[str, typer.Argument(help="Rows: an .npy, .fbin, .fvecs or .parquet file.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or cuda:N,M.")]
MaxMemory = Annotated[str | None, typer.Option(metavar="SIZE", help="Memory for rows in flight, e.g. 512MB or 2GiB.")]
ChunkRows = Annotated[int | None, typer.Option(min=1, help="Rows to read at a time; results do not depend on it.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but warnings and errors, on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on stdout, on a terminal too.")]


def _show_version(value: bool) -> None:
    if value:
        import gpuclust

        typer.echo(f"gpuclust {gpuclust.__version__}")
        raise typer.Exit


@app.callback(epilog=_EXIT_CODES)
def gpuclust(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Cluster large numeric datasets, with one answer everywhere."""


@app.command(epilog=f"{_EVENTS}\n\n{_EXIT_CODES}")
def kmeans(
    input: Rows,
    n_clusters: Annotated[int, typer.Option("-k", "--n-clusters", help="Number of clusters, at least 1.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUTDIR", help="Folder to create.")],
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
    metric: Annotated[Metric, typer.Option(help="Distance; cosine is spherical k-means.")] = Metric.euclidean,
    precision: Annotated[
        Precision, typer.Option(help="fast skips the certificate that labels are exact.")
    ] = Precision.exact,
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="An .npy file with one weight >= 0 per row.")
    ] = None,
    labels_format: Annotated[LabelsFormat, typer.Option(help="Format of the labels.")] = LabelsFormat.npy,
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
    from gpuclust.jobs.kmeans import KMeansJob, run_kmeans

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
        run_kmeans(job, report)


@app.command(epilog=f"{_EVENTS}\n\n{_EXIT_CODES}")
def predict(
    model: Annotated[str, typer.Argument(help="A model file, or the folder that kmeans created.")],
    input: Rows,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Labels: .npy or .parquet.")],
    device: Device = None,
    max_memory: MaxMemory = None,
    chunk_rows: ChunkRows = None,
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
            force=force,
            report=report,
        )


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
