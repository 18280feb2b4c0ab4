"""Images as rows: from folders of files and from arrays, whole and in chunks, and every way they can be wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gpuclust import Autoencoder
from gpuclust.errors import DataError, DataTypeError, FileFormatError, MissingDependencyError, ParameterError
from gpuclust.sources import as_images, as_source
from gpuclust.sources.images import IMAGE_SUFFIXES
from tests.sources.helpers import check_rows

RANDOM = np.random.default_rng(0)


def saved(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    """Write pixels, uint8, as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels.astype(np.uint8))
    (image if mode is None else image.convert(mode)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of five grey images of 3 x 4, two of them in a sub-folder, beside what is no image."""
    for number, name in enumerate(["b.png", "a.PNG", "c/z.bmp", "c/y.png", "d.tif"]):
        saved(tmp_path / "images" / name, np.arange(12).reshape(3, 4) + 20 * number)
    (tmp_path / "images" / "readme.txt").write_text("no image")
    saved(tmp_path / "images" / ".hidden" / "x.png", np.zeros((9, 9)))
    saved(tmp_path / "images" / ".thumb.png", np.zeros((9, 9)))
    return tmp_path / "images"


ROWS = np.float32([[number * 20 + at for at in range(12)] for number in (1, 0, 3, 2, 4)])


def test_five_images_by_hand(folder: Path) -> None:
    source = as_images(folder)
    assert source.row_names == ["a.PNG", "b.png", "c/y.png", "c/z.bmp", "d.tif"]
    assert source.row_shape == (3, 4)
    assert source.description == "images (5, 3, 4) images"
    assert source.resident
    check_rows(source, ROWS)
    check_rows(as_source(folder), ROWS)
    for options in ({"chunk_rows": 2}, {"max_memory": 8 * 48 * 2 - 1}, {"max_memory": 1}):
        streamed = as_images(folder, **options)  # type: ignore[arg-type]
        assert not streamed.resident
        assert [len(chunk.rows) for chunk in streamed.chunks()] == ([1] * 5 if "max_memory" in options else [2, 2, 1])
        assert (streamed.row_names, streamed.row_shape) == (source.row_names, source.row_shape)
        check_rows(streamed, ROWS)


def test_channels_lie_side_by_side(tmp_path: Path) -> None:
    pixels = np.arange(24).reshape(2, 4, 3)
    saved(tmp_path / "x" / "a.png", pixels)
    source = as_images(tmp_path / "x")
    assert source.row_shape == (2, 4, 3)
    check_rows(source, np.float32([np.arange(24)]))
    # Luma of ITU-R 601, as Pillow has it.
    grey = (19595 * pixels[..., 0] + 38470 * pixels[..., 1] + 7471 * pixels[..., 2] + 0x8000) >> 16
    only = as_images(tmp_path / "x", color=False)
    assert only.row_shape == (2, 4)
    check_rows(only, grey.reshape(1, 8).astype(np.float32))


def test_one_image_in_colour_makes_all_of_them_so(folder: Path) -> None:
    saved(folder / "0.png", RANDOM.integers(0, 256, (3, 4, 3)))
    source = as_images(folder)
    assert source.row_shape == (3, 4, 3)
    grey = source.take(np.arange(1, 6)).reshape(5, 12, 3)
    np.testing.assert_array_equal(grey, np.repeat(ROWS[:, :, None], 3, axis=2))
    assert as_images(folder, color=False).n_features == 12
    assert as_images(folder, color=True).n_features == 36


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_kinds_of_pixels(tmp_path: Path, mode: str) -> None:
    """What is black and white is 0 and 255 however it is stored."""
    saved(tmp_path / "x" / "a.tif" if mode == "CMYK" else tmp_path / "x" / "a.png", np.eye(4) * 255, mode)
    source = as_images(tmp_path / "x")
    assert source.row_shape == ((4, 4) if mode in ("1", "L", "LA") else (4, 4, 3))
    rows = source.take(np.array([0])).reshape(16, -1)
    np.testing.assert_array_equal(rows, np.repeat(np.eye(4, dtype=np.float32).reshape(16, 1) * 255, rows.shape[1], 1))


def test_half_the_width_by_hand(tmp_path: Path) -> None:
    """Weights of four columns are 1, 3, 3, 1 eighths, and of the three at an edge 3, 3, 1 sevenths."""
    saved(tmp_path / "x" / "a.png", np.tile(np.arange(8) * 16, (2, 1)))
    (row,) = as_images(tmp_path / "x", resize=(2, 4)).take(np.array([0]))
    np.testing.assert_array_equal(row.reshape(2, 4), [[11, 40, 72, 101]] * 2)


def test_resized_images(folder: Path) -> None:
    """Means of neighbouring pixels, weighted by a triangle; an image that has the size stays as it is."""
    saved(folder / "e.png", np.full((6, 8), 100))
    saved(folder / "f.png", np.arange(6).reshape(2, 3) * 10)
    with pytest.raises(DataError, match=r"a\.PNG has 3 x 4 pixels and .*e\.png 6 x 8; resize=\(height, width\)"):
        as_images(folder)
    source = as_images(folder, resize=(2, 3), chunk_rows=3)
    assert (source.row_shape, source.n_rows) == ((2, 3), 7)
    rows = source.take(np.arange(7))
    np.testing.assert_array_equal(rows[5], np.full(6, 100))
    np.testing.assert_array_equal(rows[6], np.arange(6) * 10)
    check_rows(source, rows)
    for resize in [(0, 3), (2.0, 3), (2,)]:
        with pytest.raises(ParameterError, match="resize="):
            as_images(folder, resize=resize)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, ">i2"])
@pytest.mark.parametrize("shape", [(7, 3, 4), (7, 2, 3, 3), (7, 1, 1)])
def test_arrays_of_images(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    images = RANDOM.integers(0, 100, shape).astype(dtype)
    np.save(tmp_path / "x.npy", images)
    rows = images.reshape(7, -1).astype(np.float32 if dtype in (np.uint8, np.float32) else np.float64)
    for options in ({}, {"chunk_rows": 3}):
        source = as_images(tmp_path / "x.npy", **options)  # type: ignore[arg-type]
        assert (source.row_shape, source.row_names) == (shape[1:], None)
        assert source.description == f"x.npy {shape} {np.dtype(dtype)}"
        check_rows(source, rows)
    with pytest.raises(DataError, match="dim <= 2 is required"):
        as_source(tmp_path / "x.npy")


def test_rows_that_are_no_images_are_what_they_were(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    source = as_images(tmp_path / "x.npy")
    assert (source.row_shape, source.row_names) == (None, None)
    check_rows(source, ROWS)
    for options in ({"resize": (2, 2)}, {"color": True}):
        with pytest.raises(ParameterError, match="is for a folder of images"):
            as_images(tmp_path / "x.npy", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 3, 4, 5, 6)), DataError, "images are n x height x width"),
        (np.zeros((0, 3, 4)), DataError, "0 sample"),
        (np.zeros((2, 0, 4)), DataError, "0 feature"),
        (np.asfortranarray(np.zeros((2, 3, 4))), FileFormatError, "Fortran order"),
        (np.zeros((2, 3, 4), complex), DataTypeError, "omplex"),
        (np.full((2, 3, 4), None), DataTypeError, "Python objects"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, images: np.ndarray, error: type[Exception], message: str) -> None:
    np.save(tmp_path / "x.npy", images, allow_pickle=True)
    with pytest.raises(error, match=message):
        as_images(tmp_path / "x.npy")


def test_files_that_are_no_images(folder: Path) -> None:
    (folder / "bad.png").write_text("no image")
    with pytest.raises(FileFormatError, match=r"bad\.png is not an image that Pillow can read"):
        as_images(folder)
    whole = saved(folder / "bad.png", RANDOM.integers(0, 256, (3, 4))).read_bytes()
    (folder / "bad.png").write_bytes(whole[:-25])  # the head is whole
    with pytest.raises(FileFormatError, match=r"bad\.png cannot be read as an image"):
        as_images(folder).take(np.arange(6))
    (folder / "bad.png").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"bad\.png is empty"):
        as_images(folder)
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(folder / "bad.png")
    with pytest.raises(DataTypeError, match=r"bad\.png has pixels of mode 'I;16'"):
        as_images(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it skips
@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_no_damage_crashes(tmp_path: Path, suffix: str) -> None:
    """Bytes of a file changed at random: pixels, or an error that names the file."""
    random = np.random.default_rng(0)
    path = saved(tmp_path / f"a{suffix}", random.integers(0, 256, (5, 6)))
    content, errors = path.read_bytes(), []
    for _ in range(30):
        changed = bytearray(content)
        for at in random.integers(0, len(content), 3):
            changed[at] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        try:
            as_images(tmp_path, chunk_rows=1).take(np.array([0]))
        except (FileFormatError, DataTypeError) as error:
            errors.append(str(error))
    assert errors
    assert all(str(path) in error for error in errors)


def test_a_file_that_changes(folder: Path) -> None:
    source = as_images(folder, chunk_rows=1)
    saved(folder / "b.png", RANDOM.integers(0, 256, (30, 40)))
    with pytest.raises(FileFormatError, match=r"b\.png changed while it was in use"):
        list(source.chunks())
    (folder / "b.png").unlink()
    with pytest.raises(FileFormatError, match=r"b\.png cannot be read: No such file"):
        list(source.chunks())


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gpuclust\[io\]'"):
        as_images(folder)


def test_an_empty_folder(tmp_path: Path) -> None:
    for read in (as_images, as_source):
        with pytest.raises(FileFormatError, match="is a directory without images"):
            read(tmp_path)


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3)])
@pytest.mark.parametrize("kind", [np.asarray, np.asfortranarray, torch.from_numpy])
def test_images_in_memory(shape: tuple[int, ...], kind: Any) -> None:
    source = as_images(kind(ROWS.reshape(5, *shape)))
    assert source.row_shape == shape
    check_rows(source, ROWS)
    assert as_images(source) is source


def test_rows_in_memory_that_are_no_images() -> None:
    assert as_images(ROWS).row_shape is None
    assert as_images(ROWS.tolist()).row_shape is None
    for shape in [(2, 2, 3, 5, 1), (60,)]:
        with pytest.raises(DataError, match=r"dim 5|1D"):
            as_images(ROWS.reshape(shape))
    with pytest.raises(DataError, match="0 sample"):
        as_images(np.empty((0, 3, 4), np.float32))
    with pytest.raises(ParameterError, match=r"resize=.* is for a folder of images, which a ndarray is not"):
        as_images(ROWS, resize=(3, 4))


def test_a_convolutional_network_takes_a_folder(folder: Path) -> None:
    source = as_images(folder)
    architecture = {"kind": "conv", "widths": (2,), "shape": source.row_shape}
    model = Autoencoder(2, architecture=architecture, epochs=1, random_state=0).fit(folder)
    np.testing.assert_array_equal(model.transform(folder), model.transform(ROWS))
