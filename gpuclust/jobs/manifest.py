"""manifest.json: what was run, on what, with which versions, how long it took, and the checksum of every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from gpuclust.jobs.environment import environment
from gpuclust.jobs.files import sha256, write_bytes
from gpuclust.jobs.outputs import MANIFEST
from gpuclust.sources import Source
from gpuclust.sources.files import InputFile

__all__ = ["cluster_sizes", "file_facts", "folder_facts", "selection", "shape_facts", "write_manifest"]

_FORMAT = 1


def file_facts(file: InputFile) -> dict[str, Any]:
    """Return absolute path, size in bytes and SHA-256 of a file that a job has read.

    Raises
    ------
    FileFormatError
        The file is not the one that was inspected before the job: it changed in the meantime.
    """
    with file.open():  # which checks that it is unchanged, before and after
        checksum = sha256(file.path)
    return {"path": str(file.path.resolve()), "bytes": file.size, "sha256": checksum}


def folder_facts(folder: Path, names: list[str]) -> dict[str, Any]:
    """Return absolute path, number, size and one SHA-256 (of names and checksums) of files that a job has read."""
    digest, size = hashlib.sha256(), 0
    for name in names:
        facts = file_facts(InputFile.inspect(folder / name))
        digest.update(f"{facts['sha256']}  {name}\n".encode(errors="surrogateescape"))
        size += facts["bytes"]
    return {"path": str(folder.resolve()), "n_files": len(names), "bytes": size, "sha256": digest.hexdigest()}


def shape_facts(source: Source) -> dict[str, Any]:
    """Return number of rows, number of features and dtype."""
    return {"n_rows": source.n_rows, "n_features": source.n_features, "dtype": str(source.dtype)}


def cluster_sizes(labels: np.ndarray, n_clusters: int) -> dict[str, float]:
    """Return a summary of the cluster sizes: smallest, median, largest, and the number of empty clusters.

    Noise, label -1, belongs to no cluster; where there is no cluster at all, everything is 0.
    """
    sizes = np.bincount(labels + 1, minlength=n_clusters + 1)[1:] if n_clusters else np.zeros(1)
    return {
        "min": int(sizes.min()),
        "median": float(np.median(sizes)),
        "max": int(sizes.max()),
        "n_empty": n_clusters - int(np.count_nonzero(sizes)),
    }


def selection(chosen: Any) -> dict[str, Any]:
    """Return what an estimator has chosen by itself, and why, under the name "selection"."""
    return {"selection": {"value": chosen.value, "reason": chosen.reason, "n_sampled": chosen.n_sampled}}


def write_manifest(folder: Path, content: dict[str, Any], device: str | None, work: int) -> None:
    """Add versions, environment and the checksum of every file in ``folder`` to ``content``, and write it there.

    ``device`` and ``work`` are the job's; see `gpuclust.jobs.environment.environment`.
    """
    outputs = {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in sorted(folder.iterdir())}
    manifest = {"format": _FORMAT, **content, **environment(device, work=work), "outputs": outputs}
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / MANIFEST, (text + "\n").encode())
