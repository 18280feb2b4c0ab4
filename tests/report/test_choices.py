"""Plots of choices: what is drawn, and that it can be written."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gpuclust.errors import MissingDependencyError
from gpuclust.report import plot_eps, plot_k
from gpuclust.select import EpsSuggestion, Suggestion


@pytest.fixture
def figure():
    return pytest.importorskip("matplotlib.figure").Figure()


@pytest.fixture
def k():
    table = {
        "k": np.arange(2, 6),
        "inertia": np.array([9.0, 4.0, 3.0, 2.5]),
        "calinski_harabasz": np.array([1.0, 5.0, 2.0, np.inf]),
        "stability": np.array([1.0, 0.9, np.nan, np.nan]),
        "stability_error": np.array([0.0, 0.05, np.nan, np.nan]),
        "gap": np.array([0.1, 0.2, 0.1, 0.1]),
        "gap_error": np.full(4, 0.01),
    }
    choices = {"inertia": 3, "calinski_harabasz": 3, "stability": 2, "gap": 3}
    return Suggestion(3, table, choices, "Because it is so.", 100, 100)


@pytest.fixture
def eps():
    table = {"rank": np.linspace(0, 1, 5), "distance": np.array([1.0, 1.1, 1.2, 1.3, 9.0])}
    return EpsSuggestion(1.3, 4, table, 3, "Because it is so.", "euclidean", 100, 5)


def test_a_panel_for_each_criterion(figure, k):
    plot_k(k, figure)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left").split(" (")[0] for axes in panels] == [
        "Inertia",
        "Calinski-Harabasz",
        "Stability",
        "Gap",
    ]
    for axes, name in zip(panels, ("inertia", "calinski_harabasz", "stability", "gap"), strict=True):
        curve, line, dot = axes.lines
        np.testing.assert_array_equal(curve.get_xdata(), k.table["k"])
        drawn, expected = curve.get_ydata(), k.table[name]
        np.testing.assert_array_equal(drawn[np.isfinite(expected)], expected[np.isfinite(expected)])
        assert set(line.get_xdata()) == {3}
        assert dot.get_xdata() == [k.choices[name]]
        assert dot.get_ydata() == expected[k.choices[name] - 2]
    assert [len(axes.collections) for axes in panels] == [0, 0, 1, 1]  # bands of standard errors
    assert figure.get_suptitle() == k.reason


def test_the_curve_and_its_knee(figure, eps):
    axes = figure.subplots()
    plot_eps(eps, axes)
    curve, chord, line, dot = axes.lines
    np.testing.assert_array_equal(curve.get_ydata(), eps.table["distance"])
    np.testing.assert_array_equal(chord.get_ydata(), [1, 9])
    assert set(line.get_ydata()) == {1.3}
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.75, 1.3)
    assert axes.get_yscale() == "log"
    assert "eps = 1.3" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_files(tmp_path, k, eps, suffix):
    pytest.importorskip("matplotlib")
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    plot_k(k, tmp_path / f"k.{suffix}")
    plot_eps(eps, str(tmp_path / f"eps.{suffix}"))
    for name in ("k", "eps"):
        assert (tmp_path / f"{name}.{suffix}").read_bytes().startswith(starts[suffix])


def test_the_same_picture_is_the_same_file(tmp_path, eps):
    pytest.importorskip("matplotlib")
    for name in ("a.png", "b.png"):
        plot_eps(eps, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_matplotlib(tmp_path, monkeypatch, k, eps):
    for module in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for plot, suggestion in ((plot_k, k), (plot_eps, eps)):
        with pytest.raises(MissingDependencyError, match=r"gpuclust\[viz\]"):
            plot(suggestion, tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []
