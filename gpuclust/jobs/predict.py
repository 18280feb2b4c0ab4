"""The job behind ``gpuclust predict``: a model and a file of rows in, one file of labels out."""

from __future__ import annotations

from time import perf_counter

from gpuclust.errors import ParameterError
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, reported_warnings, silent
from gpuclust.jobs.files import labels_suffix, write_labels
from gpuclust.jobs.manifest import shape_facts
from gpuclust.jobs.model import configured, load_model
from gpuclust.jobs.outputs import output_file
from gpuclust.sources import as_images

__all__ = ["run_predict"]


def run_predict(
    model: str,
    input: str,
    output: str,
    *,
    device: str | None = None,
    max_memory: str | None = None,
    chunk_rows: int | None = None,
    resize: tuple[int, int] | None = None,
    color: bool | None = None,
    force: bool = False,
    report: Report = silent,
) -> None:
    """Label the rows of the file ``input`` with a saved model and write the labels to ``output``, whole or not at all.

    Rows are streamed; memory is 4 bytes per row plus ``max_memory``.

    Parameters
    ----------
    model : str
        A model file, or the result folder of ``gpuclust kmeans``, ``gpuclust dbscan`` or ``gpuclust deep``.
    input : str
        Path of the rows: .npy, .fbin, .fvecs, .parquet, or a folder of images.
    output : str
        Path of the labels, .npy or .parquet.
    device, max_memory, chunk_rows
        Where to compute and how much to read at a time; labels do not depend on them.
    resize, color
        Of the images of a folder; see `gpuclust.sources.as_images`.
    force : bool
        Replace an existing file.

    Raises
    ------
    ModelError, ParameterError, DataError, OutputError, ResourceError
        See `gpuclust.errors`.
    """
    clock = perf_counter()
    suffix = labels_suffix(output)
    with reported_warnings(report), output_file(output, force=force) as partial:
        estimator = configured(load_model(model), device=device, max_memory=max_memory)
        if not hasattr(estimator, "predict"):
            raise ParameterError(
                f"model={model!r} holds {type(estimator).__name__}, which has codes but no clusters: `gpuclust encode` "
                "takes it."
            )
        source = as_images(input, resize=resize, color=color, max_memory=max_memory, chunk_rows=chunk_rows)
        report(
            "start",
            command="predict",
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=output,
        )
        write_labels(partial, estimator.predict(source), suffix)
    report("done", output=output, seconds=perf_counter() - clock)
