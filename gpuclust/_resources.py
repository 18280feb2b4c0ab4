"""Files that travel with the package: the CUDA sources in `kernels/`."""

from __future__ import annotations

from pathlib import Path

from gpuclust.errors import ResourceError

__all__ = ["kernels_folder"]


def kernels_folder() -> Path:
    """Return the folder of the CUDA sources.

    Returns
    -------
    pathlib.Path
        `gpuclust/kernels` of an installed wheel, or `kernels` at the top of a checkout.

    Raises
    ------
    ResourceError
        Neither is there: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "kernels", package.parent / "kernels"):
        if (folder / "README.md").is_file():  # beside an installed package, `kernels` may be somebody else's
            return folder
    raise ResourceError(f"No kernels folder in or beside {package}: this installation of gpuclust is incomplete.")
