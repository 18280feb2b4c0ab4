"""The demo's photographs: as rows to cluster, and back to pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpuclust.errors import MissingDependencyError
from gpuclust.jobs.files import write_errors
from gpuclust.jobs.outputs import output_file

__all__ = ["PATCH", "STEP", "draw_beside", "photographs", "redrawn_from_patches", "rows_of_patches"]

PATCH, STEP = 8, 2  # pixels: side of a patch, distance between patches


def photographs() -> np.ndarray:
    """Return scikit-learn's two sample photographs, uint8 of shape (2, 427, 640, 3)."""
    try:
        import PIL  # noqa: F401  (scikit-learn reads the JPEG files with it)
    except ImportError as error:
        raise MissingDependencyError("the demo's photographs need Pillow: pip install 'gpuclust[demo]'.") from error
    from sklearn.datasets import load_sample_images

    return np.stack(load_sample_images().images)


def rows_of_patches(photo: np.ndarray) -> np.ndarray:
    """Return the patches of ``photo`` (height, width, 3), STEP pixels apart, as float32 rows (n, PATCH * PATCH * 3)."""
    windows = np.lib.stride_tricks.sliding_window_view(photo, (PATCH, PATCH), axis=(0, 1))[::STEP, ::STEP]
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, PATCH * PATCH * 3).astype(np.float32)


def redrawn_from_patches(patches: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the picture, float64, in which every pixel is the mean of the patches that cover it.

    ``patches`` are the rows that `rows_of_patches` makes of a photograph (height, width, 3). A last row or column that
    no patch covers is left out of the picture.
    """
    down, across = (height - PATCH) // STEP + 1, (width - PATCH) // STEP + 1
    grid = patches.reshape(down, across, PATCH, PATCH, 3)
    shape = STEP * (down - 1) + PATCH, STEP * (across - 1) + PATCH
    total, count = np.zeros((*shape, 3)), np.zeros((*shape, 1))
    for y in range(PATCH):
        for x in range(PATCH):
            place = np.s_[y : y + STEP * down : STEP, x : x + STEP * across : STEP]
            total[place] += grid[:, :, y, x]
            count[place] += 1
    return total / count


def draw_beside(panels: list[np.ndarray], path: Path) -> None:
    """Write pictures (height, width, 3), values 0 to 255, side by side as a PNG file, cut to the smallest of them."""
    from PIL import Image

    height, width = (min(panel.shape[axis] for panel in panels) for axis in (0, 1))
    strip = np.concatenate([panel[:height, :width] for panel in panels], axis=1)
    image = Image.fromarray(np.clip(np.rint(strip), 0, 255).astype(np.uint8))
    with output_file(path) as partial, write_errors(path):
        image.save(partial, format="PNG")
