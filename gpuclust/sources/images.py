"""Images: a folder of them, or a ``.npy`` array of n x height x width (x channels), one flat row for each.

A row holds the values of an image line by line, the channels of a pixel side by side. Files are read with Pillow (extra
``io``) as they are stored, values 0 to 255: transparency, orientation tags and further frames do not count.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError
from typing import Any

import numpy as np

from gpuclust.errors import (
    DataError,
    DataTypeError,
    FileFormatError,
    GpuclustError,
    MissingDependencyError,
    ParameterError,
)
from gpuclust.sources.base import Chunk, Source
from gpuclust.sources.buffered import BufferedSource
from gpuclust.sources.chunking import chunk_bounds, rows_per_chunk
from gpuclust.sources.files import InputFile
from gpuclust.sources.npy import read_header
from gpuclust.sources.rowfile import Layout, RowFileSource
from gpuclust.validation import check_matrix_shape, check_row_indices

__all__ = ["IMAGE_SUFFIXES", "ImageFolderSource", "image_array_source", "is_image_array"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of the files that count as images."""

#: Pillow's names of the kinds of pixels that are read.
_GREY, _COLOR = {"1", "L", "LA"}, {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


class ImageFolderSource(BufferedSource):
    """The images of a folder, decoded chunk by chunk.

    Parameters
    ----------
    folder : Path
    resize : tuple of int, optional
        (height, width) to which images are brought, bilinear, without aliasing. Without it, all must have one size.
    color : bool, optional
        True: three channels, red, green and blue. False: one, of grey values. Without it, one if all images are grey.

    Raises
    ------
    MissingDependencyError
        Pillow is not installed.
    FileFormatError
        A folder without images, or a file that cannot be read as one: now, or when its turn comes.
    DataError
        Images of several sizes.
    DataTypeError
        An image with more than 8 bits a channel.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resize: tuple[int, int] | None = None,
        color: bool | None = None,
        max_memory: int | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        if resize is not None and not (len(resize) == 2 and all(isinstance(n, int) and n >= 1 for n in resize)):
            raise ParameterError(f"resize={resize!r} should be (height, width), integers >= 1.")
        self.files = [InputFile.inspect(path) for path in _image_files(folder)]
        if not self.files:
            raise FileFormatError(
                f"{folder} is a directory without images ({', '.join(IMAGE_SUFFIXES)}); expected one file, or a folder "
                "of images."
            )
        self.row_names = [file.path.relative_to(folder).as_posix() for file in self.files]
        self._resize = None if resize is None else (resize[0], resize[1])
        size, grey = self._look()
        self._mode = "RGB" if color or (color is None and not grey) else "L"
        self.row_shape = (*size, 3) if self._mode == "RGB" else size
        self.n_rows, self.n_features = len(self.files), math.prod(self.row_shape)
        self.dtype = np.dtype(np.float32)
        self.chunk_rows = rows_per_chunk(4 * self.n_features, chunk_rows=chunk_rows, max_memory=max_memory)
        self.description = f"{folder.name or folder} {(self.n_rows, *self.row_shape)} images"

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = check_row_indices(indices, self.n_rows)
        out = np.empty((len(indices), self.n_features), self.dtype)
        for row, number in zip(out, indices.tolist(), strict=True):
            self._decode(self.files[number], row)
        return out

    def _read(self, start: int, stop: int, buffers: Iterator[np.ndarray]) -> Generator[Chunk, None, None]:
        for first, end in chunk_bounds(start, stop, self.chunk_rows):
            rows = next(buffers)[: end - first]
            for row, file in zip(rows, self.files[first:end], strict=True):
                self._decode(file, row)
            yield Chunk(first, rows)

    def _look(self) -> tuple[tuple[int, int], bool]:
        """Size of the images, and whether all are grey, from the heads of the files."""
        sizes: dict[tuple[int, int], Path] = {}
        grey = True
        for file in self.files:
            with _opened(file) as image:
                if image.mode not in _GREY | _COLOR:
                    raise DataTypeError(
                        f"{file.path} has pixels of mode {image.mode!r}; images of 8 bits a channel are read. Put "
                        "others into an .npy array, n x height x width (x channels)."
                    )
                grey = grey and image.mode in _GREY
                sizes.setdefault((image.height, image.width), file.path)
        if self._resize is None and len(sizes) > 1:
            (one, first), (other, second) = list(sizes.items())[:2]
            raise DataError(
                f"images should have one size, but {first} has {one[0]} x {one[1]} pixels and {second} "
                f"{other[0]} x {other[1]}; resize=(height, width) brings all to one."
            )
        return self._resize or next(iter(sizes)), grey

    def _decode(self, file: InputFile, row: np.ndarray) -> None:
        with _opened(file) as image:
            pixels = image.convert(self._mode)
            if self._resize is not None:
                pixels = pixels.resize(self._resize[::-1], _pillow().Resampling.BILINEAR)
            array = np.asarray(pixels)
        if array.shape != self.row_shape:
            raise FileFormatError(f"{file.path} changed while it was in use.")
        row[:] = array.reshape(-1)


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    """Open a file as an image of Pillow's; errors about it name it."""
    pillow = _pillow()
    with file.open() as opened:
        try:
            with pillow.open(opened) as image:
                yield image
        except GpuclustError:
            raise
        except pillow.UnidentifiedImageError as error:
            raise FileFormatError(f"{file.path} is not an image that Pillow can read.") from error
        except (OSError, SyntaxError, ValueError, EOFError, StructError, pillow.DecompressionBombError) as error:
            raise FileFormatError(f"{file.path} cannot be read as an image: {error}.") from error


class _ImageArraySource(RowFileSource):
    """A ``.npy`` array of images, row after row."""

    def __init__(self, file: InputFile, layout: Layout, row_shape: tuple[int, ...], **options: int | None) -> None:
        super().__init__(file, layout, **options)
        self.row_shape = row_shape
        self.description = f"{file.path.name} {(self.n_rows, *row_shape)} {layout.dtype}"


def is_image_array(path: Path) -> bool:
    """Whether a ``.npy`` file has more than two axes."""
    return len(read_header(InputFile.inspect(path))[0]) > 2


def image_array_source(file: InputFile, *, max_memory: int | None = None, chunk_rows: int | None = None) -> Source:
    """The source of a ``.npy`` file that holds images, n x height x width or n x height x width x channels.

    Raises
    ------
    FileFormatError
        Not a ``.npy`` file, a damaged one, or one in Fortran order.
    DataError, DataTypeError
        Another number of axes, no images, or a dtype that is not numeric.
    """
    shape, fortran_order, dtype, header_bytes = read_header(file)
    if len(shape) not in (3, 4):
        raise DataError(
            f"{file.path} has the shape {shape}; images are n x height x width or n x height x width x channels."
        )
    if fortran_order:
        raise FileFormatError(f"{file.path} is in Fortran order; save images with np.ascontiguousarray.")
    n_rows, n_features = check_matrix_shape((shape[0], math.prod(shape[1:])))
    layout = Layout(n_rows, n_features, dtype, header_bytes)
    return _ImageArraySource(file, layout, shape[1:], max_memory=max_memory, chunk_rows=chunk_rows)


def _image_files(folder: Path) -> list[Path]:
    """The images in a folder and its sub-folders, sorted by their path; hidden files and folders are left out."""
    found = []
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = (name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)


def _unreadable(error: OSError) -> None:
    raise FileFormatError(f"{error.filename} cannot be read: {error.strerror or error}.") from error


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("reading images needs Pillow: pip install 'gpuclust[io]'.") from error
    return Image
