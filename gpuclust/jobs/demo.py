"""The job behind ``gpuclust demo``: two photographs clustered from files, next to scikit-learn, and redrawn.

The photographs are the ones that scikit-learn ships (427 x 640 RGB). They are clustered twice: as single pixels, so
that the centres are a palette, and as overlapping 8 x 8 patches, so that the centres are a dictionary of textures.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.errors import OutputError
from gpuclust.jobs.files import write_array
from gpuclust.jobs.fit import run_fit
from gpuclust.jobs.kmeans import KMeansJob
from gpuclust.jobs.outputs import output_file
from gpuclust.jobs.photos import draw_beside, photographs, redrawn_from_patches, rows_of_patches

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Comparison", "run_demo"]

_SEED = 0
_ROUNDS = 3


@dataclass(frozen=True)
class Comparison:
    """One data set clustered by gpuclust and by scikit-learn, from the same centres, for the same iterations."""

    name: str
    folder: Path
    n_rows: int
    n_features: int
    n_clusters: int
    results: dict[str, Any]
    seconds: float  # median over the rounds; gpuclust's includes reading the rows from the file
    peer_seconds: float
    peer_inertia: float
    peer_n_iter: int


def run_demo(output: str, *, console: Console | None = None) -> list[Comparison]:
    """Write the data, cluster them with the command line's job and with scikit-learn, print and draw what came out.

    Parameters
    ----------
    output : str
        Folder for data, results and pictures; it may exist from an earlier demo.

    Raises
    ------
    MissingDependencyError
        Pillow, which reads the photographs, is not installed.
    OutputError
        The folder or a file in it cannot be written.
    """
    from rich.console import Console

    console = console or Console()
    folder = Path(output)
    photos = photographs()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"output={output!r} cannot be written: {error.strerror or error}.") from error

    console.print(f"Two photographs, {photos.shape[1]} x {photos.shape[2]} pixels, clustered from files in {output}:")
    pixels = np.ascontiguousarray(photos.reshape(-1, 3), dtype=np.float32)
    patches = np.concatenate([rows_of_patches(photo) for photo in photos])
    comparisons = [
        _compare("pixels", pixels, folder, n_clusters=64, max_iter=25, console=console),
        _compare("patches", patches, folder, n_clusters=256, max_iter=25, console=console),
    ]
    _print_tables(comparisons, console)
    for picture in _draw(photos, comparisons, folder):
        console.print(f"original | 64 colours | 256 patches: {picture}", highlight=False, soft_wrap=True)
    return comparisons


def _compare(
    name: str, rows: np.ndarray, folder: Path, *, n_clusters: int, max_iter: int, console: Console
) -> Comparison:
    """Cluster ``rows`` from a file with gpuclust, and from memory with scikit-learn, from the same initial centres."""
    data_file, init_file = folder / f"{name}.npy", folder / f"{name}-init.npy"
    _write(data_file, rows)
    init = _initial_centers(rows, n_clusters)
    _write(init_file, init)
    job = KMeansJob(
        input=str(data_file),
        output=str(folder / f"{name}-k{n_clusters}"),
        n_clusters=n_clusters,
        init=str(init_file),
        max_iter=max_iter,
        tol=0.0,
        seed=_SEED,
        force=True,
    )
    console.print(
        f"$ gpuclust kmeans {job.input} -k {n_clusters} --init {job.init} --max-iter {max_iter} --tol 0 "
        f"-o {job.output} --force",
        style="bold",
        highlight=False,
        soft_wrap=True,
    )
    seconds, peer_seconds = [], []
    with console.status("gpuclust: compiling, once per machine") as status:
        run_fit(job)  # not timed: the first run compiles the kernels, later ones find them in a cache
        _scikit_learn(rows[:10_000], init, 1)  # not timed: libraries are loaded and threads started
        for turn in range(1, _ROUNDS + 1):
            status.update(f"{name}, round {turn} of {_ROUNDS}: gpuclust, from the file")
            results = run_fit(job)
            seconds.append(results["timings"]["fit"])
            status.update(f"{name}, round {turn} of {_ROUNDS}: scikit-learn, from memory")
            elapsed, peer = _scikit_learn(rows, init, max_iter)
            peer_seconds.append(elapsed)
    return Comparison(
        name=name,
        folder=Path(job.output),
        n_rows=len(rows),
        n_features=rows.shape[1],
        n_clusters=n_clusters,
        results=results,
        seconds=median(seconds),
        peer_seconds=median(peer_seconds),
        peer_inertia=float(peer.inertia_),
        peer_n_iter=int(peer.n_iter_),
    )


def _initial_centers(rows: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return random rows, distinct and dithered.

    Photographs repeat colours, and two equal centres would start with one cluster empty. Their values are integers, so
    that many rows are equally far from two centres; which way such ties fall in scikit-learn is a matter of rounding,
    and runs that differ in a few labels at first drift apart. Half a grey level of noise leaves no ties to begin with.
    """
    rng = np.random.default_rng(_SEED)
    sample = np.unique(rows[:: max(1, len(rows) // 20_000)], axis=0)
    chosen = sample[rng.choice(len(sample), n_clusters, replace=False)]
    return (chosen + rng.uniform(-0.5, 0.5, chosen.shape)).astype(np.float32)


def _scikit_learn(rows: np.ndarray, init: np.ndarray, max_iter: int) -> tuple[float, Any]:
    """Run scikit-learn's KMeans; return the seconds of its fit and the fitted estimator."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    estimator = KMeans(len(init), init=init, n_init=1, max_iter=max_iter, tol=0.0, algorithm="lloyd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clock = perf_counter()
        estimator.fit(rows)
        return perf_counter() - clock, estimator


def _print_tables(comparisons: list[Comparison], console: Console) -> None:
    from rich.table import Table

    found = Table(title="What gpuclust found", title_justify="left")
    against = Table(
        title=f"Against scikit-learn: same start, same iterations, median of {_ROUNDS} rounds",
        title_justify="left",
    )
    for table, headings in (
        (found, ("data", "rows x features", "k", "iterations", "inertia", "cluster sizes")),
        (against, ("data", "gpuclust", "scikit-learn", "speed-up", "inertia\ngpuclust", "inertia\nscikit-learn")),
    ):
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "data" else "right")
    for c in comparisons:
        sizes, inertia = c.results["cluster_sizes"], c.results["inertia"]
        found.add_row(
            c.name,
            f"{c.n_rows:,} x {c.n_features}",
            str(c.n_clusters),
            str(c.results["n_iter"]),
            f"{inertia:.5e}",
            f"{sizes['min']:,}-{sizes['max']:,}",
        )
        against.add_row(
            c.name,
            f"{c.seconds:.2f} s",
            f"{c.peer_seconds:.2f} s",
            f"{c.peer_seconds / c.seconds:.1f}x",
            f"{inertia:.5e}",
            f"{c.peer_inertia:.5e}",
        )
    console.print(found)
    console.print(against)
    for c in comparisons:
        if c.peer_n_iter != c.results["n_iter"]:
            console.print(f"{c.name}: {c.results['n_iter']} iterations here, {c.peer_n_iter} in scikit-learn.")
    for c in comparisons:
        console.print(f"{c.name}: labels, centres, model and manifest in {c.folder}", highlight=False, soft_wrap=True)


def _draw(photos: np.ndarray, comparisons: list[Comparison], folder: Path) -> list[Path]:
    """Draw each photograph beside the ones redrawn from its centres, and return the paths of the PNG files."""
    n_photos, height, width, _ = photos.shape
    panels = [[photo] for photo in photos]
    for c in comparisons:
        rows = np.load(c.folder / "centers.npy")[np.load(c.folder / "labels.npy")]
        for row, part in zip(panels, np.split(rows, n_photos), strict=True):
            patches = c.name == "patches"
            row.append(redrawn_from_patches(part, height, width) if patches else part.reshape(height, width, 3))
    pictures = [folder / f"photo-{number}.png" for number in range(1, n_photos + 1)]
    for picture, row in zip(pictures, panels, strict=True):
        draw_beside(row, picture)
    return pictures


def _write(path: Path, array: np.ndarray) -> None:
    with output_file(path) as partial:
        write_array(partial, array)
