"""manifest.json: what was run, on what, with which versions, how long it took, and the checksum of every file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from gpuclust.errors import FileFormatError
from gpuclust.jobs.environment import environment
from gpuclust.jobs.outputs import MANIFEST, sha256, write_bytes

__all__ = ["InputFile", "cluster_sizes", "write_manifest"]

_FORMAT = 1


class InputFile:
    """A file a job reads: its identity is noted before the job and verified after it.

    Raises
    ------
    FileFormatError
        The file cannot be read; on `describe`, also: it changed while the job was reading it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._identity = self._stat()

    def describe(self) -> dict[str, Any]:
        """Return absolute path, size in bytes and SHA-256 of the file: of the very bytes that the job has read."""
        checksum = sha256(self.path)
        if self._stat() != self._identity:
            raise FileFormatError(
                f"input={str(self.path)!r} changed while it was being read; its labels would be mixed."
            )
        return {"path": str(self.path.resolve()), "bytes": self._identity[0], "sha256": checksum}

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise FileFormatError(f"input={str(self.path)!r} cannot be read: {error.strerror or error}.") from error
        return status.st_size, status.st_mtime_ns, status.st_ino


def cluster_sizes(labels: np.ndarray, n_clusters: int) -> dict[str, float]:
    """Return a summary of the cluster sizes: smallest, median, largest, and the number of empty clusters."""
    sizes = np.bincount(labels, minlength=n_clusters)
    return {
        "min": int(sizes.min()),
        "median": float(np.median(sizes)),
        "max": int(sizes.max()),
        "n_empty": int((sizes == 0).sum()),
    }


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Add versions, environment and the checksum of every file in ``folder`` to ``content``, and write it there."""
    outputs = {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in sorted(folder.iterdir())}
    manifest = {"format": _FORMAT, **content, **environment(), "outputs": outputs}
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / MANIFEST, (text + "\n").encode())
