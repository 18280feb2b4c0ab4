"""What all file sources share: opening, a check that the file did not change, reading at an offset."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from gpuclust.errors import FileFormatError

__all__ = ["InputFile", "read_exactly"]

_READ_BYTES = 2**30  # one call; some systems refuse more than 2**31 - 1


class InputFile(NamedTuple):
    """A file as it was when it was first looked at: each pass must find the same size and modification time."""

    path: Path
    size: int
    modified_ns: int

    @classmethod
    def inspect(cls, path: Path) -> InputFile:
        """Look at a file; FileFormatError if it is missing, not a regular file, unreadable or empty."""
        with _explained(path):
            if not path.exists():
                raise FileFormatError(f"{path} does not exist.")
            if not path.is_file():
                raise FileFormatError(f"{path} is not a regular file.")
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
        if status.st_size == 0:
            raise FileFormatError(f"{path} is empty (0 bytes).")
        return cls(path, status.st_size, status.st_mtime_ns)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the unchanged file for unbuffered reading; checked again when it was read without an error.

        Raises
        ------
        FileFormatError
            The file is gone, unreadable or was changed.
        """
        with _explained(self.path), self.path.open("rb", buffering=0) as file:
            self._check_unchanged(file)
            yield file
            self._check_unchanged(file)

    def _check_unchanged(self, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
            raise FileFormatError(
                f"{self.path} changed while it was in use: it had {self.size} bytes and now has {status.st_size}, "
                f"modification times {self.modified_ns} and {status.st_mtime_ns} ns."
            )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an operating system error into a FileFormatError that names the file and the cause."""
    try:
        yield
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_exactly(file: BinaryIO, offset: int, out: np.ndarray) -> None:
    """Fill a C-contiguous array with the bytes of an unbuffered file at ``offset``.

    Plain reads into memory that is reused, not a memory map: mapped pages would count as resident memory.

    Raises
    ------
    FileFormatError
        The file ends before the array is full.
    """
    view = memoryview(out.reshape(-1).view(np.uint8).data)
    file.seek(offset)
    filled = 0
    while filled < len(view):
        count = file.readinto(view[filled : filled + _READ_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise FileFormatError(
                f"{file.name} is truncated: {len(view)} bytes expected at offset {offset}, {filled} found."
            )
        filled += count
