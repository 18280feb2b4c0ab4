"""The job behind ``gpuclust evaluate``: a file of rows and their labels in, scores out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from gpuclust.algorithms.dataset import Dataset
from gpuclust.engines import get_engine
from gpuclust.errors import DataError, ParameterError, ResourceError
from gpuclust.jobs.environment import package_versions
from gpuclust.jobs.events import Report, finite, reported_warnings, silent
from gpuclust.jobs.files import write_bytes
from gpuclust.jobs.manifest import cluster_sizes, shape_facts
from gpuclust.jobs.outputs import output_file
from gpuclust.metrics import internal
from gpuclust.metrics.contingency import Contingency
from gpuclust.metrics.external import EXTERNAL
from gpuclust.metrics.labels import Encoded, as_labels, encode
from gpuclust.metrics.silhouette import SAMPLE, sample_rows
from gpuclust.sources import as_source
from gpuclust.validation import check_positive_int

__all__ = ["EXACT_ROWS", "INTERNAL", "EvaluateJob", "run_evaluate"]

#: Rows up to which the silhouette is exact by default: some seconds on a few cores.
EXACT_ROWS = 50_000
#: Scores of rows and labels; what is not cheap, dbcv, only where it is asked for.
INTERNAL = ("inertia", "calinski_harabasz", "davies_bouldin", "silhouette", "dbcv")
_CHEAP = INTERNAL[:-1]


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """What to score.

    Attributes
    ----------
    input : str
        Path of the rows: .npy, .fbin, .fvecs or .parquet.
    labels : str
        Path of their labels, .npy or .parquet, or the folder of a fit.
    truth : str, optional
        Path of the true labels.
    output : str, optional
        The .json file to write.
    metrics : tuple of str
        Names of scores; empty: all that are cheap.
    metric : {"euclidean", "cosine"}
        Distance; with "cosine", all scores are those of rows scaled to unit length.
    sample_size : int, optional
        Rows of the silhouette's sample; without it, the silhouette is exact for up to ``EXACT_ROWS`` rows. 0: exact.
    noise : {"cluster", "ignore"}
        What rows with label -1 are.
    seed : int
        Of the sample.
    device, max_memory, chunk_rows
        Where to compute and how much to read at a time; no score depends on them.
    force : bool
        Replace an existing output.
    """

    input: str
    labels: str
    truth: str | None = None
    output: str | None = None
    metrics: tuple[str, ...] = ()
    metric: str = "euclidean"
    sample_size: int | None = None
    noise: str = "cluster"
    seed: int = 0
    device: str | None = None
    max_memory: str | None = None
    chunk_rows: int | None = None
    force: bool = False


def run_evaluate(job: EvaluateJob, report: Report = silent) -> dict[str, Any]:
    """Run ``job`` and return what it found, which is also what its output file holds.

    Returns
    -------
    dict
        ``n_rows``, ``n_features``, ``n_clusters``, ``n_noise``, ``cluster_sizes``, ``silhouette`` (how it was
        computed), ``scores`` (by name; None where one is not defined) and ``warnings``.

    Raises
    ------
    ParameterError, DataError, OutputError, ResourceError
        See `gpuclust.errors`. A score that is asked for by name and not defined is an error; otherwise, a warning.
    """
    clock = perf_counter()
    chosen = _chosen(job)
    with reported_warnings(report) as messages, _output(job) as partial:
        source = as_source(job.input, max_memory=job.max_memory, chunk_rows=job.chunk_rows, name="input")
        labels = as_labels(_labels_file(job.labels))
        found = encode(labels, source.n_rows, noise=job.noise)
        report(
            "start",
            command="evaluate",
            version=package_versions()["gpuclust"],
            input=source.description,
            **shape_facts(source),
            output=job.output,
        )
        n_noise = int(np.count_nonzero(labels == -1)) if labels.dtype.kind == "i" else 0

        def tell(message: str) -> None:
            messages.append(message)
            report("warning", message=message)

        if n_noise and job.noise == "cluster":
            tell(f"{n_noise:,} rows have label -1, which counts as a cluster; --noise ignore leaves them out.")
        size = _sample_size(job, source.n_rows)
        scores: dict[str, float | None] = {}
        for name, score in (*_internal(job, chosen, source, found, size), *_external(job, chosen, labels)):
            try:
                scores[name] = finite(score())
            except (DataError, ResourceError) as error:
                if name in job.metrics:
                    raise
                scores[name] = None
                tell(f"{name} is not defined: {error}")
        sampled = {"form": "sampled", "sample_size": size, "seed": job.seed} if size else {"form": "exact"}
        result = {
            "n_rows": source.n_rows,
            "n_features": source.n_features,
            "n_clusters": len(found.classes),
            "n_noise": n_noise,
            "cluster_sizes": cluster_sizes(found.codes, len(found.classes)),
            "silhouette": sampled if "silhouette" in scores else None,
            "scores": scores,
        }
        if partial is not None:
            versions = {"gpuclust": package_versions()["gpuclust"]}
            content = {"command": "evaluate", "job": asdict(job), "versions": versions, **result, "warnings": messages}
            write_bytes(partial, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    report("done", output=job.output, **result, seconds=perf_counter() - clock)
    return {**result, "warnings": messages}


def _chosen(job: EvaluateJob) -> tuple[str, ...]:
    """The names of the scores to compute."""
    for name in job.metrics:
        if name not in INTERNAL and name not in EXTERNAL:
            raise ParameterError(f"metrics={name!r} should be one of {', '.join((*INTERNAL, *EXTERNAL))}.")
        if name in EXTERNAL and job.truth is None:
            raise ParameterError(f"metrics={name!r} compares labels with the truth; name its file with --truth.")
    if job.metric not in ("euclidean", "cosine"):
        raise ParameterError(f"metric={job.metric!r} should be euclidean or cosine.")
    return job.metrics or (*_CHEAP, *(EXTERNAL if job.truth else ()))


def _output(job: EvaluateJob) -> Any:
    if job.output is None:
        return nullcontext()
    if Path(job.output).suffix.lower() != ".json":
        raise ParameterError(f"output={job.output!r} should end in .json.")
    return output_file(job.output, force=job.force)


def _labels_file(path: str) -> str:
    """The file of labels in the folder of a fit, or the file itself."""
    if not Path(path).is_dir():
        return path
    for name in ("labels.npy", "labels.parquet"):
        if (Path(path) / name).is_file():
            return str(Path(path) / name)
    raise DataError(
        f"labels={path!r} is a folder without labels.npy or labels.parquet: name the file, or a fit's folder."
    )


def _sample_size(job: EvaluateJob, n_rows: int) -> int:
    """Rows of the silhouette's sample; 0: all."""
    if job.sample_size is None:
        return SAMPLE if n_rows > EXACT_ROWS else 0
    return 0 if job.sample_size == 0 else min(check_positive_int(job.sample_size, "sample_size"), n_rows)


def _internal(
    job: EvaluateJob, chosen: tuple[str, ...], source: Any, found: Encoded, size: int
) -> Iterator[tuple[str, Callable[[], float]]]:
    """Scores of the rows, in one opened dataset."""
    names = [name for name in INTERNAL if name in chosen]
    if not names:
        return
    engine = get_engine(job.device, data_device=source.device, work=source.n_rows**2 * source.n_features)
    data, codes = Dataset(engine, source, normalize=job.metric == "cosine"), found.codes
    known = {
        "inertia": lambda: internal.inertia_of(data, codes),
        "calinski_harabasz": lambda: internal.calinski_harabasz_of(data, codes),
        "davies_bouldin": lambda: internal.davies_bouldin_of(data, codes),
        "silhouette": lambda: internal.silhouette_of(
            data, codes, metric=job.metric, rows=sample_rows(codes, size, job.seed) if size else None
        ),
        "dbcv": lambda: internal.dbcv_of(data, np.where(_noise(found)[codes], -1, codes), metric=job.metric),
    }
    yield from ((name, known[name]) for name in names)


def _noise(found: Encoded) -> np.ndarray:
    """Whether each class is noise; the last entry, which code -1 reads, too."""
    return (
        np.append(found.classes == -1, True)
        if found.classes.dtype.kind == "i"
        else np.zeros(len(found.classes) + 1, bool)
    )


def _external(
    job: EvaluateJob, chosen: tuple[str, ...], labels: np.ndarray
) -> Iterator[tuple[str, Callable[[], float]]]:
    """Scores of the labels against the truth, from one table."""
    names = [name for name in EXTERNAL if name in chosen]
    if names and job.truth is not None:
        table = Contingency.of(as_labels(_labels_file(job.truth), "truth"), labels)
        yield from ((name, lambda name=name: EXTERNAL[name](table)) for name in names)
