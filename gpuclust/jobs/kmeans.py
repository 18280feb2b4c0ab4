"""The job behind ``gpuclust kmeans``: a file of rows in, a folder with labels, centres, model and manifest out."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuclust.errors import DataError, FileFormatError, ParameterError
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, batch_callback, finite, iteration_callback, reported_warnings, silent
from gpuclust.jobs.files import labels_suffix, write_array, write_labels
from gpuclust.jobs.manifest import cluster_sizes, file_facts, write_manifest
from gpuclust.jobs.model import MODEL_FILE, save_model
from gpuclust.jobs.outputs import output_folder
from gpuclust.sources import as_source
from gpuclust.sources.files import InputFile

if TYPE_CHECKING:
    from gpuclust.cluster import KMeans, MiniBatchKMeans

__all__ = ["KMeansJob", "run_kmeans"]


@dataclass(frozen=True, kw_only=True)
class KMeansJob:
    """What to run. None leaves a parameter to the estimator's default; parameters are checked by the estimator.

    Attributes
    ----------
    input : str
        Path of the rows: .npy, .fbin, .fvecs or .parquet.
    output : str
        Folder to create.
    n_clusters : int
    init : str, optional
        A method, or the path of an .npy file with initial centres (n_clusters, n_features).
    weights : str, optional
        Path of an .npy file with one weight per row.
    labels_format : {"npy", "parquet"}
    minibatch : bool
        Use MiniBatchKMeans instead of KMeans.
    force : bool
        Replace an existing result.
    n_init, max_iter, tol, seed, metric, precision, device, max_memory, batch_size
        As in the estimators; ``seed`` is their ``random_state``.
    chunk_rows : int, optional
        Rows read at a time; results do not depend on it.
    """

    input: str
    output: str
    n_clusters: int
    init: str | None = None
    n_init: int | None = None
    max_iter: int | None = None
    tol: float | None = None
    seed: int = 0
    metric: str | None = None
    precision: str | None = None
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    weights: str | None = None
    labels_format: str = "npy"
    minibatch: bool = False
    batch_size: int | None = None
    force: bool = False


def run_kmeans(job: KMeansJob, report: Report = silent) -> dict[str, Any]:
    """Run ``job`` and leave its folder: all of it, or nothing when an error or a signal ends it.

    Returns
    -------
    dict
        The results as in the manifest: ``n_iter``, ``inertia``, ``cluster_sizes``, ``timings`` (seconds per stage).

    Raises
    ------
    ParameterError, DataError, OutputError, ResourceError
        See `gpuclust.errors`.
    """
    started, clock = datetime.now(UTC), perf_counter()
    labels_file = f"labels.{job.labels_format}"
    suffix = labels_suffix(labels_file)
    with reported_warnings(report) as messages, output_folder(job.output, force=job.force) as folder:
        input_file = InputFile.inspect(Path(job.input))
        source = as_source(job.input, max_memory=job.max_memory, chunk_rows=job.chunk_rows, name="input")
        weights = None if job.weights is None else _load_array(job.weights, "weights", n_axes=1)
        estimator = _estimator(job, report)
        report(
            "start",
            command="kmeans",
            version=package_versions()["gpuclust"],
            input=source.description,
            n_rows=source.n_rows,
            n_features=source.n_features,
            dtype=str(source.dtype),
            output=job.output,
            estimator=type(estimator).__name__,
            n_clusters=job.n_clusters,
            max_iter=estimator.max_iter,
        )
        opened = perf_counter()
        estimator.fit(source, sample_weight=weights)
        fitted = perf_counter()

        write_labels(folder / labels_file, estimator.labels_, suffix)
        write_array(folder / "centers.npy", estimator.cluster_centers_)
        save_model(estimator, folder / MODEL_FILE)
        written = perf_counter()
        facts = file_facts(input_file)
        results = {
            "n_iter": int(estimator.n_iter_),
            "inertia": finite(estimator.inertia_),
            "cluster_sizes": cluster_sizes(estimator.labels_, job.n_clusters),
            "timings": {
                "open": opened - clock,
                "fit": fitted - opened,
                "write": written - fitted,
                "checksum": perf_counter() - written,
            },
        }
        manifest = {
            "command": "kmeans",
            "started": started.isoformat(timespec="seconds"),
            "job": asdict(job),
            "estimator": type(estimator).__name__,
            "parameters": _parameters(estimator),
            "input": facts | {"n_rows": source.n_rows, "n_features": source.n_features, "dtype": str(source.dtype)},
            "weights": None if job.weights is None else file_facts(InputFile.inspect(Path(job.weights))),
            "results": results,
            "warnings": messages,
        }
        write_manifest(folder, manifest, job.device, source.n_rows * source.n_features * job.n_clusters)
    report(
        "done",
        output=job.output,
        n_iter=results["n_iter"],
        inertia=results["inertia"],
        cluster_sizes=results["cluster_sizes"],
        seconds=perf_counter() - clock,
    )
    return results


def _estimator(job: KMeansJob, report: Report) -> KMeans | MiniBatchKMeans:
    """Build the estimator with the parameters that were given; ParameterError for one that it does not have."""
    from gpuclust import cluster

    kind = cluster.MiniBatchKMeans if job.minibatch else cluster.KMeans
    names = (
        "n_clusters",
        "init",
        "n_init",
        "max_iter",
        "tol",
        "metric",
        "precision",
        "device",
        "max_memory",
        "batch_size",
    )
    given: dict[str, Any] = {name: getattr(job, name) for name in names if getattr(job, name) is not None}
    known = inspect.signature(kind).parameters
    for name, value in given.items():
        if name not in known:
            raise ParameterError(f"{name}={value!r} cannot be used with {kind.__name__}, which has no such parameter.")
    if job.init is not None and job.init.endswith(".npy"):
        given["init"] = _load_array(job.init, "init", n_axes=2)
    given["callback"] = batch_callback(report) if job.minibatch else iteration_callback(report)
    return kind(**given, random_state=job.seed)


def _parameters(estimator: KMeans | MiniBatchKMeans) -> dict[str, Any]:
    """Return the estimator's parameters for the manifest: all those that say what was computed."""
    params = estimator.get_params(deep=False)
    if not isinstance(params["init"], str):
        params["init"] = f"array {np.shape(params['init'])}"  # the file is named under "job"
    return {name: value for name, value in params.items() if name != "callback"}


def _load_array(path: str, name: str, *, n_axes: int) -> np.ndarray:
    """Read a small .npy file given as parameter ``name``; never unpickles."""
    try:
        array = np.load(Path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{name}={path!r} cannot be read as an .npy file: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != n_axes:
        raise DataError(f"{name}={path!r} should be an array with {n_axes} axes, but its shape is {np.shape(array)}.")
    return array
