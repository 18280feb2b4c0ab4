"""The job behind ``gpuclust knn``: a file of rows in, a folder with neighbours, distances and manifest out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, reported_warnings, silent, stage_callback
from gpuclust.jobs.files import write_array
from gpuclust.jobs.manifest import file_facts, shape_facts, write_manifest
from gpuclust.jobs.outputs import output_folder
from gpuclust.sources import Source, as_source
from gpuclust.sources.files import InputFile

__all__ = ["KNNJob", "run_knn"]


@dataclass(frozen=True, kw_only=True)
class KNNJob:
    """What to search.

    Attributes
    ----------
    input : str
        Path of the rows among which neighbours are sought: .npy, .fbin, .fvecs or .parquet.
    output : str
        Folder to create.
    n_neighbors : int
    queries : str, optional
        Path of the rows whose neighbours are sought; by default those of ``input``, none of them its own neighbour.
    metric, index, device, max_memory
        As in `gpuclust.NearestNeighbors`.
    index_params : dict, optional
        Parameters of the index.
    chunk_rows : int, optional
        Rows read at a time; results do not depend on it.
    force : bool
        Replace an existing result.
    """

    input: str
    output: str
    n_neighbors: int
    queries: str | None = None
    metric: str = "euclidean"
    index: str = "flat"
    index_params: dict[str, int] | None = None
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    force: bool = False


def run_knn(job: KNNJob, report: Report = silent) -> dict[str, Any]:
    """Run ``job`` and leave its folder: all of it, or nothing when an error or a signal ends it.

    The folder gets indices.npy (int64) and distances.npy (float64), (n_queries, n_neighbors) each, and manifest.json.

    Returns
    -------
    dict
        The results as in the manifest: ``n_queries``, ``recall`` (of the index, on a sample; 1 for an exact search) and
        ``timings`` (seconds per stage).

    Raises
    ------
    ParameterError, DataError, OutputError, ResourceError
        See `gpuclust.errors`.
    """
    from gpuclust import neighbors

    started, clock = datetime.now(UTC), perf_counter()
    with reported_warnings(report) as messages, output_folder(job.output, force=job.force) as folder:
        files = {name: InputFile.inspect(Path(path)) for name, path in _paths(job).items()}
        rows = {name: _opened(job, name, path) for name, path in _paths(job).items()}
        source, queries = rows["input"], rows.get("queries")
        report(
            "start",
            command="knn",
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=job.output,
            queries=None if queries is None else queries.description,
            n_neighbors=job.n_neighbors,
            metric=job.metric,
            index=job.index,
        )
        opened = perf_counter()
        searched = neighbors.NearestNeighbors(
            job.n_neighbors,
            index=job.index,
            index_params=job.index_params,
            metric=job.metric,
            device=job.device,
            max_memory=job.max_memory,
            callback=stage_callback(report),
        ).fit(source)
        fitted = perf_counter()
        distances, indices = searched.kneighbors(queries)
        found = perf_counter()
        write_array(folder / "indices.npy", indices)
        write_array(folder / "distances.npy", distances)
        written = perf_counter()
        facts = {name: file_facts(file) | shape_facts(rows[name]) for name, file in files.items()}
        results = {"n_queries": len(indices), "recall": searched.recall_}
        timings = {
            "open": opened - clock,
            "fit": fitted - opened,
            "search": found - fitted,
            "write": written - found,
            "checksum": perf_counter() - written,
        }
        manifest = {
            "command": "knn",
            "started": started.isoformat(timespec="seconds"),
            "job": asdict(job),
            "index_params": searched.index_params_,
            "input": facts["input"],
            "queries": facts.get("queries"),
            "results": {**results, "timings": timings},
            "warnings": messages,
        }
        write_manifest(folder, manifest, job.device, source.n_rows**2 * source.n_features)
    report("done", output=job.output, **results, seconds=perf_counter() - clock)
    return {**results, "timings": timings}


def _paths(job: KNNJob) -> dict[str, str]:
    """The files that are read, by the parameter that names them."""
    return {"input": job.input} | ({} if job.queries is None else {"queries": job.queries})


def _opened(job: KNNJob, name: str, path: str) -> Source:
    return as_source(path, max_memory=job.max_memory, chunk_rows=job.chunk_rows, name=name)
