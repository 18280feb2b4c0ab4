"""Several modalities: what is fused, what is missing, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpuclust import Autoencoder, VariationalAutoencoder
from gpuclust.deep.modalities import Modality, side_by_side
from gpuclust.deep.models import build
from gpuclust.errors import DataError, DataTypeError, ParameterError
from gpuclust.sources import as_source

TINY = {"widths": (8,)}
MODALITIES = {
    "counts": Modality("negative_binomial", TINY),
    "image": Modality(architecture=TINY, weight=2.0),
    "kind": {"likelihood": "categorical", "architecture": TINY},
}


def measurements(n=60):
    random = np.random.default_rng(0)
    X = {
        "counts": random.poisson(5.0, (n, 7)).astype(np.float64),
        "image": random.normal(100.0, 20.0, (n, 5)).astype(np.float32),
        "kind": np.eye(3)[np.arange(n) % 3],
    }
    X["counts"][::4] = np.nan
    X["image"][1::4] = np.nan
    return X


def two(variational):
    """Modalities of one feature each; codes (for the variational, means) are the features times 1 and 10."""
    linear = Modality(architecture={"widths": ()}, scaling=None)
    model = build({"a": linear, "b": linear}, {"a": 1, "b": 1}, 1, variational=variational)
    with torch.no_grad():
        for part, factor in zip(model.parts, (1.0, 10.0), strict=True):
            part.encoder[0].weight.zero_()
            part.encoder[0].weight[0, 0] = factor
            part.encoder[0].bias.zero_()
    return model


def test_codes_of_what_is_there_by_hand():
    model, nan = two(False), float("nan")
    x = torch.tensor([[1.0, 1.0], [2.0, nan], [nan, 3.0]])
    assert model.encode(x).tolist() == [[5.5], [2.0], [30.0]]
    losses = model.losses(x, model.encode(x))
    assert [name for name in losses] == ["a", "b"]  # noqa: C416
    assert losses["a"][2].item() == 0.0
    assert losses["b"][1].item() == 0.0
    assert (losses["a"][:2] > 0).all()


def test_distributions_are_multiplied_by_hand():
    model, nan = two(True), float("nan")
    with torch.no_grad():
        model.parts[1].encoder[0].bias[1] = -np.log(3.0)  # a third of the variance: thrice the weight
    mean, log_variance = model.posterior(torch.tensor([[2.0, 1.0], [2.0, nan], [nan, 1.0]]))
    assert mean[:, 0].tolist() == pytest.approx([(2 + 3 * 10) / 4, 2.0, 10.0])
    assert log_variance.exp()[:, 0].tolist() == pytest.approx([1 / 4, 1.0, 1 / 3])


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder])
def test_fitted_to_rows_with_missing_modalities(kind):
    X = measurements()
    model = kind(3, modalities=MODALITIES, epochs=3, batch_size=16, learning_rate=1e-2, random_state=0).fit(X)
    assert list(model.history_.epochs[-1].terms)[:3] == ["counts", "image", "kind"]
    assert model.history_.losses[-1] < model.history_.losses[0]
    codes = model.transform(X)
    assert codes.shape == (60, 3)
    assert np.isfinite(codes).all()
    decoded = model.inverse_transform(codes)
    assert {name: rows.shape for name, rows in decoded.items()} == {
        "counts": (60, 7),
        "image": (60, 5),
        "kind": (60, 3),
    }
    assert 50 < decoded["image"].mean() < 150  # in the units of the input
    assert (decoded["counts"] >= 0).all()
    np.testing.assert_allclose(decoded["kind"].sum(1), 1, rtol=1e-5)
    assert np.isfinite(model.reconstruction_error(X)).all()
    assert {name: rows.shape for name, rows in model.sample(2).items()} == {
        "counts": (2, 7),
        "image": (2, 5),
        "kind": (2, 3),
    }
    # A row's own modalities alone decide about its code.
    others = {name: np.concatenate([rows[:1], rows[30:]]) for name, rows in X.items()}
    np.testing.assert_array_equal(model.transform(others)[0], codes[0])


def test_the_order_of_names_is_that_of_the_parameter():
    X = measurements(12)
    model = Autoencoder(3, modalities=MODALITIES, epochs=1, random_state=0).fit(X)
    np.testing.assert_array_equal(model.transform(dict(reversed(X.items()))), model.transform(X))


def test_the_same_codes_from_files_in_pieces(tmp_path):
    X = measurements()
    model = Autoencoder(3, modalities=MODALITIES, epochs=1, random_state=0).fit(X)
    for name, rows in X.items():
        np.save(tmp_path / f"{name}.npy", rows)
    paths = {name: tmp_path / f"{name}.npy" for name in X}
    np.testing.assert_array_equal(model.transform(paths), model.transform(X))
    pieces = {name: as_source(rows, chunk_rows=size) for (name, rows), size in zip(X.items(), (7, 60, 11), strict=True)}
    np.testing.assert_array_equal(model.transform(pieces), model.transform(X))


def test_side_by_side_takes_rows_anywhere():
    X = measurements(20)
    source = side_by_side(X, ["kind", "image", "counts"])
    expected = np.concatenate([X["kind"], X["image"], X["counts"]], axis=1)
    np.testing.assert_array_equal(np.concatenate([chunk.rows for chunk in source.chunks(3, 17)]), expected[3:17])
    np.testing.assert_array_equal(source.take(np.array([2, 9])), expected[[2, 9]])
    assert source.widths == {"kind": 3, "image": 5, "counts": 7}


def spoil(X, name, where, value):
    X[name][where] = value
    return X


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (spoil(spoil(measurements(), "image", 4, np.nan), "kind", 4, np.nan), DataError, "row 4 of X has none"),
        (spoil(measurements(), "image", (6, 2), np.nan), DataError, "NaN: first at row 6, column 9"),
        (spoil(measurements(), "counts", (3, 1), -1.0), DataError, "for counts, but X has -1"),
        (spoil(measurements(), "kind", (0, 0), 2.0), DataError, r"for values in \[0, 1\]"),
        (spoil(measurements(), "kind", slice(None), np.nan), DataError, "'kind' is missing in every row"),
        ({**measurements(), "image": measurements(59)["image"]}, DataError, "'counts': 60, 'image': 59, 'kind': 60"),
        ({"counts": measurements()["counts"]}, DataError, "are expected"),
        (measurements()["counts"], DataTypeError, "should be a mapping"),
    ],
)
def test_inputs_that_are_refused(X, error, message):
    with pytest.raises(error, match=message):
        Autoencoder(3, modalities=MODALITIES, epochs=1, random_state=0).fit(X)


def test_another_width_than_in_fit():
    X = measurements(12)
    model = Autoencoder(3, modalities=MODALITIES, epochs=1, random_state=0).fit(X)
    swapped = {"counts": X["counts"][:, :5], "image": X["counts"], "kind": X["kind"]}
    with pytest.raises(DataError, match="'counts': 5, 'image': 7"):
        model.transform(swapped)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"likelihood": "cauchy"}, "likelihood='cauchy'"),
        ({"weight": 0.0}, "weight=0.0"),
        ({"likelihood": "poisson", "scaling": "standard"}, "scaling='standard' is not for likelihood='poisson'"),
        ({"likelihood": "bernoulli", "scaling": "standard"}, "not for likelihood='bernoulli'"),
    ],
)
def test_modalities_that_break_a_rule(fields, message):
    with pytest.raises(ParameterError, match=message):
        Modality(**fields)
    with pytest.raises(ParameterError):
        Autoencoder(modalities={"a": 3}).fit({"a": [[1.0]]})
