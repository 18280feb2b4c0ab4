"""The demo, on a corner of the photographs: the command line's job, the comparison, the pictures."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from gpuclust.errors import MissingDependencyError, OutputError
from gpuclust.jobs import demo
from gpuclust.jobs.photos import photographs, redrawn_from_patches, rows_of_patches

rich_console = pytest.importorskip("rich.console")


@pytest.fixture(scope="module")
def photos():
    """Return the two photographs that scikit-learn ships."""
    pytest.importorskip("PIL")
    return photographs()


def test_patches_of_the_photographs(photos):
    rows = np.concatenate([rows_of_patches(photo) for photo in photos])
    assert rows.shape == (133_140, 192)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert np.array_equal(rows[1].reshape(8, 8, 3), photos[0][:8, 2:10])
    assert photos.reshape(-1, 3).shape == (546_560, 3)


@pytest.mark.parametrize("shape", [(8, 8), (9, 10), (31, 40)])
def test_redrawing_untouched_patches_gives_the_photograph(shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    redrawn = redrawn_from_patches(rows_of_patches(photo), *shape)
    assert np.array_equal(redrawn, photo[: redrawn.shape[0], : redrawn.shape[1]])
    assert min(redrawn.shape[0] - shape[0], redrawn.shape[1] - shape[1]) >= -1


def test_run(tmp_path, photos, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(demo, "photographs", lambda: photos[:, 200:264, 100:196])
    text = io.StringIO()
    folder = tmp_path / "demo"
    for _ in range(2):  # the second finds the results of the first
        comparisons = demo.run_demo(str(folder), console=rich_console.Console(file=text, width=80))
    for c in comparisons:
        assert c.seconds > 0
        assert c.results["n_iter"] == json.loads((c.folder / "manifest.json").read_text())["results"]["n_iter"]
        assert np.load(c.folder / "labels.npy").shape == (c.n_rows,)
        assert c.results["inertia"] == pytest.approx(c.peer_inertia, rel=0.05)
    assert [(c.name, c.n_features, c.n_clusters) for c in comparisons] == [("pixels", 3, 64), ("patches", 192, 256)]
    for number in (1, 2):
        with image.open(folder / f"photo-{number}.png") as picture:
            assert picture.size == (3 * 96, 64)
        assert str(folder / f"photo-{number}.png") in text.getvalue()
    assert "gpuclust kmeans" in text.getvalue()
    assert "…" not in text.getvalue(), "a column of a table does not fit 80 characters"


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gpuclust\[demo\]'"):
        demo.run_demo(str(tmp_path / "demo"))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path, photos):
    with pytest.raises(OutputError, match="cannot be written"):
        demo.run_demo(str(tmp_path / "no" / "demo"))
