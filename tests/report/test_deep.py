"""Pictures of codes, rows, losses and clusters: what is drawn, and the files of all of them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import AgglomerativeClustering

from gpuclust import Autoencoder, DeepClustering, KMeans
from gpuclust.deep.history import Epoch, History
from gpuclust.errors import DataError, MissingDependencyError, OutputError, ParameterError
from gpuclust.report import (
    Look,
    pictures,
    plot_attributions,
    plot_centers,
    plot_clusters,
    plot_examples,
    plot_losses,
    plot_reconstructions,
)
from gpuclust.report.figures import CLUSTERS, NOISE, cluster_color
from gpuclust.sources import as_source

colors = pytest.importorskip("matplotlib.colors")
SMALL = {"epochs": 2, "batch_size": 16, "random_state": 0}


@pytest.fixture
def figure():
    return pytest.importorskip("matplotlib.figure").Figure()


def visible(figure):
    return [axes for axes in figure.axes if axes.axison]


def history(terms, validation=None):
    """A history of these terms: lists of equal length, by name."""
    n = len(next(iter(terms.values())))
    return History(
        [
            Epoch(
                at, n, {name: values[at] for name, values in terms.items()}, validation and validation[at], 1e-3, 1, 1
            )
            for at in range(n)
        ]
    )


def groups(n=60, d=6):
    random = np.random.default_rng(0)
    return (4 * np.eye(3, d)[np.arange(n) % 3] + 0.3 * random.normal(size=(n, d))).astype(np.float32)


# -- losses --------------------------------------------------------------------------------------------------------


def test_losses_of_two_stages(figure):
    first = history({"reconstruction": [2.0, 1.0, 0.5]}, validation=[2.5, 1.2, 1.3])
    second = history({"reconstruction": [0.5, 0.4], "clustering": [0.2, 0.1]})
    plot_losses({"pretraining": first, "refinement": second, "none": History()}, figure)
    left, right = figure.axes
    assert left.get_title(loc="left").startswith("pretraining")
    drawn = {line.get_label(): list(line.get_ydata()) for line in left.lines[:2]}
    assert drawn == {"reconstruction": [2.0, 1.0, 0.5], "held out": [2.5, 1.2, 1.3]}
    assert list(left.lines[0].get_xdata()) == [1, 2, 3]
    assert set(left.lines[2].get_xdata()) == {2}  # the best epoch
    drawn = {line.get_label(): list(line.get_ydata()) for line in right.lines}
    assert drawn == {"sum": pytest.approx([0.7, 0.5]), "reconstruction": [0.5, 0.4], "clustering": [0.2, 0.1]}


@pytest.mark.parametrize(("values", "scale"), [([9.0, 1.0], "linear"), ([90.0, 1.0], "log"), ([90.0, -1.0], "linear")])
def test_a_logarithmic_axis_where_it_helps(figure, values, scale):
    plot_losses({"training": history({"elbo": values})}, figure)
    assert figure.axes[0].get_yscale() == scale


def test_no_epoch(figure):
    with pytest.raises(ParameterError, match="at least one epoch"):
        plot_losses({"training": History()}, figure)


# -- points --------------------------------------------------------------------------------------------------------


def drawn_points(axes):
    (points,) = axes.collections
    return np.asarray(points.get_offsets()), [colors.to_hex(color) for color in points.get_facecolors()]


def test_points_in_the_plane_are_drawn_as_they_are(figure):
    codes, labels = np.array([[0.0, 1], [2, 3], [4, 5], [6, 7]]), np.array([1, -1, 0, 1])
    plot_clusters(codes, figure, labels=labels, centers=np.array([[4.0, 5], [3, 40]]), title="these")
    (axes,) = figure.axes
    places, faces = drawn_points(axes)
    np.testing.assert_array_equal(places, codes[[1, 0, 2, 3]])  # noise beneath
    assert faces == [NOISE, CLUSTERS[1], CLUSTERS[0], CLUSTERS[1]]
    assert {text.get_text(): tuple(text.xy) for text in axes.texts} == {"0": (4, 5), "1": (3, 40)}
    assert axes.get_ylim()[1] > 40  # a centre far from its members is seen too
    assert axes.get_title(loc="left") == "these"


def test_wide_codes_by_principal_components(figure):
    """Turned in space, a flat cloud lies flat again: distances in the plane are those in space."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(5, 5)))[0]
    flat = random.normal(size=(40, 2)) * [5, 1]
    codes = np.pad(flat, ((0, 0), (0, 3))) @ turn + 7
    plot_clusters(codes, figure, centers=codes[:2])
    (axes,) = figure.axes
    places, _ = drawn_points(axes)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.testing.assert_allclose(apart, np.linalg.norm(codes[:, None] - codes, axis=2), atol=1e-9)
    assert places[:, 0].var() > places[:, 1].var()
    np.testing.assert_allclose([text.xy for text in axes.texts], places[:2])
    assert "100% of the variance" in axes.get_xlabel()


def test_codes_of_one_number(figure):
    plot_clusters(np.arange(5.0)[:, None], figure, labels=np.arange(5), centers=np.array([[2.0]]))
    places, faces = drawn_points(figure.axes[0])
    np.testing.assert_array_equal(places[:, 0], np.arange(5))
    assert faces == list(CLUSTERS[:5])
    assert tuple(figure.axes[0].texts[0].xy) == (2, 0)


@pytest.mark.slow
def test_umap_of_codes(figure):
    pytest.importorskip("umap")
    codes, labels = groups(n=45, d=4), np.arange(45) % 3
    plot_clusters(codes, figure, labels=labels, centers=np.zeros((4, 4)), projection="umap")
    (axes,) = figure.axes
    places, _ = drawn_points(axes)
    assert places.shape == (45, 2)
    found = KMeans(3, n_init=3, random_state=0).fit_predict(places)
    assert len({(a, b) for a, b in zip(found, labels, strict=True)}) == 3  # groups stay together
    assert axes.get_xlabel() == "UMAP 1"
    marked = {int(text.get_text()): text.xy for text in axes.texts}
    assert set(marked) == {0, 1, 2}  # cluster 3 has no members
    np.testing.assert_allclose(marked[1], places[labels == 1].mean(0), rtol=1e-5)


def test_of_many_points_a_sample_that_the_title_tells(figure):
    codes = np.random.default_rng(0).normal(size=(1000, 2))
    plot_clusters(codes, figure, labels=np.zeros(1000, int), sample_size=100)
    places, faces = drawn_points(figure.axes[0])
    assert len(places) == len(faces) == 100
    assert {tuple(place) for place in places} <= {tuple(code) for code in codes}
    assert "a sample of 100 of 1,000" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"points": np.zeros(3)}, DataError),
        ({"labels": np.zeros(3, int)}, DataError),
        ({"projection": "tsne"}, ParameterError),
    ],
)
def test_points_that_are_refused(figure, given, error):
    given = {"points": np.zeros((4, 2)), **given}
    with pytest.raises(error):
        plot_clusters(given.pop("points"), figure, **given)


def test_colours_of_twenty_clusters_can_be_told_apart():
    """By their distance in the space of CIE L*a*b*, from each other, from noise and from the paper."""
    shown = [*map(cluster_color, range(20)), cluster_color(-1), "#ffffff"]
    linear = np.array([colors.to_rgb(color) for color in shown])
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(linear @ to_xyz.T / [0.9505, 1, 1.089]).T
    lab = np.column_stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])
    apart = np.linalg.norm(lab[:, None] - lab, axis=2) + 100 * np.eye(len(lab))
    assert apart.min() > 17  # 2.3 is just noticeable
    assert cluster_color(20) == cluster_color(0)


# -- rows ----------------------------------------------------------------------------------------------------------


def test_images_side_by_side():
    rows = np.arange(8.0).reshape(2, 4)
    strip = Look((2, 2)).strip(rows)
    np.testing.assert_array_equal(strip, [[0, 1, np.nan, 4, 5], [2, 3, np.nan, 6, 7]])
    colour = Look((1, 2, 3)).strip(np.arange(6.0)[None])
    np.testing.assert_array_equal(colour, np.arange(6).reshape(1, 2, 3))


def test_reconstructions_as_images(figure):
    rows, decoded = np.random.default_rng(0).random((2, 12, 6))
    plot_reconstructions(rows, decoded, figure, Look((2, 3)))
    assert [axes.get_ylabel() for axes in figure.axes] == ["input", "decoded"] * 2
    shown = figure.axes[3].images[0].get_array()  # of the second line: decoded rows 10 and 11
    low, high = rows.min(), rows.max()
    np.testing.assert_allclose(shown[:, :3], ((decoded[10] - low) / (high - low)).clip(0, 1).reshape(2, 3))
    assert shown.shape == (2, 2 * 3 + 1)


def test_reconstructions_as_profiles(figure):
    rows, decoded = np.random.default_rng(0).random((2, 6, 5))
    plot_reconstructions(rows, decoded, figure, Look(names=list("abcde")))
    panels = visible(figure)
    assert len(panels) == 6
    for axes, row, back in zip(panels, rows, decoded, strict=True):
        assert [line.get_ydata().tolist() for line in axes.lines] == [row.tolist(), back.tolist()]
    assert [text.get_text() for text in panels[-1].get_xticklabels()] == list("abcde")


def test_sequences_have_a_line_for_each_channel(figure):
    rows = np.arange(12.0).reshape(2, 6)
    plot_reconstructions(rows, rows + 1, figure, Look((3, 2), sequence=True))
    lines = [line.get_ydata().tolist() for line in visible(figure)[1].lines]
    assert lines == [[6, 8, 10], [7, 9, 11], [7, 9, 11], [8, 10, 12]]


def test_centers_with_their_sizes(figure):
    centers, mean = np.array([[0.0, 1], [2, 3], [4, 5]]), np.array([2.0, 2])
    plot_centers(centers, [5, 1000, 7], figure, mean=mean)
    panels = visible(figure)
    assert [axes.get_title(loc="left") for axes in panels] == ["0: 5 rows", "1: 1,000 rows", "2: 7 rows"]
    for axes, center in zip(panels, centers, strict=True):
        assert [line.get_ydata().tolist() for line in axes.lines] == [mean.tolist(), center.tolist()]
    figure.clear()
    plot_centers(centers, [5, 1000, 7], figure, Look((1, 2)))
    np.testing.assert_allclose(visible(figure)[1].images[0].get_array(), [[0.4, 0.6]])


def test_of_many_clusters_the_largest(figure):
    sizes = np.arange(50) + 1
    plot_centers(np.random.default_rng(0).random((50, 2)), sizes.tolist(), figure)
    assert [axes.get_title(loc="left") for axes in visible(figure)] == [f"{at}: {at + 1} rows" for at in range(10, 50)]
    assert "the 40 largest of 50 clusters" in figure.get_suptitle()


def test_examples_beside_their_centre(figure):
    centers, examples = np.array([[0.0, 1], [2, 3]]), [np.array([[0.0, 1], [1, 1]]), np.empty((0, 2))]
    plot_examples(examples, centers, [2, 0], figure, Look((2, 1)))
    first, second = (axes.images[0].get_array().filled(-1) for axes in visible(figure))
    np.testing.assert_allclose(first, np.array([[0, 3, 0, 3, 1], [1, 3, 1, 3, 1]]) / 3)
    np.testing.assert_allclose(second, np.array([[2, 3, 3, 3, 3], [3, 3, 3, 3, 3]]) / 3)  # gaps are white
    figure.clear()
    plot_examples(examples, centers, [2, 0], figure)
    assert [len(axes.lines) for axes in visible(figure)] == [3, 1]


def test_attributions_as_bars_and_as_images(figure):
    found = np.array([[0.1, -0.3, 0.5, 0.0], [np.nan] * 4])
    plot_attributions(found, [3, 0], figure, Look(names=list("abcd")))
    bars, _ = visible(figure)
    assert [text.get_text() for text in bars.get_yticklabels()] == list("dabc")  # the largest on top
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [0, 0.1, -0.3, 0.5])
    assert bars.patches[3].get_facecolor() != bars.patches[2].get_facecolor()
    figure.clear()
    plot_attributions(found, [3, 0], figure, Look((2, 2)))
    image = visible(figure)[0].images[0]
    np.testing.assert_allclose(image.get_array(), [[0.1, -0.3], [0.5, 0]])
    assert (image.norm.vmin, image.norm.vmax) == (-0.5, 0.5)  # white is zero


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (1, 1, 2, 3)])
def test_shapes_that_no_image_has(shape):
    with pytest.raises(ParameterError, match="image_shape"):
        Look(shape)


# -- all of an estimator -------------------------------------------------------------------------------------------

OF_CLUSTERS = ["attributions", "centers", "examples"]


@pytest.fixture(scope="module")
def deep():
    autoencoder = Autoencoder(3, architecture={"widths": (8,), "shape": (2, 3)}, epochs=2, batch_size=16)
    return DeepClustering(3, method="ae", autoencoder=autoencoder, random_state=0).fit(groups())


@pytest.fixture
def seen(monkeypatch):
    """Arguments of the plots, by name, which then draw nothing: ((positional), {named})."""
    calls = {}
    for name in ("losses", "clusters", "reconstructions", "centers", "examples", "attributions"):

        def record(*given, name=name, **named):
            calls[name] = given, named

        monkeypatch.setattr(f"gpuclust.report.deep.plot_{name}", record)
    return calls


def check_files(files, folder, names):
    assert sorted(files) == sorted(names)
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.png" for name in sorted(names)]
    for name, path in files.items():
        assert path == folder / f"{name}.png"
        assert path.read_bytes().startswith(b"\x89PNG")


def test_pictures_of_a_deep_clustering(tmp_path, deep):
    files = pictures(deep, groups(), tmp_path / "made" / "here")
    check_files(files, tmp_path / "made" / "here", ["losses", "codes", "reconstructions", *OF_CLUSTERS])
    again = pictures(deep, groups(), tmp_path / "again")
    for name, path in files.items():
        assert again[name].read_bytes() == path.read_bytes()  # the same picture is the same file


def test_what_is_drawn_is_what_the_estimator_says(tmp_path, seen, deep):
    """The arguments of every plot: codes, reconstructions, centres, examples, in the units of the data."""
    X = groups()
    pictures(deep, X, tmp_path)
    assert list(seen["losses"][0][0]) == ["pretraining", "refinement"]
    np.testing.assert_array_equal(seen["clusters"][0][0], deep.transform(X))
    np.testing.assert_array_equal(seen["clusters"][1]["labels"], deep.labels_)
    np.testing.assert_array_equal(seen["clusters"][1]["centers"], deep.cluster_centers_)
    rows, decoded, _, look = seen["reconstructions"][0]
    assert look.shape == (2, 3)
    assert look.is_image
    np.testing.assert_array_equal(rows, X[::3])  # 20 of 60
    np.testing.assert_allclose(decoded, deep.inverse_transform(deep.transform(rows)), rtol=1e-5)
    centers, sizes = seen["centers"][0][:2]
    np.testing.assert_array_equal(centers, deep.decoded_centers_)
    assert sizes == np.bincount(deep.labels_, minlength=3).tolist()
    examples = seen["examples"][0][0]
    for label in range(3):
        distances = np.linalg.norm(deep.transform(X) - deep.cluster_centers_[label], axis=1)
        distances[deep.labels_ != label] = np.inf
        np.testing.assert_array_equal(examples[label], X[np.argsort(distances)[: min(8, sizes[label])]])
    assert seen["attributions"][0][0].shape == (3, 6)


def test_columns_of_different_units_are_drawn_in_standard_deviations(tmp_path, seen):
    X = groups() * np.float32([1, 10, 100, 1, 1, 1]) + 5
    autoencoder = Autoencoder(2, architecture={"widths": (8,)}, scaling="standard", **SMALL).fit(X)
    labels = np.arange(60) % 3
    pictures(autoencoder, X, tmp_path, labels=labels)
    rows, _, _, look = seen["reconstructions"][0]
    assert "standard deviations" in look.note
    np.testing.assert_allclose(rows, ((X - X.mean(0)) / X.std(0))[::5], rtol=1e-4, atol=1e-5)  # 12 of 60
    codes = autoencoder.transform(X)
    decoded = autoencoder.inverse_transform(np.stack([codes[labels == label].mean(0) for label in range(3)]))
    np.testing.assert_allclose(seen["centers"][0][0], (decoded - X.mean(0)) / X.std(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(seen["centers"][1]["mean"], 0, atol=1e-5)
    assert "standard" in seen["centers"][0][3].note


def shaped(rows, shape):
    """A source that knows what its rows are images of."""
    source = as_source(rows)
    source.row_shape = shape
    return source


@pytest.mark.parametrize(
    ("given", "stored", "architecture", "shape", "sequence"),
    [
        (None, None, {}, None, False),
        ((3, 2), (2, 3), {}, (3, 2), False),
        (None, (2, 3), {"shape": (3, 2)}, (2, 3), False),
        (None, (6,), {"shape": (3, 2)}, (3, 2), False),
        (None, None, {"shape": (6,)}, None, False),
        (None, None, {"kind": "conv", "shape": (1, 3, 2)}, None, False),  # two channels are no colours
        (None, None, {"kind": "conv", "shape": (1, 2, 3)}, (1, 2, 3), False),
        (None, (2, 3), {"kind": "gru", "shape": (3, 2)}, (3, 2), True),
    ],
)
def test_the_shape_of_a_row(tmp_path, seen, given, stored, architecture, shape, sequence):
    X = shaped(groups(n=20), stored)
    autoencoder = Autoencoder(1, architecture={"widths": (4,), **architecture}, **SMALL).fit(X)
    pictures(autoencoder, X, tmp_path, image_shape=given)
    look = seen["reconstructions"][0][3]
    assert (look.shape, look.sequence) == (shape, sequence)


def test_pictures_of_an_autoencoder(tmp_path, seen):
    autoencoder = Autoencoder(1, architecture={"widths": (8,)}, **SMALL).fit(groups())
    assert list(pictures(autoencoder, groups(), tmp_path)) == ["losses", "codes", "reconstructions"]
    assert list(seen["losses"][0][0]) == ["training"]
    np.testing.assert_array_equal(seen["clusters"][0][0], autoencoder.transform(groups()))
    labels = np.arange(60) % 3
    files = pictures(autoencoder, groups(), tmp_path, labels=labels)
    assert sorted(files) == sorted(["losses", "codes", "reconstructions", *OF_CLUSTERS])
    np.testing.assert_array_equal(seen["clusters"][1]["labels"], labels)


def test_pictures_of_rows_that_are_clustered(tmp_path):
    kmeans = KMeans(3, random_state=0).fit(groups())
    check_files(pictures(kmeans, groups(), tmp_path, image_shape=(2, 3)), tmp_path, ["codes", *OF_CLUSTERS])


def test_pictures_of_modalities(tmp_path, monkeypatch):
    drawn = []

    def draw(rows, *rest):
        drawn.append(rows)
        plot_reconstructions(rows, *rest)

    monkeypatch.setattr("gpuclust.report.deep.plot_reconstructions", draw)
    X = {"rna/raw": groups(), "image": groups(d=4)}
    X["image"][:7] = np.nan
    modalities = {
        "rna/raw": {"architecture": {"widths": (8,)}, "scaling": "standard"},
        "image": {"architecture": {"kind": "conv", "widths": (2,), "shape": (2, 2)}},
    }
    deep = DeepClustering(
        3, method="ae", autoencoder=Autoencoder(2, modalities=modalities, epochs=2), random_state=0
    ).fit(X)
    of_each = ["reconstructions", *OF_CLUSTERS]
    names = [f"{name}_{part}" for name in of_each for part in ("rna-raw", "image")]
    check_files(pictures(deep, X, tmp_path), tmp_path, ["losses", "codes", *names])
    np.testing.assert_array_equal(drawn[1], X["image"][7 + np.arange(20) * 53 // 20])  # of those that have it


@pytest.mark.slow
def test_a_manifold_that_is_a_plane_is_drawn_itself(tmp_path, seen):
    pytest.importorskip("umap")
    X = groups(n=90)
    deep = DeepClustering(3, autoencoder=Autoencoder(3, epochs=2), manifold={"n_components": 2}, random_state=0).fit(X)
    pictures(deep, X, tmp_path)
    (points, _), named = seen["clusters"]
    np.testing.assert_array_equal(points, deep.head_.manifold.embedding)
    means = [points[deep.labels_ == label].mean(0) for label in range(3)]
    np.testing.assert_allclose(named["centers"], means, rtol=1e-5)
    assert "manifold" in named["title"]


def test_tables_and_many_rows(tmp_path, seen):
    """Names of columns are kept; of more rows than a picture takes, the same sample is in all of them."""
    table = pd.DataFrame(groups(), columns=list("abcdef"))
    kmeans = KMeans(3, random_state=0).fit(table)
    pictures(kmeans, table, tmp_path, sample_size=30)
    assert seen["clusters"][1]["title"] == "a sample of 30 of 60 rows"
    assert seen["centers"][0][3].names == list("abcdef")
    assert "of a sample of 30 of 60 rows" in seen["examples"][0][4].note
    assert "of a sample of 30 of 60 rows" in seen["attributions"][1]["text"]
    rows = {tuple(row) for row in seen["clusters"][0][0]}
    assert {tuple(row) for examples in seen["examples"][0][0] for row in examples} <= rows


def test_what_is_refused(tmp_path, deep):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        pictures(deep, groups(), tmp_path / "file")
    with pytest.raises(DataError, match=r"image_shape=\(4, 4\) does not fit rows of 6 features"):
        pictures(deep, groups(), tmp_path, image_shape=(4, 4))
    with pytest.raises(ParameterError, match="image_shape"):
        pictures(deep, groups(), tmp_path, image_shape={"X": (2, 3)})


def test_without_matplotlib(tmp_path, monkeypatch, deep):
    for module in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"gpuclust\[viz\]"):
        pictures(deep, groups(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_a_clusterer_that_does_not_predict(tmp_path, seen):
    merged = AgglomerativeClustering(3).fit(groups())
    files = pictures(merged, groups(), tmp_path, labels=merged.labels_)
    assert list(files) == ["codes", "centers", "examples"]
    means = np.stack([groups()[merged.labels_ == label].mean(0) for label in range(3)])
    np.testing.assert_allclose(seen["centers"][0][0], means, rtol=1e-5)
