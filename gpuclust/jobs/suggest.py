"""The job behind ``gpuclust suggest``: a file of rows in; a number of clusters, an eps, and why, out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from gpuclust.errors import MissingDependencyError
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, reported_warnings, silent, stage_callback
from gpuclust.jobs.files import write_bytes, write_errors
from gpuclust.jobs.manifest import file_facts, shape_facts, write_manifest
from gpuclust.jobs.outputs import output_folder
from gpuclust.sources import as_source
from gpuclust.sources.files import InputFile

if TYPE_CHECKING:
    from gpuclust.select import EpsSuggestion, Suggestion

__all__ = ["SuggestJob", "Suggested", "run_suggest"]

_FILE = "suggestion.json"


@dataclass(frozen=True, kw_only=True)
class SuggestJob:
    """What to look at. None leaves a parameter to its default.

    Attributes
    ----------
    input : str
        Path of the rows: .npy, .fbin, .fvecs or .parquet.
    output : str, optional
        Folder to create; None: nothing is written.
    k : tuple of int, optional
        The least and the largest number of clusters to try.
    min_samples, metric, max_time, device, max_memory
        As in `gpuclust.select`; with the metric "haversine", which k-means does not have, only eps is suggested.
    seed : int
        Their ``random_state``.
    chunk_rows : int, optional
        Rows read at a time; results do not depend on it.
    force : bool
        Replace an existing result.
    """

    input: str
    output: str | None = None
    k: tuple[int, int] | None = None
    min_samples: int | None = None
    metric: str = "euclidean"
    seed: int = 0
    max_time: float | None = None
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    force: bool = False


class Suggested(NamedTuple):
    """What a job suggests; None for what the metric or the installation does not allow."""

    k: Suggestion | None
    eps: EpsSuggestion | None

    def to_dict(self) -> dict[str, Any]:
        """Both, ready for JSON."""
        return {name: None if found is None else found.to_dict() for name, found in self._asdict().items()}

    def to_text(self) -> str:
        """Both as tables with their reasons."""
        return "\n\n".join(found.to_text() for found in self if found is not None)


def run_suggest(job: SuggestJob, report: Report = silent) -> Suggested:
    """Run ``job`` and leave its folder, if it has one: all of it, or nothing when an error or a signal ends it.

    The folder gets suggestion.json, manifest.json and, where matplotlib is installed, k.png and eps.png. Without FAISS
    no eps is suggested. What is left out is said by a warning.

    Raises
    ------
    ParameterError, DataError, OutputError, ResourceError
        See `gpuclust.errors`.
    """
    from gpuclust import select

    started, clock = datetime.now(UTC), perf_counter()
    with reported_warnings(report) as messages, _folder(job) as folder:

        def warn(message: str) -> None:
            messages.append(message)
            report("warning", message=message)

        input_file = InputFile.inspect(Path(job.input))
        source = as_source(job.input, max_memory=job.max_memory, chunk_rows=job.chunk_rows, name="input")
        report(
            "start",
            command="suggest",
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=job.output,
            metric=job.metric,
        )
        shared: dict[str, Any] = {
            "metric": job.metric,
            "random_state": job.seed,
            "device": job.device,
            "max_memory": job.max_memory,
            "callback": stage_callback(report),
        }
        k, eps = None, None
        if job.metric != "haversine":
            k = select.suggest_k(source, k=job.k, max_time=job.max_time, **shared)
        chosen = perf_counter()
        try:
            eps = select.suggest_eps(source, min_samples=job.min_samples, **shared)
        except MissingDependencyError as error:
            warn(f"no eps is suggested: {error}")
        found = Suggested(k, eps)
        timings = {"k": chosen - clock, "eps": perf_counter() - chosen}
        if folder is not None:
            _write(folder, found, warn)
            manifest = {
                "command": "suggest",
                "started": started.isoformat(timespec="seconds"),
                "job": asdict(job),
                "input": file_facts(input_file) | shape_facts(source),
                "results": {**_summary(found), "timings": timings},
                "warnings": messages,
            }
            largest = 1 if k is None else int(k.table["k"][-1])
            write_manifest(folder, manifest, job.device, source.n_rows * source.n_features * largest)
    report("done", output=job.output, **_summary(found), seconds=perf_counter() - clock)
    return found


@contextmanager
def _folder(job: SuggestJob) -> Iterator[Path | None]:
    if job.output is None:
        yield None
        return
    with output_folder(job.output, force=job.force) as folder:
        yield folder


def _write(folder: Path, found: Suggested, warn: Any) -> None:
    from gpuclust import report

    text = json.dumps(found.to_dict(), indent=2, allow_nan=False)
    write_bytes(folder / _FILE, (text + "\n").encode())
    try:
        with write_errors(folder.name):
            if found.k is not None:
                report.plot_k(found.k, folder / "k.png")
            if found.eps is not None:
                report.plot_eps(found.eps, folder / "eps.png")
    except MissingDependencyError as error:
        warn(f"no plots are drawn: {error}")


def _summary(found: Suggested) -> dict[str, Any]:
    """The values and their reasons."""
    k, eps = found
    return {
        "k": None if k is None else {"n_clusters": k.value, "reason": k.reason},
        "eps": None if eps is None else {**eps.values, "reason": eps.reason},
    }
