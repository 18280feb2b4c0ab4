"""All-or-nothing outputs: what is written becomes visible by one rename, or not at all.

A result is written into a temporary sibling of its final place, ``.NAME.gpuclust-partial-XXXX``, flushed to the disk,
and renamed. The writer holds a lock (``flock``) on that sibling for as long as it lives; the kernel releases it even
after SIGKILL. So the next run into the same place can tell the leavings of a dead run, which it removes, from the work
of a living one, which it leaves alone.

A folder that replaces an older one (``force=True``) first moves the older one aside, to
``.NAME.gpuclust-replaced-XXXX``. If a run dies between the two renames, the next run into the same place moves it back:
nothing is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from glob import escape
from pathlib import Path

from gpuclust.errors import OutputError, ParameterError
from gpuclust.jobs.files import write_errors

__all__ = ["MANIFEST", "output_file", "output_folder"]

MANIFEST = "manifest.json"
_PARTIAL = "gpuclust-partial"
_REPLACED = "gpuclust-replaced"


def output_folder(path: str | os.PathLike[str], *, force: bool = False) -> AbstractContextManager[Path]:
    """Yield an empty folder that becomes ``path`` when the block ends well, and vanishes when it does not.

    Parameters
    ----------
    path : path
        The folder to create. Its parent must exist.
    force : bool
        Replace an existing ``path``, provided that it is empty or holds only what gpuclust wrote there.

    Raises
    ------
    ParameterError
        ``path`` exists and ``force`` is False, or it holds files that gpuclust did not write.
    OutputError
        The folder cannot be created or moved into place: parent missing, no permission, disk full.
    """
    return _staged(path, force, _check_folder, Path.mkdir, _replace_folder)


def output_file(path: str | os.PathLike[str], *, force: bool = True) -> AbstractContextManager[Path]:
    """Yield a file that becomes ``path`` when the block ends well, and vanishes when it does not.

    Raises
    ------
    ParameterError
        ``path`` exists and ``force`` is False, or ``path`` is a folder.
    OutputError
        The file cannot be created or moved into place.
    """
    return _staged(path, force, _check_file, Path.touch, os.replace)


@contextmanager
def _staged(
    path: str | os.PathLike[str],
    force: bool,
    check: Callable[[Path, bool], None],
    create: Callable[[Path], None],
    replace: Callable[[Path, Path], object],
) -> Iterator[Path]:
    """Check the place, yield a locked temporary sibling of it, and move that sibling there."""
    with write_errors(path):
        target = Path(path).resolve()
        if not target.parent.is_dir():
            raise OutputError(f"output={str(path)!r} cannot be written: {str(target.parent)!r} is not a folder.")
        _remove_leavings(target)
        check(target, force)
        partial, lock = _create_locked(target, create)
    try:
        yield partial
        with write_errors(path):
            for entry in (*(partial.iterdir() if partial.is_dir() else ()), partial):
                _flush(entry)
            check(target, force)  # again: another run may have finished in the meantime
            replace(partial, target)
            _flush(target.parent)
    finally:
        _remove(partial)  # after the rename there is nothing left to remove
        os.close(lock)


def _create_locked(target: Path, create: Callable[[Path], None]) -> tuple[Path, int]:
    while True:
        partial = target.with_name(f".{target.name}.{_PARTIAL}-{secrets.token_hex(8)}")
        create(partial)
        with suppress(FileNotFoundError):  # another run took it for leavings before it was locked: once more
            lock = os.open(partial, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: its leavings are then never removed
                fcntl.flock(lock, fcntl.LOCK_EX)
            if partial.exists():
                return partial, lock
            os.close(lock)


def _remove_leavings(target: Path) -> None:
    """Remove what dead runs into ``target`` left behind, and put back an older result that one had moved aside."""
    for entry in target.parent.glob(f".{escape(target.name)}.{_REPLACED}-*"):
        if target.exists():
            _remove(entry)
        else:
            entry.rename(target)
    for entry in target.parent.glob(f".{escape(target.name)}.{_PARTIAL}-*"):
        with suppress(FileNotFoundError):
            lock = os.open(entry, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(entry)
            except OSError:
                pass  # its writer is alive, or the file system has no locks and nobody can tell
            finally:
                os.close(lock)


def _replace_folder(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    aside = target.with_name(f".{target.name}.{_REPLACED}-{secrets.token_hex(8)}")
    target.rename(aside)
    try:
        partial.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _check_folder(target: Path, force: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ParameterError(f"output={str(target)!r} should name a folder, but a file of that name exists.")
    if not force:
        raise ParameterError(f"output={str(target)!r} exists already: choose another folder, or --force to replace it.")
    ours = _written_by_gpuclust(target)
    foreign = sorted(entry.name for entry in target.iterdir() if entry.name not in ours)
    if foreign:
        raise ParameterError(
            f"output={str(target)!r} cannot be replaced: it holds {foreign[0]!r}, which gpuclust did not write."
        )


def _check_file(target: Path, force: bool) -> None:
    if target.is_dir():
        raise ParameterError(f"output={str(target)!r} should name a file, but a folder of that name exists.")
    if target.exists() and not force:
        raise ParameterError(f"output={str(target)!r} exists already: choose another file, or --force to replace it.")


def _written_by_gpuclust(folder: Path) -> set[str]:
    """Return the names that the manifest in ``folder`` lists; the empty set without a manifest of ours."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return {MANIFEST, *manifest["outputs"]} if "gpuclust" in manifest["versions"] else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _flush(path: Path) -> None:
    """Force a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
