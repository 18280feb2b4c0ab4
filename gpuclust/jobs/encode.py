"""The job behind ``gpuclust encode``: a network and a file of rows in, codes out; or codes in, and rows out."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from gpuclust.errors import DataError, ParameterError
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, reported_warnings, silent
from gpuclust.jobs.files import labels_suffix, write_matrix
from gpuclust.jobs.manifest import shape_facts
from gpuclust.jobs.model import configured, load_model
from gpuclust.jobs.outputs import output_file
from gpuclust.sources import Source, as_images

__all__ = ["WHAT", "EncodeJob", "run_encode"]

#: What can be asked of a network.
WHAT = ("codes", "rows", "errors")


@dataclass(frozen=True, kw_only=True)
class EncodeJob:
    """What to compute.

    Attributes
    ----------
    model : str
        A model file, or the result folder of ``gpuclust deep``.
    input : str
        Path of the rows (.npy, .fbin, .fvecs, .parquet, or a folder of images); for "rows", of codes.
    output : str
        The file to write, .npy or .parquet.
    what : {"codes", "rows", "errors"}
        "codes" of the rows; "rows" decoded from codes, in the units of the training rows; or "errors", what is lost of
        each row by coding it (see `gpuclust.Autoencoder.reconstruction_error`).
    resize, color
        Of the images of a folder; see `gpuclust.sources.as_images`.
    device, max_memory, chunk_rows
        Where to compute and how much to read at a time.
    force : bool
        Replace an existing file.
    """

    model: str
    input: str
    output: str
    what: str = "codes"
    resize: tuple[int, int] | None = None
    color: bool | None = None
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    force: bool = False


def run_encode(job: EncodeJob, report: Report = silent) -> None:
    """Run ``job`` and write its file, whole or not at all.

    Raises
    ------
    ModelError, ParameterError, DataError, OutputError, ResourceError
        See `gpuclust.errors`.
    """
    clock = perf_counter()
    suffix = labels_suffix(job.output)
    if job.what not in WHAT:
        raise ParameterError(f"what={job.what!r} should be one of {', '.join(WHAT)}.")
    with reported_warnings(report), output_file(job.output, force=job.force) as partial:
        network = _network(job)
        source = as_images(
            job.input, resize=job.resize, color=job.color, max_memory=job.max_memory, chunk_rows=job.chunk_rows
        )
        report(
            "start",
            command="encode",
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=job.output,
            estimator=type(network).__name__,
            what=job.what,
        )
        matrix, columns = _computed(job, network, source)
        write_matrix(partial, matrix, columns, suffix)
    report("done", output=job.output, shape=list(matrix.shape), seconds=perf_counter() - clock)


def _network(job: EncodeJob) -> Any:
    """The autoencoder of a model."""
    estimator = configured(load_model(job.model), device=job.device, max_memory=job.max_memory)
    network: Any = getattr(estimator, "autoencoder_", estimator)
    if not hasattr(network, "reconstruction_error"):
        raise ParameterError(
            f"model={job.model!r} holds {type(estimator).__name__}, which has no network to encode with: `gpuclust "
            "predict` takes it. Models to encode with come from `gpuclust deep`, or from an autoencoder that is saved."
        )
    if network.modalities is not None:
        raise DataError(
            f"model={job.model!r} takes rows of the modalities {sorted(network.modalities)}, which are not one file: "
            "use it in Python, after gpuclust.load_model."
        )
    return network


def _computed(job: EncodeJob, network: Any, source: Source) -> tuple[np.ndarray, list[str]]:
    """The matrix asked for, float32, and names of its columns."""
    if job.what == "errors":
        return network.reconstruction_error(source)[:, None], ["reconstruction_error"]
    if job.what == "codes":
        return network.transform(source), list(network.get_feature_names_out())
    names = getattr(network, "feature_names_in_", [f"x{i}" for i in range(network.n_features_in_)])
    return network.inverse_transform(source), list(names)
