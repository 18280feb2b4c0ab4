"""The job behind ``gpuclust deep``: rows or images in; a folder of labels, codes, model, pictures and manifest out."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gpuclust.errors import DataError, MissingDependencyError, ParameterError
from gpuclust.jobs.architectures import architecture_of
from gpuclust.jobs.courses import course, histories_of, parameters_of
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, epoch_callback, finite, reported_warnings, silent
from gpuclust.jobs.files import labels_suffix, write_array, write_bytes, write_errors, write_labels
from gpuclust.jobs.manifest import cluster_sizes, file_facts, folder_facts, selection, shape_facts, write_manifest
from gpuclust.jobs.model import MODEL_FILE, save_model
from gpuclust.jobs.outputs import output_folder
from gpuclust.sources import Source, as_images
from gpuclust.sources.files import InputFile

if TYPE_CHECKING:
    from gpuclust.deep import DeepClustering

__all__ = ["DeepJob", "run_deep"]


@dataclass(frozen=True, kw_only=True)
class DeepJob:
    """What to train. None leaves a parameter to the method's default; parameters are checked by the estimators.

    Attributes
    ----------
    input : str
        Path of the rows: .npy, .fbin, .fvecs, .parquet, an .npy of images, or a folder of images.
    output : str
        Folder to create.
    n_clusters : int or "auto"
    method : str
        Of `gpuclust.DeepClustering`.
    latent, neighbors, noise, scaling, epochs, batch, rate : optional
        Of the autoencoder: its n_components, neighbors (0: none), noise, scaling, epochs, batch_size and learning_rate;
        ``batch`` is that of the refinement too.
    architecture : str, optional
        See `gpuclust.jobs.architectures.architecture_of`.
    shape : tuple of int, optional
        Of a row; that of images is known.
    refine_epochs : int, optional
        Epochs of the refinement, where the method has one.
    restarts, seed
        The estimator's n_init and random_state.
    checkpoint : str, optional
        Beginning of the names of files from which an interrupted job goes on.
    resize, color
        Of the images of a folder; see `gpuclust.sources.as_images`.
    device, max_memory
        As in the estimator.
    chunk_rows : int, optional
        Rows read at a time.
    labels_format : {"npy", "parquet"}
    pictures : bool
        Draw pictures, where matplotlib is installed.
    force : bool
        Replace an existing result.
    """

    input: str
    output: str
    n_clusters: int | str
    method: str = "manifold"
    latent: int | None = None
    architecture: str | None = None
    shape: tuple[int, ...] | None = None
    neighbors: int | None = None
    noise: float | None = None
    scaling: str | None = None
    epochs: int | None = None
    refine_epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    restarts: int = 1
    seed: int = 0
    checkpoint: str | None = None
    resize: tuple[int, int] | None = None
    color: bool | None = None
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    labels_format: str = "npy"
    pictures: bool = True
    force: bool = False

    def estimator(self, source: Source, shape: tuple[int, ...] | None, report: Report) -> DeepClustering:
        """Build it, for rows of a shape; ParameterError for a method or architecture that there is not."""
        from gpuclust.deep import DeepClustering
        from gpuclust.deep.clustering.methods import METHODS

        if self.method not in METHODS:
            raise ParameterError(f"method={self.method!r} should be one of {', '.join(METHODS)}.")
        batch = None if self.batch is None else max(1, self.batch)  # what is less, the network refuses by name
        network = METHODS[self.method].network(source.n_rows, source.n_features, batch)
        wanted = {
            "n_components": self.latent,
            "architecture": None if self.architecture is None else architecture_of(self.architecture, shape),
            "noise": self.noise,
            "scaling": self.scaling,
            "epochs": self.epochs,
            "batch_size": self.batch,
            "learning_rate": self.rate,
        }
        given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        if self.neighbors is not None:
            given["neighbors"] = self.neighbors or None
        estimator = DeepClustering(
            self.n_clusters,
            method=self.method,
            autoencoder=network.set_params(**given),
            epochs=self.refine_epochs,
            n_init=self.restarts,
            checkpoint=self.checkpoint,
            device=self.device,
            max_memory=self.max_memory,
            random_state=self.seed,
            callback=epoch_callback(report),
        )
        return estimator if self.batch is None else estimator.set_params(batch_size=self.batch)


def run_deep(job: DeepJob, report: Report = silent) -> dict[str, Any]:
    """Run ``job`` and leave its folder: all of it, or nothing when an error or a signal ends it.

    The folder gets labels.npy (or .parquet), codes.npy, soft.npy, centers.npy, decoded_centers.npy, model.safetensors,
    manifest.json; of a folder of images files.txt, and pictures where matplotlib is installed.

    Returns
    -------
    dict
        The results as in the manifest.

    Raises
    ------
    ParameterError, DataError, TrainingError, ModelError, OutputError, ResourceError
        See `gpuclust.errors`.
    """
    started, clock = datetime.now(UTC), perf_counter()
    labels_file = f"labels.{job.labels_format}"
    suffix = labels_suffix(labels_file)
    with reported_warnings(report) as messages, output_folder(job.output, force=job.force) as folder:
        path = Path(job.input)
        input_file = None if path.is_dir() else InputFile.inspect(path)
        source = as_images(
            path, resize=job.resize, color=job.color, max_memory=job.max_memory, chunk_rows=job.chunk_rows
        )
        _check_names(source)
        shape = _row_shape(job, source)
        estimator = job.estimator(source, shape, report)
        report(
            "start",
            command="deep",
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=job.output,
            estimator=type(estimator).__name__,
            method=job.method,
            n_clusters=job.n_clusters,
        )
        opened = perf_counter()
        estimator.fit(source)
        fitted = perf_counter()

        network = estimator.autoencoder_
        rows = network.rows(source)
        write_labels(folder / labels_file, estimator.labels_, suffix)
        write_array(folder / "codes.npy", estimator.transform(rows))
        write_array(folder / "soft.npy", estimator.predict_proba(rows))
        write_array(folder / "centers.npy", estimator.cluster_centers_)
        decoded: Any = estimator.decoded_centers_
        write_array(folder / "decoded_centers.npy", decoded if shape is None else decoded.reshape(-1, *shape))
        if source.row_names is not None:
            write_bytes(folder / "files.txt", b"".join(os.fsencode(name) + b"\n" for name in source.row_names))
        save_model(estimator, folder / MODEL_FILE)
        written = perf_counter()
        if job.pictures:
            _draw(job, estimator, source, shape, folder, messages, report)
        drawn = perf_counter()
        facts = folder_facts(path, source.row_names or []) if input_file is None else file_facts(input_file)
        found = _results(job, estimator)
        timings = {
            "open": opened - clock,
            "fit": fitted - opened,
            "write": written - fitted,
            "pictures": drawn - written,
            "checksum": perf_counter() - drawn,
        }
        manifest = {
            "command": "deep",
            "started": started.isoformat(timespec="seconds"),
            "job": asdict(job),
            "estimator": type(estimator).__name__,
            "parameters": parameters_of(estimator),
            "network": parameters_of(network) | network.model_.configuration(),
            "training": {stage: course(history) for stage, history in histories_of(estimator).items()},
            "input": facts | shape_facts(source) | {"row_shape": shape},
            "results": {**found, "timings": timings},
            "warnings": messages,
        }
        n_weights = sum(weight.numel() for weight in network.model_.parameters())
        write_manifest(folder, manifest, job.device, 3 * source.n_rows * n_weights)
    report("done", output=job.output, **found, seconds=perf_counter() - clock)
    return {**found, "timings": timings}


def _check_names(source: Source) -> None:
    for name in source.row_names or ():
        if "\n" in name:
            raise DataError(f"{name!r} has a line break in its name, but files.txt has a line for each: rename it.")


def _row_shape(job: DeepJob, source: Source) -> tuple[int, ...] | None:
    """Shape of a row, as given or as the images have it; DataError if it does not fit the rows."""
    from gpuclust.deep.architecture import Architecture

    shape = source.row_shape if job.shape is None else job.shape
    Architecture(shape=shape).check(source.n_features)
    return shape


def _draw(
    job: DeepJob,
    estimator: DeepClustering,
    source: Source,
    shape: tuple[int, ...] | None,
    folder: Path,
    messages: list[str],
    report: Report,
) -> None:
    """Pictures, or a warning: what was trained for long is worth more than they are."""
    from gpuclust.report.deep import pictures
    from gpuclust.report.look import is_image

    sequences = (job.architecture or "").startswith(("conv1d", "gru"))  # the network knows their shape
    try:
        with write_errors(folder.name):
            pictures(
                estimator,
                source,
                folder,
                labels=estimator.labels_,
                image_shape=shape if shape is not None and is_image(shape) and not sequences else None,
                random_state=job.seed,
            )
    except (MissingDependencyError, ParameterError, DataError) as error:
        messages.append(f"no pictures are drawn, or not all: {error}")
        report("warning", message=messages[-1])


def _results(job: DeepJob, fitted: DeepClustering) -> dict[str, Any]:
    """What is worth knowing, JSON-ready: for the manifest and the last event."""
    histories = histories_of(fitted)
    found = {
        "n_clusters": fitted.n_clusters_,
        "cluster_sizes": cluster_sizes(fitted.labels_, fitted.n_clusters_),
        "epochs": {stage: len(history) for stage, history in histories.items()},
        "losses": {stage: finite(history.losses[-1]) for stage, history in histories.items()},
    }
    if job.restarts > 1:
        found["restarts"] = fitted.restarts_
    return found | (selection(fitted.suggestion_) if job.n_clusters == "auto" else {})
