"""What every clustering job does: read rows from a file, fit an estimator, leave a folder of results or nothing.

A kind of job is a class of its own (`KMeansJob`, `DBSCANJob`): its fields say what to run, its few methods which
estimator that is and what is worth knowing about it once it is fitted. `run_fit` does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from gpuclust.errors import DataError, FileFormatError
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, finite, reported_warnings, silent
from gpuclust.jobs.files import labels_suffix, write_array, write_labels
from gpuclust.jobs.manifest import file_facts, shape_facts, write_manifest
from gpuclust.jobs.model import MODEL_FILE, save_model
from gpuclust.jobs.outputs import output_folder
from gpuclust.sources import Source, as_source
from gpuclust.sources.files import InputFile

__all__ = ["FitJob", "load_array", "run_fit"]


@dataclass(frozen=True, kw_only=True)
class FitJob(ABC):
    """What to run. None leaves a parameter to the estimator's default; parameters are checked by the estimator.

    Attributes
    ----------
    input : str
        Path of the rows: .npy, .fbin, .fvecs or .parquet.
    output : str
        Folder to create.
    weights : str, optional
        Path of an .npy file with one weight per row.
    labels_format : {"npy", "parquet"}
    device, max_memory
        As in the estimators.
    chunk_rows : int, optional
        Rows read at a time; results do not depend on it.
    force : bool
        Replace an existing result.
    """

    input: str
    output: str
    weights: str | None = None
    labels_format: str = "npy"
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    force: bool = False

    #: The command's name; the parameters that its start event names; the estimator's arrays, by the file they become.
    command: ClassVar[str]
    announced: ClassVar[tuple[str, ...]]
    arrays: ClassVar[dict[str, str]]

    @abstractmethod
    def estimator(self, report: Report) -> Any:
        """Build the estimator, which tells its progress to ``report``."""

    @abstractmethod
    def results(self, fitted: Any) -> dict[str, Any]:
        """Say what is worth knowing about the fitted estimator, JSON-ready: for the manifest and the last event."""

    @abstractmethod
    def work(self, source: Source) -> int:
        """Return the size of the problem by which "auto" chooses a device; see `gpuclust.engines.get_engine`."""

    @property
    def predicts(self) -> bool:
        """Whether the fitted estimator can label new rows, so that there is a model to keep."""
        return True


def run_fit(job: FitJob, report: Report = silent) -> dict[str, Any]:
    """Run ``job`` and leave its folder: all of it, or nothing when an error or a signal ends it.

    Returns
    -------
    dict
        The results as in the manifest: those of the kind of job, and ``timings`` (seconds per stage).

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
        weights = None if job.weights is None else load_array(job.weights, "weights", n_axes=1)
        estimator = job.estimator(report)
        report(
            "start",
            command=job.command,
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=job.output,
            estimator=type(estimator).__name__,
            **{name: _announced(getattr(estimator, name)) for name in job.announced},
        )
        opened = perf_counter()
        estimator.fit(source, sample_weight=weights)
        fitted = perf_counter()

        write_labels(folder / labels_file, estimator.labels_, suffix)
        for file, attribute in job.arrays.items():
            write_array(folder / file, getattr(estimator, attribute))
        if job.predicts:
            save_model(estimator, folder / MODEL_FILE)
        written = perf_counter()
        facts = file_facts(input_file)
        found = job.results(estimator)
        timings = {
            "open": opened - clock,
            "fit": fitted - opened,
            "write": written - fitted,
            "checksum": perf_counter() - written,
        }
        manifest = {
            "command": job.command,
            "started": started.isoformat(timespec="seconds"),
            "job": asdict(job),
            "estimator": type(estimator).__name__,
            "parameters": _parameters(estimator),
            "input": facts | shape_facts(source),
            "weights": None if job.weights is None else file_facts(InputFile.inspect(Path(job.weights))),
            "results": {**found, "timings": timings},
            "warnings": messages,
        }
        write_manifest(folder, manifest, job.device, job.work(source))
    report("done", output=job.output, **found, seconds=perf_counter() - clock)
    return {**found, "timings": timings}


def _announced(value: Any) -> Any:
    """A parameter for an event; the estimator, which has not checked it yet, will say if it is no number."""
    return finite(value) if isinstance(value, float) else value


def load_array(path: str, name: str, *, n_axes: int) -> np.ndarray:
    """Read a small .npy file given as parameter ``name``; never unpickles."""
    try:
        array = np.load(Path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{name}={path!r} cannot be read as an .npy file: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != n_axes:
        raise DataError(f"{name}={path!r} should be an array with {n_axes} axes, but its shape is {np.shape(array)}.")
    return array


def _parameters(estimator: Any) -> dict[str, Any]:
    """Return the estimator's parameters for the manifest: all those that say what was computed."""
    params = estimator.get_params(deep=False)
    return {
        name: value if isinstance(value, str | int | float | None) else f"array {np.shape(value)}"  # its file: in "job"
        for name, value in params.items()
        if name != "callback"
    }
